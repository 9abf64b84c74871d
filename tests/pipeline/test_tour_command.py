"""The tour: what it says at its end. That its stages run is in `test_tour_quick.py`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline import recipe, tour_command
from pipeline.__main__ import main

ROW: dict[str, Any] = {"model": "bundled", "elo": 0.0, "low": 0.0, "high": 0.0, "n": 9, "standing": "rated"}


def test_the_outcome_is_told_as_it_is(tmp_path: Path) -> None:
    trained = {**ROW, "model": "x/rl/snapshots/step-5", "elo": 112.4, "low": -20.2, "high": None}
    above = {**ROW, "model": "x/rl", "elo": None, "standing": "above"}
    heldout = {"judge_heldout": {"value": 0.61, "n": 40}}
    for axis, rows in (("harmless", [ROW, trained]), ("helpful", [{**ROW, **heldout}, above])):
        (tmp_path / axis / "outputs").mkdir(parents=True)
        (tmp_path / axis / "outputs" / "ratings.json").write_text(json.dumps(rows))
    told = list(tour_command.outcome(tmp_path))
    assert told[0] == "harmless: Elo against the plain model, by a judge"
    assert told[2] == "  rl at step-5  +112, its interval has no end (n=9)"
    assert told[3].endswith("which agrees with 61% of 40 held-out pairs, which no person judged")
    assert told[5].split(maxsplit=1)[1] == "above the plain model in all 9 matchups: no number"


def test_a_file_is_no_folder_for_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.txt").write_text("mine")
    assert main(["tour", "--run", str(tmp_path / "p.txt")]) == 2
    assert "p.txt: is a file; --run names a folder" in capsys.readouterr().err


def test_the_quick_tour_is_the_tour_with_smaller_numbers() -> None:
    long, short = recipe.load("tour"), recipe.load("tour-quick")
    assert short.deviations == long.deviations
    assert all(step.says for step in long.steps)
    for one, other in zip(long.steps, short.steps, strict=True):
        assert (one.name, one.stage, one.says) == (other.name, other.stage, other.says)
        assert one.options.keys() == other.options.keys()
        assert [_words(value) for value in one.options.values()] == [
            _words(value) for value in other.options.values()
        ]


def _words(value: object) -> str:
    return re.sub(r"\d+", "N", str(value))
