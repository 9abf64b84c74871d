"""`cai agreement`: a label run's folder beside human choices."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import constitution
from pipeline.__main__ import main
from pipeline.compared_run import aggregated
from pipeline.errors import UserError
from pipeline.records import Constitution, Judgment, Label, Message, Method, Pair, Principle, as_json
from pipeline.train import gating


def label(pair: str, p: float, principle: str = "kind") -> Label:
    return Label(pair, principle, "choice", "m", "c", 0, 0.0, 0.0, p, p, p)


def write(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(as_json(record)) + "\n" for record in records))
    return path


def judgments(kind: Any = "imported", annotator: str = "hh.jsonl", **fields: Any) -> list[Judgment]:
    """Side a in three of four pairs."""
    return [
        Judgment(
            f"p{i}", "harmless", annotator, kind, "b" if i % 4 == 0 else "a", picked_by="imported", **fields
        )
        for i in range(80)
    ]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished label run of 80 imported pairs whose labels all say a."""
    folder = tmp_path / "run"
    asked = (Message("user", "why?"),)
    write(
        folder / "inputs" / "pairs.jsonl",
        [Pair(f"p{i}", f"prompt{i // 2}", asked, "I can't say.", "Sure: because." * 2) for i in range(80)],
    )
    write(folder / "inputs" / "human.jsonl", judgments())
    write(folder / "outputs" / "labels.jsonl", [label(f"p{i}", 0.9) for i in range(80)])
    kind = Principle("kind", "Kind", comparison="Which is kinder?")
    (folder / "inputs" / "constitution.yaml").write_text(constitution.dump(Constitution("test", (kind,))))
    return folder


def test_pairs_that_were_chosen_for_what_an_ai_said_give_no_figures(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.yaml").write_text("stage: label\nselection: wrong under kind\n")
    assert main(["agreement", "--labels", str(run)]) != 0
    assert "no figures and no gate from these alone" in capsys.readouterr().err


def test_the_table_names_who_judged_and_gives_each_figure_its_n(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agreement", "--labels", str(run)]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Imported judgments (hh.jsonl), harmless\n  accuracy")
    assert "0.750  [0.6" in told
    assert "n = 80 judgments of 40 prompts" in told
    assert "Cohen's kappa                   0.000" in told
    assert "refusal word, else shorter" in told
    assert "People" not in told
    assert (
        "Not shown yet that these labels agree with people: the next look is after 20 more judgments." in told
    )


@pytest.mark.parametrize("method", ["pointwise", "contrast"])
def test_labels_of_responses_that_were_judged_alone_have_no_bias_by_order(
    run: Path, capsys: pytest.CaptureFixture[str], method: Method
) -> None:
    alone = [replace(label(f"p{i}", 0.9), method=method) for i in range(80)]
    write(run / "outputs" / "labels.jsonl", alone)
    assert main(["agreement", "--labels", str(run)]) == 0
    told = capsys.readouterr().out
    assert "bias by order                  none: each response was judged alone" in told
    assert "(A) wins" not in told


def test_json_is_whole_and_strict(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agreement", "--labels", str(run), "--json", "--threshold", "0.7"]) == 0
    table = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["kinds"]["imported"]
    assert table["accuracy"]["value"] == 0.75
    assert table["confusion"] == [[60, 0, 0], [20, 0, 0]]
    assert table["gate"]["state"] == "not shown yet"
    assert table["gate"]["threshold"] == 0.7
    assert len(table["baselines"]) == 3


def test_people_and_models_are_never_counted_together(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = judgments("person", "ana") + judgments("person", "ben")[:60] + judgments("model", "judge")
    file = write(tmp_path / "human.jsonl", mixed)
    assert main(["agreement", "--labels", str(run), "--human", str(file), "--json"]) == 0
    kinds = json.loads(capsys.readouterr().out)["kinds"]
    assert (kinds["person"]["judgments"], kinds["model"]["judgments"]) == (140, 80)
    assert kinds["person"]["alpha"]["value"] == 1
    assert "alpha" not in kinds["model"]


@pytest.mark.parametrize(("kind", "state"), [("person", "agrees"), ("model", "not shown yet")])
def test_only_people_open_the_gate_in_front_of_training(run: Path, kind: Any, state: str) -> None:
    agreeing = [replace(one, choice="a", picked_by="random") for one in judgments(kind, "project")]
    write(run / "inputs" / "human.jsonl", agreeing)
    assert gating.state_of(run) == state


def test_nobodys_word_silences_judgments_that_oppose(run: Path) -> None:
    opposing = [replace(one, choice="b", picked_by="random") for one in judgments("person", "ana")]
    write(run / "inputs" / "human.jsonl", opposing)
    with pytest.raises(UserError, match="OPPOSED"):
        gating.require([run], "agrees", "")
    assert gating.require([run], "agrees", "a try") == "opposed"


def test_chosen_pairs_skips_and_what_was_said_before_are_left_out(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = judgments("person", "ana", time="2025-01-01T10:00:00")
    later = [replace(j, choice="b", time="2025-01-01T11:00:00") for j in first[:4]]
    first[10] = replace(first[10], picked_by="uncertain")
    first[11] = replace(first[11], choice="skip")
    first[12] = replace(first[12], choice="tie")
    strange = [replace(first[0], pair_id="elsewhere")]
    file = write(tmp_path / "human.jsonl", first + later + strange)
    assert main(["agreement", "--labels", str(run), "--human", str(file), "--json"]) == 0
    told = capsys.readouterr()
    table = json.loads(told.out)["kinds"]["person"]
    assert (table["judgments"], table["human_ties"], table["accuracy"]["n"]) == (78, 1, 77)
    # 60 of a, less the three that were changed to b, one chosen, one skipped; the tie had been b.
    assert table["confusion"] == [[55, 0, 0], [22, 0, 0]]
    assert "picked for what the AI said: 1 judgments" in told.err
    assert "without a label: 1 judgments" in told.err


def test_what_was_judged_with_the_label_in_sight_does_not_count(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = judgments("person", "ana", time="2025-01-01T10:00:00")
    seen = [replace(j, choice="b", blind=False, time="2025-01-01T11:00:00") for j in first[:4]]
    file = write(tmp_path / "human.jsonl", first + seen)
    assert main(["agreement", "--labels", str(run), "--human", str(file), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["kinds"]["person"]["confusion"] == [[60, 0, 0], [20, 0, 0]]
    assert "with the label in sight: 4 judgments" in told.err


def test_a_run_that_is_not_finished_is_read_as_far_as_it_is(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run / "outputs" / "labels.jsonl"
    lines = whole.read_text().splitlines(keepends=True)
    whole.with_name("labels.jsonl.part").write_text("".join(lines[:30]) + lines[30][:40])
    whole.unlink()
    assert main(["agreement", "--labels", str(run)]) == 0
    told = capsys.readouterr()
    assert "n = 30 judgments of 15 prompts" in told.out
    assert "the run is not finished" in told.err


def test_several_principles_count_by_their_weight() -> None:
    rows = [label("p", 0.9, "kind"), label("p", 0.3, "harm"), label("q", 0.2, "harm")]
    found = aggregated(rows, {"kind": 1.0, "harm": 3.0})
    assert found["p"] == pytest.approx((0.45, 0.45, 0.45))
    assert found["q"] == pytest.approx((0.2, 0.2, 0.2))


def test_a_calibration_takes_no_files_place_unasked(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "human.jsonl", judgments("person", "ana"))
    before = file.read_text()
    words = ["agreement", "--labels", str(run), "--human", str(file), "--calibrate"]
    assert main([*words, str(file)]) == 2
    assert "human.jsonl: is there already; --force replaces it" in capsys.readouterr().err
    assert file.read_text() == before
    assert main([*words, str(tmp_path / "none" / "c.json")]) == 2
    assert f"cai: {tmp_path}/none/c.json: can't be written" in capsys.readouterr().err
    (tmp_path / "c.json").write_text("old")
    assert main([*words, str(tmp_path / "c.json"), "--force"]) == 0
    assert "old" not in (tmp_path / "c.json").read_text()


def test_two_axes_want_a_choice(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = judgments() + [replace(j, axis="helpful") for j in judgments()[:9]]
    write(run / "inputs" / "human.jsonl", both)
    assert main(["agreement", "--labels", str(run)]) == 2
    assert "harmless and helpful: choose one with --axis" in capsys.readouterr().err
    assert main(["agreement", "--labels", str(run), "--axis", "helpful"]) == 0
    assert "n = 9 judgments" in capsys.readouterr().out


def test_mistakes_are_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agreement", "--labels", str(tmp_path)]) == 2
    assert "has no outputs/labels.jsonl: give a run of `cai label`" in capsys.readouterr().err
    assert main(["agreement", "--labels", str(run), "--threshold", "0.3"]) == 2
    assert "threshold: 0.3" in capsys.readouterr().err
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"pair_id": "p1"}\nnonsense\n')
    assert main(["agreement", "--labels", str(run), "--human", str(bad)]) == 2
    told = capsys.readouterr().err
    assert "bad.jsonl:1: axis: Field required" in told
    assert "bad.jsonl:2: not JSON" in told
    (tmp_path / "p.txt").write_text("why?\n")
    assert main(["agreement", "--labels", str(run), "--human", str(tmp_path / "p.txt")]) == 2
    assert "p.txt:1: not a JSON object" in capsys.readouterr().err
    (run / "inputs" / "human.jsonl").write_text('{"pair_id": "p1"}\nnonsense\n')
    assert main(["agreement", "--labels", str(run)]) == 2
    told = capsys.readouterr().err
    assert "human.jsonl:1: axis: Field required" in told
    assert "human.jsonl:2: is not JSON" in told
    (run / "inputs" / "human.jsonl").unlink()
    assert main(["agreement", "--labels", str(run)]) == 2
    assert "give judgments with --human FILE" in capsys.readouterr().err


def test_a_bad_row_of_given_judgments_is_told_and_the_others_count(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "human.jsonl", judgments())
    file.write_text(file.read_text() + "nonsense\n")
    assert main(["agreement", "--labels", str(run), "--human", str(file)]) == 0
    told = capsys.readouterr()
    assert "n = 80 judgments" in told.out
    assert "human.jsonl:81: not JSON" in told.err


def test_a_name_does_not_speak_to_the_terminal(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(run / "inputs" / "human.jsonl", judgments("person", "ana\x1b[31m"))
    assert main(["agreement", "--labels", str(run)]) == 0
    assert "\x1b" not in capsys.readouterr().out
