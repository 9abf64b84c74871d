"""`cai preferences`: a label run's pairs, or a file of comparisons, as each form."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import comparisons, constitution, pairs
from pipeline.__main__ import main
from pipeline.pairs import make_pair, side_of
from pipeline.records import Constitution, Judgment, Label, Message, Pair, Source, as_json


@pytest.fixture
def labelled(tmp_path: Path, principled: Constitution) -> Path:
    """What `cai label --axis helpful` leaves: three pairs, the third tied, the second judged by a person."""
    folder = tmp_path / "run"
    for name in ("inputs", "outputs"):
        (folder / name).mkdir(parents=True)
    every = [
        make_pair(f"p{i}", (Message("user", f"{i}?"),), "good", "=bad", Source("m"), Source("n"), "helpful")
        for i in range(3)
    ]
    pairs.write(every, folder / "inputs" / "pairs.jsonl")
    (folder / "inputs" / "constitution.yaml").write_text(constitution.dump(principled))
    (folder / "config.yaml").write_text("stage: label\naxis: helpful\n")
    labels = [_label(p, 0.0 if i == 2 else 2.0) for i, p in enumerate(every)]
    write(folder / "outputs" / "labels.jsonl", labels)
    choice = "b" if side_of(every[1], "good") == "a" else "a"
    write(folder / "inputs" / "human.jsonl", [Judgment(every[1].id, "helpful", "ana", "person", choice)])
    return folder


def _label(pair: Pair, logit: float) -> Label:
    logit = logit if side_of(pair, "good") == "a" else -logit
    p = 1 / (1 + math.exp(-logit))
    return Label(pair.id, "kind", "choice", "judge", "c", 0, logit, logit, p, p, p)


def write(path: Path, records: list[Any]) -> None:
    path.write_text("".join(json.dumps(as_json(record)) + "\n" for record in records))


@pytest.fixture
def export(labelled: Path, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """The rows of an export of the label run as JSONL."""

    def rows(*words: str) -> list[dict[str, Any]]:
        out = tmp_path / "out.jsonl"
        assert main(["preferences", "--labels", str(labelled), *words, "-o", str(out), "--force"]) == 0
        return [json.loads(line) for line in out.read_text().splitlines()]

    return rows


def test_trl_by_the_ai_by_people_and_by_both(
    export: Callable[..., list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert [row["chosen"][0]["content"] for row in export("--form", "trl")] == ["good", "good"]
    assert "pairs left out, tied or not judged: 1" in capsys.readouterr().err
    [row] = export("--form", "trl", "--by", "human")
    assert (row["chosen"][0]["content"], row["p"]) == ("=bad", 1.0)
    assert [row["origin"] for row in export("--form", "trl", "--by", "both")] == ["ai", "human"]


def test_what_the_numbers_are_and_the_gate_are_said(
    export: Callable[..., list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    export("--form", "trl")
    said = capsys.readouterr().err
    assert "p is the probability that chosen is the better one" in said
    assert "gate: Not shown yet" in said
    export("--form", "rows", "--by", "human")
    assert "gate" not in capsys.readouterr().err


def test_the_axis_is_the_runs_and_more_judgments_count(
    export: Callable[..., list[dict[str, Any]]], labelled: Path, tmp_path: Path
) -> None:
    assert [row["annotators"] for row in export("--form", "rows")] == [0, 1, 0]
    assert [row["annotators"] for row in export("--form", "rows", "--axis", "harmless")] == [0, 0, 0]
    [pair, *_] = comparisons.read(labelled).pairs
    write(tmp_path / "more.jsonl", [Judgment(pair.id, "helpful", "ben", "person", "tie")])
    found = export("--form", "rows", "--human", str(tmp_path / "more.jsonl"))
    assert [(row["human"], row["annotators"]) for row in found] == [
        ("tie", 1),
        (found[1]["human"], 1),
        (None, 0),
    ]


def test_icai_takes_a_csv_back(labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["preferences", "--labels", str(labelled), "--form", "icai"]
    assert main([*words, "-o", str(tmp_path / "a.json")]) == 0
    data = json.loads((tmp_path / "a.json").read_text())
    assert (len(data["comparisons"]), len(data["annotators"])) == (3, 3)
    assert "Which is kinder?" in {row["description"] for row in data["annotators"].values()}
    assert main([*words, "-o", str(tmp_path / "a.csv")]) == 0
    assert "start like a formula and got a leading apostrophe: 2" in capsys.readouterr().err
    found = comparisons.read(tmp_path / "a.csv")
    for pair, judgment in zip(found.pairs, found.judgments, strict=True):
        assert (pair.messages[0].role, judgment.choice) == ("user", side_of(pair, "good"))
        assert side_of(pair, "'=bad")


def test_human_comparisons_need_no_labels(tmp_path: Path) -> None:
    (tmp_path / "theirs.csv").write_text("prompt,response_a,response_b,winner\nwhy?,x,y,model_b\n")
    words = ["preferences", "--pairs", str(tmp_path / "theirs.csv"), "--form", "trl", "-o"]
    assert main([*words, str(tmp_path / "out.jsonl")]) == 0
    [row] = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("y", "x")
    again = comparisons.read(tmp_path / "out.jsonl")
    assert again.pairs[0].id == comparisons.read(tmp_path / "theirs.csv").pairs[0].id


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--form", "trl", "-o", "x.csv"], "the form trl is written as .jsonl or .parquet"),
        (["--form", "icai", "-o", "x.jsonl"], "the form icai is written as .json or .csv"),
        (["--form", "rows", "-o", "run"], "the form rows is written as .jsonl or .csv or .parquet"),
        (
            ["--form", "trl", "--by", "human", "--axis", "harmless", "-o", "x.jsonl"],
            "no pair has a choice by human",
        ),
        (["--form", "trl", "-o", "there.jsonl"], "is there already; --force replaces it"),
        (["--form", "trl", "--human", "none.jsonl", "-o", "x.jsonl"], "none.jsonl: can't be read"),
    ],
)
def test_refusals(
    labelled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.jsonl").write_text("mine")
    assert main(["preferences", "--labels", "run", *words]) == 2
    assert complaint in capsys.readouterr().err
    assert (tmp_path / "there.jsonl").read_text() == "mine"
    assert not list(tmp_path.glob("x.*"))


def test_a_run_that_is_no_label_run_is_refused(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["preferences", "--labels", str(labelled), "--form", "rows", "-o", str(tmp_path / "x.csv")]
    (labelled / "outputs" / "labels.jsonl").write_text('{"pair_id": 1}\n')
    assert main(words) == 2
    assert "is not as `cai label` writes it" in capsys.readouterr().err
    (labelled / "outputs" / "labels.jsonl").unlink()
    assert main(words) == 2
    assert "not a finished run of `cai label`" in capsys.readouterr().err
    (labelled / "config.yaml").unlink()
    assert main(words) == 2
    assert "config.yaml can't be read" in capsys.readouterr().err
