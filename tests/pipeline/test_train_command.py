"""`cai sft`, `pm`, `rl`, `dpo` before a model is loaded: what they refuse, and what they say."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import constitution, prompts
from pipeline.__main__ import main
from pipeline.engines import Cancelled, SpentError
from pipeline.engines.spending import Purse
from pipeline.errors import InputError, UserError
from pipeline.events import EventLog
from pipeline.growing import Stop
from pipeline.pairs import make_pair
from pipeline.records import Judgment, Message, Source, as_json
from pipeline.rundir import RunDir, read_rows
from pipeline.train import helpful, ranks, sources


def said(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(argv) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("stage", ["sft", "pm", "dpo"])
def test_nothing_to_learn_from(stage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "to learn from: name --" in said([stage, "--run", str(tmp_path / "run")], capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stage", ["pm", "dpo"])
@pytest.mark.parametrize(
    ("words", "needs"), [(["--calibration", "c.json"], "--labels"), (["--reserved"], "--written")]
)
def test_an_option_without_what_it_is_about_is_refused(
    stage: str, words: list[str], needs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said([stage, *words, "--human", "pairs.jsonl", "--run", str(tmp_path / "run")], capsys)
    assert told.startswith(f"cai: {words[0]}: ")
    assert needs in told


def test_a_bad_demonstration_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "demos.jsonl"
    good = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    path.write_text(json.dumps(good) + "\n{broken\n" + json.dumps({"messages": good["messages"][:1]}) + "\n")
    told = said(["sft", "--demos", str(path), "--run", str(tmp_path / "run")], capsys)
    assert f"{path}:2:" in told
    assert f"{path}:3: expected `messages` that end with the assistant's answer" in told


def test_a_chain_that_is_none_is_named_with_its_line_blank_ones_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "chains.jsonl"
    path.write_text('\n\n{"id": 3}\n')
    assert f"{path}:3: " in said(["sft", "--chains", str(path), "--run", str(tmp_path / "run")], capsys)


def test_a_label_that_is_none_is_named_with_its_line_blank_ones_counted(tmp_path: Path) -> None:
    for name in ("inputs", "outputs"):
        (tmp_path / name).mkdir()
    (tmp_path / "inputs" / "constitution.yaml").write_text(constitution.find("minimal").read_text("utf-8"))
    path = tmp_path / "outputs" / "labels.jsonl"
    path.write_text('\n\n{"id": 3}\n')
    with pytest.raises(InputError, match=r"labels\.jsonl:3: "):
        sources.from_labels(tmp_path)


def test_a_label_run_whose_pairs_were_all_left_out_is_told(tmp_path: Path) -> None:
    for name in ("inputs", "outputs"):
        (tmp_path / name).mkdir()
    (tmp_path / "inputs" / "constitution.yaml").write_text(constitution.find("minimal").read_text("utf-8"))
    (tmp_path / "outputs" / "labels.jsonl").write_text("")
    with pytest.raises(UserError, match="holds no labels: all of its pairs were left out"):
        sources.from_labels(tmp_path)


def test_a_folder_without_labels_says_what_to_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = said(["pm", "--labels", str(tmp_path), "--run", str(tmp_path / "run")], capsys)
    assert "name a finished run of `cai label`" in told


def test_a_judge_that_shares_pairs_with_the_reward_is_refused(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, ids in (("pm", ["p1", "p2", "p3"]), ("judge", ["p2", "p3", "p4"])):
        folder = tmp_path / name
        folder.mkdir()
        for file in tiny_model.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "trained_on.json").write_text(json.dumps(ids))
    options = ["--pm", str(tmp_path / "pm"), "--judge", str(tmp_path / "judge"), "--prompts", "red-team"]
    told = said(["rl", *options, "--run", str(tmp_path / "run")], capsys)
    assert "shares 2 training pairs" in told


def test_models_that_do_not_say_what_they_learnt_from_are_told_before_one_judges_the_other(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--pm", str(tiny_model), "--judge", str(tiny_model), "--model", str(tiny_model)]
    more = ["--prompts", "red-team", "--run", str(tmp_path / "run"), "--estimate"]
    assert main(["rl", *options, *more]) == 0
    told = f"{tiny_model}: does not say which pairs it was trained on, so none are known to be shared"
    assert told in capsys.readouterr().err
    assert main(["rl", *options[:2], *options[4:], *more]) == 0
    assert "to be shared" not in capsys.readouterr().err


def test_the_card_of_rl_names_its_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr("pipeline.train.rl.train", lambda *args: kept.append(args[-1]) or 0)
    monkeypatch.setattr("pipeline.preference_model.PreferenceModel", lambda name: SimpleNamespace(score=None))
    options = ["--prompts", "red-team:train:20", "--pm", str(tiny_model), "--model", str(tiny_model)]
    assert main(["rl", *options, "--run", str(tmp_path / "run")]) == 0
    assert kept[0]["sources"] == [{"prompts": "red-team:train:20", "count": 20}]


def test_files_to_measure_on_that_have_one_name_go_by_their_folders_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    measured: dict[str, object] = {}
    monkeypatch.setattr("pipeline.train.preference.train", lambda *args: measured.update(args[-1]) or 0)
    options = ["--written", "harmless", "--model", str(tiny_model), "--run", str(tmp_path / "run"), "--eval"]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        row = {"prompt": f"Which {name}?", "chosen": "This.", "rejected": "That."}
        (tmp_path / name / "test.jsonl").write_text(json.dumps(row) + "\n")
        options.append(str(tmp_path / name / "test.jsonl"))
    assert main(["pm", *options]) == 0
    assert list(measured) == ["one/test.jsonl", "two/test.jsonl"]


@pytest.mark.parametrize("name", ["heldout", "pairs", "too_long", "rows", "status", "total", "step", "kind"])
def test_a_file_to_measure_on_has_no_name_that_the_runs_own_figures_have(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--written", "harmless", "--run", str(tmp_path / "run"), "--eval", str(tmp_path / name)]
    assert "taken: rename the file" in said(["pm", *options], capsys)


def test_a_run_does_not_go_on_with_other_labels_than_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.train.preference.train", lambda *args: 0)
    human = tmp_path / "human.jsonl"
    options = ["pm", "--human", str(human), "--model", str(tiny_model), "--run", str(tmp_path / "run")]
    human.write_text(json.dumps({"prompt": "Which?", "chosen": "This.", "rejected": "That."}) + "\n")
    assert main(options) == main(options) == 0
    human.write_text(json.dumps({"prompt": "Which?", "chosen": "That.", "rejected": "This."}) + "\n")
    assert "learnt: " in said(options, capsys)


def test_a_run_goes_on_where_its_session_was_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.train.preference.train", lambda *args: 0)

    def asked(session: str, name: str) -> list[str]:
        run = tmp_path / session / "runs" / "7"
        human = run / "inputs" / "human" / name
        human.parent.mkdir(parents=True, exist_ok=True)
        human.write_text(json.dumps({"prompt": "Which?", "chosen": "This.", "rejected": "That."}) + "\n")
        return ["pm", "--human", str(human), "--model", str(tiny_model), "--run", str(run)]

    assert main(asked("alpha", "1.jsonl")) == 0
    (tmp_path / "alpha").rename(tmp_path / "beta")
    assert main(asked("beta", "1.jsonl")) == 0
    assert "sources: " in said(asked("beta", "2.jsonl"), capsys)


def test_of_a_runs_judgments_the_last_words_of_people_on_the_axis_are_learnt(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    pair = make_pair("p", (Message("user", "Which?"),), "This.", "That.", Source(), Source(), "red_team")
    (tmp_path / "inputs" / "pairs.jsonl").write_text(json.dumps(as_json(pair)) + "\n")
    said: list[Any] = [
        Judgment(pair.id, axis, who, kind, choice, time=f"2026-01-0{day}T00:00:00+00:00")
        for axis, who, kind, choice, day in (
            ("harmless", "ann", "person", "a", 1),
            ("harmless", "ann", "person", "b", 2),
            ("helpful", "ann", "person", "a", 1),
            ("harmless", "some-model", "model", "a", 1),
        )
    ]
    (tmp_path / "inputs" / "human.jsonl").write_text("".join(json.dumps(as_json(j)) + "\n" for j in said))
    preferences, origin = sources.from_people(tmp_path, "harmless")
    assert [(one.p, one.origin) for one in preferences] == [(0.0, "person")]
    assert origin["kinds"] == ["person"]


def test_an_estimate_starts_nothing(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--written", "harmless", "--model", str(tiny_model), "--run", str(tmp_path / "run")]
    assert main(["pm", *options, "--estimate"]) == 0
    assert "GB of memory" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_estimate_counts_the_pairs_that_are_learnt_and_not_those_kept_aside(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", str(tiny_model), "--run", str(tmp_path / "run"), "--heldout", "0.5", "--estimate"]
    assert main(["pm", "--written", "harmless", "--batch", "8", "--epochs", "1", *options]) == 0
    told = capsys.readouterr().err
    pairs = int(told.partition(" labelled pairs")[0].replace(",", ""))
    steps = int(told.rpartition(" for ")[2].partition(" steps")[0])
    assert steps < 0.6 * pairs / 8


def test_the_projects_lessons_are_not_counted_as_revisions(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.train.sft.train", lambda *args: 0)
    options = ["--written", "harmless", "--model", str(tiny_model), "--run", str(tmp_path / "run")]
    assert main(["sft", *options]) == 0
    assert ", 0 of them revisions" in capsys.readouterr().err


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    """The events of a run that helpful answers are sampled in."""
    with EventLog(tmp_path / "events.jsonl") as opened:
        yield opened


def test_helpful_answers_are_kept_as_they_come_and_paid_by_the_run(
    tmp_path: Path,
    log: EventLog,
    scripted: Callable[..., Any],
    spent: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = RunDir.open(tmp_path / "run", {"stage": "sft"}, {})
    asked = [prompts.from_text(f"{n}?") for n in range(4)]
    later = scripted("Three.", "Four.")
    engines = [spent("One.", ""), later]

    def load(name: str, purse: Purse, **_: Any) -> Any:
        purse.pay(name, 1, 1, counted=True)
        return engines.pop(0)

    monkeypatch.setattr(helpful, "loaded", load)
    with pytest.raises(SpentError):
        helpful.sample("m", asked, 0, 9, folder, log, Stop())
    lessons = helpful.sample("m", asked, 0, 9, folder, log, Stop())
    assert [one.answer for one in lessons] == ["One.", "Three.", "Four."]
    assert len(later.requests) == 2
    assert Purse(log=tmp_path / "run" / "usage.jsonl").spent == 4


def test_a_helpful_prompt_that_gets_no_answer_is_told_with_why(
    tmp_path: Path, log: EventLog, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunDir.open(tmp_path / "run", {"stage": "sft"}, {})
    asked = [prompts.from_text("long " * 600), prompts.from_text("Short?")]
    helpful.sample(str(tiny_model), asked, 0, 9, folder, log, Stop())
    assert f"prompt {asked[0].id} is left out: the prompt with its answer" in capsys.readouterr().err
    [skipped] = [e for e in read_rows(tmp_path / "events.jsonl") if e["kind"] == "skipped"]
    assert (skipped["prompt"], "shorten the prompt" in skipped["reason"]) == (asked[0].id, True)


@pytest.fixture
def helped(tmp_path: Path, tiny_model: Path) -> list[str]:
    """Words of a run of SFT that samples helpful answers before it trains."""
    (tmp_path / "p.txt").write_text("One?\nTwo?\nThree?\n")
    return ["sft", "--helpful", f"{tmp_path}/p.txt", "--model", f"{tiny_model}", "--run", f"{tmp_path}/run"]


def test_a_stop_while_helpful_answers_are_sampled_is_a_stop_of_the_run(
    helped: list[str], tmp_path: Path, scripted: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str, purse: Purse, cancelled: Cancelled) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        assert cancelled()
        return scripted("One.", "Two.", "Three.")

    monkeypatch.setattr(helpful, "loaded", load)
    assert main(helped) == 130
    said = read_rows(tmp_path / "run" / "events.jsonl")
    assert said[0]["part"]["noun"] == "helpful answers"
    assert (said[-1]["kind"], said[-1]["status"]) == ("finished", "stopped")


def test_servers_that_may_write_no_more_helpful_answers_stop_the_run(
    helped: list[str], tmp_path: Path, spent: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helpful, "loaded", lambda name, purse, **_: spent("One."))
    assert main(helped) == 130
    assert read_rows(tmp_path / "run" / "events.jsonl")[-1]["reason"]
    assert len(read_rows(tmp_path / "run" / "outputs" / "helpful.jsonl.part")) == 1


def test_no_second_process_samples_helpful_answers_for_a_run(
    helped: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(name: str, purse: Purse, **_: Any) -> Any:
        assert "another process is at work on this run" in said(helped, capsys)
        raise SpentError("no more")

    monkeypatch.setattr(helpful, "loaded", load)
    assert main(helped) == 130


def test_of_several_processes_the_first_samples_and_the_others_read(
    tmp_path: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch, scripted: Callable[..., Any]
) -> None:
    folder = RunDir.open(tmp_path / "run", {"stage": "sft"}, {})
    asked = [prompts.from_text("One?")]
    engines = [scripted("One.")]
    monkeypatch.setattr(helpful, "loaded", lambda name, purse, **_: engines.pop())
    helpful.sample("m", asked, 0, 9, folder, log, Stop())
    following = RunDir.open(tmp_path / "scratch", {"stage": "sft"}, {})
    following.leader = folder.folder
    monkeypatch.setenv("RANK", "1")
    assert [one.answer for one in helpful.sample("m", asked, 0, 9, following, log, Stop())] == ["One."]
    assert not list(following.outputs.iterdir())


def test_a_process_waits_for_what_the_first_one_writes(tmp_path: Path) -> None:
    writing = threading.Timer(0.5, (tmp_path / "helpful.jsonl").touch)
    writing.start()
    ranks.wait_for(tmp_path / "helpful.jsonl")
    assert writing.finished.is_set()


def test_a_process_does_not_wait_for_ever_for_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launchers = iter((7, 7, 1))
    monkeypatch.setattr("os.getppid", lambda: next(launchers))
    with pytest.raises(UserError, match="was to write it is gone"):
        ranks.wait_for(tmp_path / "helpful.jsonl")
