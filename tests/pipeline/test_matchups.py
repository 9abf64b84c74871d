"""Reading matchups: our JSONL, the arena's files, and bad rows by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import matchups
from pipeline.errors import InputError, UserError
from pipeline.matchups import Annotator, Matchup
from pipeline.records import as_json, content_id

OURS = Matchup(
    id="1",
    prompt_id="p",
    axis="harmless",
    model_a="bundled",
    model_b="runs/sl",
    judge="runs/pm",
    annotator=Annotator("runs/pm", "model"),
    p_ab=0.9,
    p_ba=0.7,
    p_a=0.8,
    response_a="No.",
    response_b="Yes.",
    time="2026-01-01T00:00:00Z",
)


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def table(path: Path, *rows: str) -> tuple[Matchup, ...]:
    return matchups.read(lines(path, *rows)).matchups


def test_ours_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert matchups.read(lines(tmp_path / "m.jsonl", as_json(OURS))).matchups == (OURS,)


def test_a_run_stands_for_its_matchups(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    with pytest.raises(UserError, match=r"has no outputs/matchups.jsonl"):
        matchups.read(tmp_path)
    part = lines(tmp_path / "outputs" / "matchups.jsonl.part", as_json(OURS))
    with pytest.raises(UserError, match="not finished"):
        matchups.read(tmp_path)
    part.rename(tmp_path / "outputs" / "matchups.jsonl")
    assert matchups.read(tmp_path).matchups == (OURS,)


def test_an_arena_csv_with_a_winner(tmp_path: Path) -> None:
    rows = "model_a,model_b,winner", "x,y,model_a", "x,y,model_b", "x,y,tie", "x,y,tie (bothbad)", "x,y,y"
    found = table(tmp_path / "arena.csv", *rows)
    assert [m.p_a for m in found] == [m.p_ab for m in found] == [1, 0, 0.5, 0.5, 0]
    assert {m.judge for m in found} == {"arena.csv"}
    assert {m.annotator for m in found} == {Annotator("arena.csv", "imported")}
    assert {m.axis for m in found} == {"overall"}
    assert [m.prompt_id for m in found] == [""] * 5  # each row is a prompt of its own
    assert [m.id for m in found] == [f"arena.csv:{line}" for line in range(2, 7)]


def test_votes_of_an_array_on_one_line_all_count(tmp_path: Path) -> None:
    vote = {"model_a": "x", "model_b": "y", "winner": "model_a"}
    (tmp_path / "arena.json").write_text(json.dumps([vote, vote, {**vote, "winner": "model_b"}]))
    found = matchups.read(tmp_path / "arena.json")
    assert [(m.id, m.p_a) for m in found.matchups] == [
        ("arena.json:1", 1),
        ("arena.json:1#2", 1),
        ("arena.json:1#3", 0),
    ]
    assert (found.problems, found.duplicates) == ((), 0)


def test_an_arena_csv_with_three_columns_for_the_winner(tmp_path: Path) -> None:
    head = "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie"
    [one, tie] = table(tmp_path / "a.csv", head, "1,x,y,Why?,so,no,0,1,0", "2,x,y,Why?,so,no,0,0,1")
    assert (one.p_a, tie.p_a, one.response_b) == (0, 0.5, "no")
    assert one.prompt_id == tie.prompt_id == content_id([{"role": "user", "content": "Why?"}])


def test_columns_that_say_more(tmp_path: Path) -> None:
    head = "model_a,model_b,winner,prompt_id,axis,judge,annotator"
    [one] = table(tmp_path / "a.csv", head, "x,y,tie,p7,harmless,gpt,Ann")
    assert (one.prompt_id, one.axis, one.judge) == ("p7", "harmless", "gpt")
    assert one.annotator == Annotator("Ann", "imported")


def test_the_arenas_visitors_are_annotators_and_not_judges(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    row = {"model_a": "x", "model_b": "y", "winner": "model_a", "judge": "arena_user_9", "question_id": "q"}
    [one] = matchups.read(lines(tmp_path / "a.jsonl", {**row, "conversation_a": turns})).matchups
    assert (one.judge, one.annotator.name) == ("a.jsonl", "arena_user_9")
    assert one.prompt_id == content_id([turns[0]])
    assert table(tmp_path / "b.jsonl", json.dumps(row))[0].prompt_id == "q"


def test_rows_that_name_no_axis_are_about_the_one_given(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.csv", "model_a,model_b,winner,axis", "x,y,tie,", "x,y,tie,harmless")
    assert [m.axis for m in matchups.read(path, "helpful").matchups] == ["helpful", "harmless"]


def test_bad_rows_are_told_by_line_and_the_others_kept(tmp_path: Path) -> None:
    ours = as_json(OURS)
    bad = [
        "{",
        [1],
        {**ours, "p_ab": 1.5},
        {**ours, "p_a": float("nan")},
        {**ours, "axis": "pretty"},
        {**ours, "model_b": "bundled"},
        {**ours, "model_a": ""},
        {**ours, "p_a": 0.1},
        {"model_a": "x", "model_b": "y"},
        {"model_a": "x", "model_b": "y", "winner": "z"},
        {"model_a": "x", "model_b": "y", "winner": "tie", "axis": "pretty"},
    ]
    found = matchups.read(lines(tmp_path / "m.jsonl", ours, *bad, ours))
    assert (found.matchups, found.duplicates) == ((OURS,), 1)
    at = f"{tmp_path / 'm.jsonl'}:"
    assert [p.removeprefix(at).partition(":")[0] for p in found.problems] == [str(n) for n in range(2, 13)]
    said = [p.removeprefix(at).partition(": ")[2] for p in found.problems]
    assert said[1:3] == ["not a JSON object", "p_ab: Input should be less than or equal to 1"]
    assert said[5] == "model_a, model_b: both are bundled"
    assert said[6] == "model_a: no model is named"
    assert said[7] == "the id 1 is already another matchup's"
    assert said[8].startswith("no winner here: expected `winner`")
    assert said[9].startswith("winner: 'z' is none of model_a, model_b, tie")
    assert found.report()[-1] == "repeats of earlier matchups, left out: 1"


def test_a_file_without_matchups_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.csv:1: no matchups in this file: no column is one of model_a"):
        table(tmp_path / "a.csv", "name,score", "x,1")
    with pytest.raises(InputError, match="no matchups in this file"):
        table(tmp_path / "m.jsonl", "{}")
    with pytest.raises(InputError, match="can't be read"):
        matchups.read(tmp_path / "nowhere.csv")
