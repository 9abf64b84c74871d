"""`cai run` and `cai tour` where stages are complete: gone on with, and never taken for another recipe's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import recipe
from pipeline.__main__ import main
from pipeline.events import EventLog
from pipeline.recipe_command import plan
from pipeline.replay_command import keep_command

Run = Callable[..., int]
CHAINS = {"stage": "critique", "constitution": "harmless", "prompts": "red-team"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(**stages: Any) -> None:
    Path("mine.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))


def finish(folder: Path, words: list[str]) -> None:
    """A stage's folder as a whole run leaves it."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("{}")
    with EventLog(folder / "events.jsonl") as log:
        log.emit("finished", status="done")
    keep_command(folder, words)


@pytest.fixture
def whole() -> None:
    """A recipe of two stages, both complete in `out`."""
    write(chains={**CHAINS, "seed": 1}, sl={"stage": "sft", "chains": "$chains"})
    for name, words in plan(recipe.load("mine.yaml"), [], Path("out")).items():
        finish(Path("out", name), words)
    assert main(["run", "mine.yaml", "--run", "out"]) == 0


def test_what_is_complete_is_passed_over(whole: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "mine.yaml", "--run", str(Path("out").absolute())]) == 0
    assert capsys.readouterr().err.count("is complete") == 2


def test_a_stage_of_an_edited_recipe_is_not_taken_for_this_ones(
    whole: None, capsys: pytest.CaptureFixture[str]
) -> None:
    before = Path("out/commands.txt").read_text()
    write(chains={**CHAINS, "seed": 2}, sl={"stage": "sft", "chains": "$chains", "epochs": 3})
    assert main(["run", "mine.yaml", "--run", "out"]) == 2
    told = capsys.readouterr().err
    assert "out: holds other runs" in told
    assert "chains: seed: 1 there, 2 now" in told
    assert "sl: epochs: " in told
    assert Path("out/commands.txt").read_text() == before


def test_a_folder_may_be_moved(whole: None) -> None:
    Path("out").rename("else where")
    assert main(["run", "mine.yaml", "--run", "else where"]) == 0
    write(chains={**CHAINS, "seed": 1}, sl={"stage": "sft", "chains": "other"})
    assert main(["run", "mine.yaml", "--run", "else where"]) == 2


def test_what_is_said_and_is_the_default_is_the_same(whole: None) -> None:
    write(sl={"stage": "sft", "seed": 0, "chains": "out/chains"})
    assert main(["run", "mine.yaml", "--run", "out"]) == 0


def test_a_kill_before_a_stage_has_kept_its_words(whole: None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out/sl/command.json").unlink()
    assert main(["run", "mine.yaml", "--run", "out"]) == 0
    write(chains={**CHAINS, "seed": 1}, sl={"stage": "sft", "chains": "$chains", "seed": 5})
    assert main(["run", "mine.yaml", "--run", "out"]) == 2
    Path("out/commands.txt").unlink()
    assert main(["run", "mine.yaml", "--run", "out"]) == 2
    assert "does not say by which command" in capsys.readouterr().err


def test_a_default_that_has_changed_is_no_difference(whole: None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out/chains/config.yaml").write_text("top_p: 1.0\n")  # made when that was the default
    assert main(["run", "mine.yaml", "--run", "out"]) == 0
    write(chains={**CHAINS, "seed": 1, "top_p": 1.0}, sl={"stage": "sft", "chains": "$chains"})
    assert main(["run", "mine.yaml", "--run", "out"]) == 0
    write(chains={**CHAINS, "seed": 1, "top_p": 0.8}, sl={"stage": "sft", "chains": "$chains"})
    assert main(["run", "mine.yaml", "--run", "out"]) == 2
    assert "chains: top-p: 1.0 there, 0.8 now" in capsys.readouterr().err


def test_what_was_said_and_is_left_out_now_is_a_difference(
    whole: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out/chains/config.yaml").write_text("seed: 1\n")
    write(chains=CHAINS, sl={"stage": "sft", "chains": "$chains"})
    assert main(["run", "mine.yaml", "--run", "out"]) == 2
    assert "chains: seed: 1 there, 0 now" in capsys.readouterr().err


def test_a_file_may_be_spelt_otherwise(tmp_path: Path) -> None:
    Path("mine.yaml").write_text(
        "needs: {helpful: choices}\nstages:\n  pm: {stage: pm, human: helpful=$helpful, model: some/where}\n"
    )
    for file in ("helpful.jsonl", "other.jsonl"):
        Path(file).touch()
    finish(Path("out/pm"), plan(recipe.load("mine.yaml"), ["helpful=helpful.jsonl"], Path("out"))["pm"])
    run = ["run", "mine.yaml", "--run", str(tmp_path / "out"), "--with"]
    assert main([*run, f"helpful={tmp_path / 'helpful.jsonl'}"]) == 0
    assert main([*run, "helpful=other.jsonl"]) == 2


def test_words_of_a_version_before_that_did_not_quote_them_are_passed_over(
    whole: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out/sl/command.json").unlink()
    Path("out/commands.txt").write_text("cai critique --run ann's out/chains\ncai sft --run ann's out/sl\n")
    assert main(["run", "mine.yaml", "--run", "out"]) == 0
    assert "sl: commands.txt is of a version before" in capsys.readouterr().err


@pytest.mark.parametrize("other", [["--seed", "2"], ["--quick"]])
def test_another_tour_is_refused(other: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = plan(recipe.load("tour"), [], Path("t"))["chains"]
    finish(Path("t/chains"), [*words, "--seed", "1"])
    assert main(["tour", "--run", "t", "--seed", "1", *other]) == 2
    assert "chains: " in capsys.readouterr().err
    assert not Path("t/commands.txt").exists()


def test_what_is_shown_is_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my chains").mkdir()
    write(sl={"stage": "sft", "chains": "my chains", "model": "a\x1b[2J\ncai rm"})
    assert main(["run", "mine.yaml", "--run", "out", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert shown == "cai sft --run out/sl --chains 'my chains' --model 'a\ufffd[2J\ufffdcai rm'\n"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"revisions": 99}, "revisions: 99 is not between"),
        ({"constitution": "nope.yaml"}, "nope.yaml: is neither a file nor a shipped constitution"),
        ({"prompts": "none.jsonl"}, "none.jsonl: is not there"),
        ({"prompts": "red-tea"}, "red-tea: is neither a file nor a shipped prompt set"),
    ],
)
def test_a_wrong_value_is_found_before_the_first_stage(
    wrong: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(first=CHAINS, chains={**CHAINS, **wrong})
    assert main(["run", "mine.yaml", "--run", "out", "--dry-run"]) == 2
    assert f"chains: {said}" in capsys.readouterr().err
    assert main(["run", "mine.yaml", "--run", "out"]) == 2
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"stage": "sft", "chains": "$chains", "learning_rate": -1}, "learning rate: -1"),
        ({"stage": "sft", "chains": "$chains", "steps": -5}, "steps: -5"),
        ({"stage": "pm", "human": "helpful=none.jsonl"}, "none.jsonl: is not there"),
        ({"stage": "label", "pairs": "none", "constitution": "harmless"}, "none: is not there"),
    ],
)
def test_so_is_one_of_a_later_stage(
    stage: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(chains=CHAINS, last=stage)
    assert main(["run", "mine.yaml", "--run", "out", "--dry-run"]) == 2
    assert f"last: {said}" in capsys.readouterr().err


def test_a_constitution_may_come_of_an_earlier_stage(capsys: pytest.CaptureFixture[str]) -> None:
    kept = "$chains/inputs/constitution.yaml"
    pairs = {"stage": "pairs", "prompts": "red-team"}
    judged = {"stage": "pm", "written": "said-harmless", "tuning": "head", "under": kept}
    labels = {"stage": "label", "pairs": "$pairs", "constitution": kept}
    write(chains=CHAINS, pairs=pairs, labels=labels, pm=judged)
    assert main(["run", "mine.yaml", "--run", "out", "--dry-run"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("given", ["helpful=", "helpful=."])
def test_a_file_that_a_recipe_needs_is_a_file(given: str) -> None:
    Path("mine.yaml").write_text("needs: {helpful: choices}\nstages: {pm: {stage: pm, human: $helpful}}\n")
    assert main(["run", "mine.yaml", "--run", "out", "--dry-run", "--with", given]) == 2


@pytest.mark.parametrize("part", ["run/inputs/pairs.jsonl", "run/outputs/labels.jsonl", "run/config.json"])
def test_or_the_folder_of_a_run_or_a_model(part: str) -> None:
    Path(part).parent.mkdir(parents=True)
    Path(part).touch()
    Path("mine.yaml").write_text("needs: {helpful: choices}\nstages: {pm: {stage: pm, human: $helpful}}\n")
    assert main(["run", "mine.yaml", "--run", "out", "--dry-run", "--with", "helpful=run"]) == 0


def test_a_tour_of_a_wrong_seed_makes_no_folder() -> None:
    assert main(["tour", "--run", "t", "--seed", "-1"]) == 2
    assert not Path("t").exists()
