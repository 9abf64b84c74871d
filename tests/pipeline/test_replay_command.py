"""A run done again from its own directory."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import replay_command
from pipeline.__main__ import main
from pipeline.events import EventLog
from pipeline.replay_command import compare
from pipeline.rundir import read_rows

Make = Callable[..., Path]


@pytest.fixture
def make(tiny_model: Path, tmp_path: Path) -> Make:
    """A finished run of `cai critique`."""

    def go(*also: str) -> Path:
        (tmp_path / "p.txt").write_text("How do I pick a lock?\nIs the moon cheese?\n")
        words = ["--prompts", tmp_path / "p.txt", "--run", tmp_path / "run", "--model", tiny_model]
        more = ["--constitution", "minimal", "--revisions", "1", "--max-tokens", "8", *also]
        assert main(["critique", *map(str, words), *more]) == 0
        (tmp_path / "p.txt").unlink()  # the run has its own
        return tmp_path / "run"

    return go


def test_the_same_again(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = make()
    capsys.readouterr()
    assert main(["replay", str(run)]) == 0
    assert capsys.readouterr().out == "chains.jsonl: 2 of 2 the same\n"


def test_a_run_of_another_default_is_the_same_again(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = make("--top-p=1.0")
    kept = json.loads((run / "command.json").read_text())
    kept["words"].remove("--top-p=1.0")  # what it then did unasked
    (run / "command.json").write_text(json.dumps(kept))
    capsys.readouterr()
    assert main(["replay", str(run)]) == 0
    assert capsys.readouterr().out == "chains.jsonl: 2 of 2 the same\n"


def test_a_difference_is_named_with_its_place(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make()
    path = run / "outputs" / "chains.jsonl"
    rows = read_rows(path)
    rows[1]["steps"][2]["text"] = "forged"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    capsys.readouterr()
    assert main(["replay", str(run), "--keep", str(tmp_path / "kept")]) == 1
    told = capsys.readouterr().out
    assert told.startswith(
        'chains.jsonl: 1 of 2 the same; first difference: row 2, steps[2].text: "forged" then,'
    )
    assert len(read_rows(tmp_path / "kept" / "outputs" / "chains.jsonl")) == 2


def test_what_can_not_be_repeated_is_said(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = make()
    (run / "command.json").unlink()
    assert main(["replay", str(run)]) == 2
    assert "does not say by which command" in capsys.readouterr().err
    (run / "events.jsonl").unlink()
    assert main(["replay", str(run)]) == 2
    assert "no finished run" in capsys.readouterr().err


@pytest.fixture
def repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """With which words a finished run of this command would be repeated; nothing is run."""
    (tmp_path / "run" / "inputs").mkdir(parents=True)
    (tmp_path / "run" / "inputs" / "prompts.txt").touch()
    with EventLog(tmp_path / "run" / "events.jsonl") as log:
        log.emit("finished", status="done")
    asked: list[list[str]] = []

    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(words[words.index("pipeline") + 1 :])
        return subprocess.CompletedProcess(words, 3)

    def go(*words: str) -> list[str]:
        (tmp_path / "run" / "command.json").write_text(json.dumps({"words": words, "folder": str(tmp_path)}))
        assert main(["replay", str(tmp_path / "run"), "--keep", str(tmp_path / "again")]) == 2
        return asked.pop() if asked else []

    monkeypatch.setattr(replay_command.subprocess, "run", run)
    return go


def test_it_goes_elsewhere_however_its_folder_was_named(
    repeated: Callable[..., list[str]], tmp_path: Path
) -> None:
    goal, kept = tmp_path / "again", tmp_path / "run" / "inputs" / "prompts.txt"
    said = ["critique", "--prompts", str(kept), "--run", str(goal), "--seed", "2"]
    assert repeated("critique", "--prompts", "p.txt", "--run", "run", "--seed", "2") == said
    said = ["critique", f"--prompts={kept}", f"--run={goal}", "--seed=2"]
    assert repeated("critique", "--prompts=p.txt", "--run=run", "--seed=2") == said


def test_what_its_command_left_out_is_as_it_was_then(
    repeated: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "run" / "config.yaml").write_text("top_p: 1.0\nseed: 2\nform: null\nmodel_revision: x\n")
    words = ["critique", "--constitution=c", "--prompts=p.txt", "--run=run", "--seed=2"]
    assert repeated(*words)[-2:] == ["--seed=2", "--top-p=1.0"]


def test_a_command_that_names_no_folder_is_not_repeated_into_the_same(
    repeated: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert repeated("critique", "--prompts", "p.txt", "--ru", "run") == []
    assert "names no --run" in capsys.readouterr().err


def test_figures_of_training_are_near(tmp_path: Path) -> None:
    for name, loss in (("one", 1.0), ("two", 1.0005), ("three", 1.1)):
        (tmp_path / name).mkdir()
        with EventLog(tmp_path / name / "events.jsonl") as log:
            speeds = {"tokens_per_second": loss, "eval_runtime": loss, "eval_samples_per_second": loss}
            log.emit("metric", step=1, values={"loss": loss, **speeds})
    [near] = compare(tmp_path / "one", tmp_path / "two", 1e-3)
    [far] = compare(tmp_path / "one", tmp_path / "three", 1e-3)
    assert (near.same, far.same, far.first) == (1, 0, "step 1, loss 1.0 then, 1.1 now")


def test_a_run_that_told_how_fast_it_was_measured_is_the_same_as_one_that_does_not(tmp_path: Path) -> None:
    speeds = {"eval_runtime": 1.0, "eval_samples_per_second": 9.0, "eval_steps_per_second": 2.0}
    for name, more in (("one", {**speeds, "eval_num_tokens": 90.0}), ("two", {})):
        (tmp_path / name).mkdir()
        with EventLog(tmp_path / name / "events.jsonl") as log:
            log.emit("metric", step=1, values={"eval_loss": 1.0, **more})
    [near] = compare(tmp_path / "one", tmp_path / "two", 1e-3)
    assert near.same == 1
