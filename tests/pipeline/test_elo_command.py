"""`cai elo`: the table, the JSON rows, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.matchups import Annotator, Matchup
from pipeline.records import as_json


@pytest.fixture
def arena(tmp_path: Path) -> Path:
    """30 prompts on which x beat y, and 10 on which it lost."""
    path = tmp_path / "arena.csv"
    votes = [f"x,y,{winner},prompt {i}" for i, winner in enumerate(["model_a"] * 30 + ["model_b"] * 10)]
    path.write_text("\n".join(["model_a,model_b,winner,prompt", *votes]) + "\n")
    return path


def judged(tmp_path: Path, *rows: tuple[str, str]) -> Path:
    """Ten matchups of x and y for each axis and kind of annotator."""
    path = tmp_path / "matchups.jsonl"
    made = [
        Matchup(
            f"{axis}{kind}{i}", f"p{i}", axis, "x", "y", "j", Annotator("j", kind), 0.9, i / 10, 0.7  # type: ignore[arg-type]
        )
        for axis, kind in rows
        for i in range(10)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(as_json(m)) + "\n" for m in made))
    return path


def test_a_table(arena: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["elo", str(arena), "--base", "y"]) == 0
    head, counts, first, base, note = capsys.readouterr().out.splitlines()
    assert head == "overall, judged by arena.csv (imported judgments)"
    assert counts == "  40 votes of 40 prompts, majorities of both orders; y = 0"
    assert first.startswith("  x    +191  [")
    assert first.endswith("  n = 40")
    assert base == f"  y  {0:>6}{'':18}  n = 40"
    assert note == "Only differences within a table mean anything."


def test_json_rows(arena: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["elo", str(arena), "--json", "--base", "y", "--axis", "helpful"]) == 0
    x, y = json.loads(capsys.readouterr().out)
    assert list(x)[:7] == ["axis", "judge", "model", "elo", "low", "high", "n"]
    assert (x["axis"], x["judge"], x["model"], x["n"]) == ("helpful", "arena.csv", "x", 40)
    assert 0 < x["low"] < x["elo"] < x["high"]
    assert (y["elo"], y["base"], y["rule"], y["kind"]) == (0.0, "y", "majority", "imported")


def test_people_and_models_have_a_table_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = judged(tmp_path, ("helpful", "person"), ("helpful", "model"), ("harmless", "model"))
    assert main(["elo", str(path)]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if "judged by" in line] == [
        "helpful, judged by j (people)",
        "helpful, judged by j (a model)",
        "harmless, judged by j (a model)",
    ]
    assert main(["elo", str(path), "--axis", "harmless"]) == 0
    assert capsys.readouterr().out.startswith("harmless, judged by j (a model)")


def test_soft_counts_probabilities_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = judged(tmp_path, ("helpful", "model"))
    assert main(["elo", str(path), "--json", "--base", "y", "--soft"]) == 0
    x, _ = json.loads(capsys.readouterr().out)
    assert (round(x["elo"]), x["rule"]) == (147, "soft")  # 400 log10(0.7 / 0.3)


def test_no_infinite_rating_is_printed_as_a_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("model_a,model_b,winner\nx,y,model_a\nx,y,model_a\nv,w,tie\n")
    assert main(["elo", str(path), "--base", "y"]) == 0
    out = capsys.readouterr().out
    assert "above any number  n = 2" in out
    assert "not compared  n = 1" in out
    assert "  ! x: never lost to y" in out
    assert main(["elo", str(path), "--base", "y", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [(row["model"], row["elo"], row["standing"]) for row in rows] == [
        ("x", None, "above"),
        ("y", 0.0, "rated"),
        ("v", None, "apart"),
        ("w", None, "apart"),
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--base", "z"], "--base z: has no vote here; the models are x, y"),
        (["--axis", "harmless"], None),
        (["--seed", "-1"], "--seed: -1 is below 0"),
    ],
)
def test_mistakes_are_told(
    arena: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str | None
) -> None:
    assert main(["elo", str(arena), *words]) == (2 if said else 0)
    assert (said or "") in capsys.readouterr().err


def test_bad_rows_are_told_with_their_line(arena: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arena.write_text(arena.read_text() + "x,\x1b[31m,nobody,why\n")
    assert main(["elo", str(arena)]) == 0
    assert f"{arena}:42: winner: 'nobody' is none of" in capsys.readouterr().err
    arena.write_text("a\nb\n")
    assert main(["elo", str(arena)]) == 2
    assert f"cai: {arena}:1: no matchups in this file" in capsys.readouterr().err


def test_a_base_that_one_judge_has_not_seen_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("model_a,model_b,winner,judge\nx,y,tie,one\nv,w,tie,two\n")
    assert main(["elo", str(path), "--base", "y"]) == 0
    assert "judged by two (imported): y has no vote there; v is 0 instead" in capsys.readouterr().err
