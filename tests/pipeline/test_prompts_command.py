"""`cai prompts`: import, list, show; and a shipped set where a prompt file is asked for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pipeline import critique_command, prompts
from pipeline.__main__ import main
from pipeline.configs import Drawing


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("prompt\nwhy?\n=SUM(A1)\na,b\nwhy?\n")
    return path


def test_an_import_writes_the_good_rows_and_tells_the_others(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    marks = ["--kind", "helpful", "--split", "heldout", "--tag", "a", "--tag", "b", "--tag", "a"]
    assert main(["prompts", "import", str(mixed), "-o", str(output), *marks]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(output)
    assert told.err.splitlines() == [
        f"{mixed}:4: 2 fields under 1 columns; a text that holds the delimiter needs quotes",
        "repeats of earlier prompts, merged: 1",
        "prompts imported: 2, bad rows left out: 1",
    ]
    found = prompts.read(output).prompts
    assert [p.messages[0].content for p in found] == ["why?", "=SUM(A1)"]
    assert {(p.kind, p.split, p.tags, p.source) for p in found} == (
        {("helpful", "heldout", ("a", "b"), "in.csv")}
    )


def test_what_is_there_is_replaced_only_by_force(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("precious")
    command = ["prompts", "import", str(mixed), "-o", str(output)]
    assert main(command) == 2
    assert "out.jsonl: is there already; --force replaces it" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert main([*command, "--force"]) == 0
    assert len(prompts.read(output).prompts) == 2
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "out.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["import", "{in}", "-o", "{dir}/out.csv"], "out.csv: a prompt file's name must end with .jsonl"),
        (["import", "{in}", "-o", "{dir}/none/out.jsonl"], "can't be written: No such file or directory"),
        (["import", "{in}", "-o", "{dir}/folder.jsonl", "--force"], "folder.jsonl: is there already"),
        (["import", "{dir}/none.csv", "-o", "{dir}/out.jsonl"], "none.csv: can't be read"),
        (["import", "nothing", "-o", "{dir}/out.jsonl"], "neither a file nor a shipped prompt set"),
        (["import", "{dir}/folder.jsonl", "-o", "{dir}/out.jsonl"], "folder.jsonl: is not a file"),
        (["show", "red-team:best"], "red-team has the splits train and heldout"),
        (["show", "red-team:train:0"], "'0' is no number from 1 to "),
        (["show", "red-team:train:" + "9" * 5_000], " is no number from 1 to "),
        (["show", "{in}", "--split", "heldout"], "no prompt of the split heldout"),
    ],
)
def test_a_mistake_is_told_and_writes_nothing(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    places = {"in": mixed, "dir": tmp_path}
    assert main(["prompts", *(argument.format(**places) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["folder.jsonl", "in.csv"]


def test_a_set_can_be_taken_out_to_edit_it(tmp_path: Path) -> None:
    assert main(["prompts", "import", "red-team:heldout", "-o", str(tmp_path / "mine.jsonl")]) == 0
    assert prompts.read(tmp_path / "mine.jsonl").prompts == tuple(
        p for p in prompts.starter("red_team") if p.split == "heldout"
    )


def test_list_counts_the_sets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompts", "list"]) == 0
    told = capsys.readouterr().out
    for name in ("red-team:train", "red-team:heldout", "helpful:train", "helpful:heldout"):
        assert name in told
    assert "illegal-access 1" in told


def test_show_prints_the_split_that_a_name_stands_for(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for words in (["red-team"], ["red-team:heldout"], ["red-team", "--split", "heldout"]):
        assert main(["prompts", "show", *words]) == 0
        shown.append(capsys.readouterr().out)
    assert "How can I light a fire in the forest?" in shown[0]
    assert "How can I light a fire in the forest?" not in shown[1]
    assert shown[1] == shown[2]


def test_show_lets_no_file_speak_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.txt").write_text("red \x1b[31m text\n")
    assert main(["prompts", "show", str(tmp_path / "p.txt")]) == 0
    assert "red �[31m text" in capsys.readouterr().out


def test_progress_is_for_a_terminal_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than what is read at a time: else all of it is read with its first row.
    (tmp_path / "p.txt").write_text("\n".join(f"{i} {'why ' * 40}" for i in range(2500)))
    command = ["prompts", "import", str(tmp_path / "p.txt"), "-o", str(tmp_path / "o.jsonl"), "--force"]
    assert main(command) == 0
    assert "\r" not in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert main(command) == 0
    assert "\r2,000 rows · " in capsys.readouterr().err


def test_critique_takes_a_set_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def note(work: object, todo: list[object], *rest: object) -> None:
        drawn.append(len(todo))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(critique_command, "_draw", note)
    monkeypatch.setattr(critique_command, "writers", lambda **named: {})
    words = ["critique", "--constitution", "minimal", "--run", str(tmp_path / "run")]
    for _ in ("a run", "the same one resumed"):
        assert main([*words, "--prompts", "red-team:heldout"]) == 130
    kept = prompts.read(tmp_path / "run" / "inputs" / "prompts.jsonl").prompts
    assert {p.split for p in kept} == {"heldout"}
    assert drawn == [len(kept)] * 2
    assert main([*words, "--prompts", "red-team"]) == 2
    assert Drawing().revisions >= 1


def test_some_prompts_of_a_set_are_spread_over_it() -> None:
    every = [p for p in prompts.starter("red_team") if p.split == "train"]
    with prompts.find("red-team:train:5") as path:
        some = prompts.read(path).prompts
    places = [[p.id for p in every].index(p.id) for p in some]
    assert places == [i * len(every) // 5 for i in range(5)]
