"""Recipes: what they say, what is wrong with them, and the commands that they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import recipe
from pipeline.__main__ import main
from pipeline.errors import InputError, UserError
from pipeline.recipe_command import plan


def write(tmp_path: Path, **content: Any) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


def test_a_run_takes_what_an_earlier_one_made(tmp_path: Path) -> None:
    stages = {
        "chains": {"stage": "critique", "prompts": "red-team", "revisions": 2, "critiques": False},
        "sl": {"stage": "sft", "chains": ["$chains"], "checkpointing": True},
    }
    commands = plan(recipe.load(write(tmp_path, stages=stages)), [], Path("out"))
    assert commands["sl"] == ["sft", "--run", "out/sl", "--chains", "out/chains", "--checkpointing", "true"]
    assert commands["chains"][-2:] == ["--critiques", "false"]


def test_a_recipe_may_end_in_a_tournament(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {
        "prompts": "red-team:heldout",
        "judge": "bundled",
        "constitution": "harmless",
        "axis": "harmless",
    }
    stages = {
        "sl": {"stage": "sft", "written": "harmless"},
        "elo": {"stage": "evaluate", "models": ["bundled", "$sl"], **asked},
    }
    assert main(["run", write(tmp_path, stages=stages), "--run", "out", "--dry-run"]) == 0
    assert "cai evaluate --run out/elo --models bundled out/sl --prompts" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(recipe.shipped()))
def test_each_shipped_recipe_is_made_of_commands_that_exist(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text("")
    needs = [f"{need}={file}" for need in recipe.load(name).needs]
    given = ["--with", *needs] if needs else []
    assert main(["run", name, "--run", str(tmp_path / "runs"), "--dry-run", *given]) == 0
    assert capsys.readouterr().out.count("cai ") == len(recipe.load(name).steps)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"stages": {}}, "stages: expected at least one run"),
        ({"stages": {"a": {"stage": "bake"}}}, "a: stage: expected one of critique"),
        ({"stages": {"a": {"stage": "sft", "chains": "$b"}}}, r"a: chains: \$b is no earlier run"),
        ({"stages": {"A b": {"stage": "sft"}}}, "a run's name has small letters"),
        ({"stages": {"a": {"stage": "sft", "run": "x"}}}, "a: run: is not for a recipe to say"),
        ({"stages": {"a": {"stage": "sft", "run=x": True}}}, "a: run=x: an option has small letters"),
        (
            {"stages": {"a": {"stage": "sft", "chains": ["x", "--run", "y"]}}},
            "a: chains: '--run' begins with -",
        ),
        ({"stages": {"a": {"stage": "sft", "model": "--run=y"}}}, "a: model: '--run=y' begins with -"),
        ({"steps": {}}, "steps: is not known here"),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, content: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        recipe.load(write(tmp_path, **content))


def test_an_unknown_option_is_told_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, stages={"sl": {"stage": "sft", "speed": 3}})
    assert main(["run", path, "--run", str(tmp_path / "out")]) == 2
    assert "sl: unrecognized arguments: --speed 3" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"stage": "critique", "critique": False},
        {"stage": "critique", "sed": False},
        {"stage": "critique", "revisionz": None},
        {"stage": "sft", "ru": "elsewhere"},
    ],
)
def test_a_mistyped_option_is_told_whatever_its_value(
    tmp_path: Path, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, stages={"a": {"constitution": "harmless", "prompts": "red-team", **options}})
    assert main(["run", path, "--run", str(tmp_path / "out"), "--dry-run"]) == 2
    assert f"--{list(options)[1]}" in capsys.readouterr().err


def test_a_number_may_be_negative(tmp_path: Path) -> None:
    path = write(tmp_path, stages={"a": {"stage": "critique", "seed": -1, "temperature": "-.5"}})
    assert recipe.load(path).steps[0].options["seed"] == -1


def test_files_that_lack_are_named_with_what_they_are() -> None:
    with pytest.raises(UserError, match=r"helpful \(human comparisons on helpfulness\)"):
        plan(recipe.load("rl-cai"), [], Path("out"))


def test_a_recipe_may_be_like_another_but_for_some_options(tmp_path: Path) -> None:
    short = recipe.load(write(tmp_path, name="Mine", like="tour", stages={"rl": {"steps": 1, "judge": None}}))
    tour = recipe.load("tour")
    assert (short.name, short.about, short.deviations) == ("Mine", tour.about, tour.deviations)
    assert [step.says for step in short.steps] == [step.says for step in tour.steps]
    of = {step.name: step.options for step in short.steps}
    assert of["rl"]["steps"] == 1
    assert of["chains"] == tour.steps[0].options
    assert "--judge" not in plan(short, [], Path("out"))["rl"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"like": "none"}, "mine.yaml:1: like: expected a shipped recipe"),
        ({"like": 3}, "like: expected a shipped recipe"),
        ({"like": ["tour"]}, "like: expected a shipped recipe"),
        ({"like": {"a": "b"}}, "like: expected a shipped recipe"),
        ({"like": "tour", "stages": {"bake": {"steps": 1}}}, "bake: tour has no such run"),
        ({"like": "tour", "stages": {"rl": {"pm": "$none"}}}, r"rl: pm: \$none is no earlier run"),
        ({"like": "tour", "stages": ["rl"]}, "stages: expected runs of tour"),
        ({"like": "tour", "stages": {"rl": 3}}, "stages: expected runs of tour"),
        ({"like": "tour", "steps": 3}, "steps: is not known here"),
    ],
)
def test_a_fault_in_a_recipe_that_is_like_another(
    tmp_path: Path, content: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        recipe.load(write(tmp_path, **content))


def test_broken_yaml_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("stages:\n  a: {stage: sft\n")
    with pytest.raises(InputError, match=r"broken.yaml:3: expected"):
        recipe.load(str(path))
