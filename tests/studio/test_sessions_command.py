"""`cai-studio sessions`: the same as the page, from a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import critique_command
from pipeline.__main__ import main as cai
from pipeline.critique import Engines
from pipeline.pairs import make_pair
from pipeline.records import Judgment, Message, Source, as_json
from studio.__main__ import main
from studio.store import constitutions, pairs, runs, settings
from studio.store.constitutions import PROJECT
from studio.store.database import Store

Say = Callable[..., str]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run `cai-studio sessions ...` in a home of its own; returns what it said, after checking the status."""
    monkeypatch.setenv("CAI_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*words: str, status: int = 0) -> str:
        assert main(["sessions", *words]) == status
        said = capsys.readouterr()
        return said.out if status == 0 else said.err

    return run


def test_make_keep_and_hand_on(say: Say, tmp_path: Path) -> None:
    assert "No sessions" in say("list")
    say("create", "alpha")
    store = Store.open(tmp_path / "sessions" / "alpha")
    settings.put(store, "a", "1")
    store.close()
    assert "backups/session-" in say("backup", "alpha")
    assert "asked for" in say("backup", "alpha", "--list")
    assert "-replaced" in say("restore", "alpha")
    say("export", "alpha")
    say("import", "alpha.cai.zip", "--name", "beta")
    say("rename", "beta", "gamma")
    assert [line.split()[0] for line in say("list").splitlines()] == ["alpha", "gamma"]
    store = Store.open(tmp_path / "sessions" / "gamma")
    assert settings.get(store, "a") == "1"
    store.close()


@pytest.mark.parametrize("out", ["alpha.cai.zip", "thesis.txt"])
def test_an_export_replaces_a_file_only_where_it_is_told_to(say: Say, tmp_path: Path, out: str) -> None:
    say("create", "alpha")
    (tmp_path / out).write_text("mine")
    words = ["export", "alpha", *(["-o", out] if out != "alpha.cai.zip" else [])]
    assert f"{out}: is there already; --force replaces it" in say(*words, status=2)
    assert (tmp_path / out).read_text() == "mine"
    say(*words, "--force")
    assert zipfile.is_zipfile(tmp_path / out)


def test_an_archives_name_is_shown_and_not_obeyed(say: Say, tmp_path: Path) -> None:
    say("create", "alpha")
    say("export", "alpha")
    with zipfile.ZipFile("alpha.cai.zip") as whole, zipfile.ZipFile("evil.cai.zip", "w") as evil:
        for name in whole.namelist():
            evil.writestr(name, whole.read(name).replace(b'"alpha"', rb'"a\u001b[2J"'))
    assert "a\ufffd[2J" in say("import", "evil.cai.zip", status=2)
    assert "\x1b" not in say("import", "evil.cai.zip", status=2)


def test_judgments_come_back_as_whose_they_were(say: Say, tmp_path: Path) -> None:
    pair = make_pair("p", (Message("user", "Hi"),), "One.", "Two.", Source("m"), Source("m"), "red_team")
    say("create", "alpha")
    store = Store.open(tmp_path / "sessions" / "alpha")
    with store.tx() as tx:
        pairs.add(tx, [pair], None)
    store.close()
    judged = [Judgment(id, "harmless", "project", "model", "a") for id in (pair.id, "elsewhere")]
    file = tmp_path / "human.jsonl"
    file.write_text("no row\n" + "".join(json.dumps(as_json(one)) + "\n" for one in judged))
    said = say("import-judgments", "alpha", str(file))
    assert "human.jsonl:1" in said
    assert "2 judgments in" in said
    assert "1 of them new here" in said
    file.write_text(json.dumps(as_json(judged[1])) + "\n")
    assert "none of its judgments is of a pair" in say("import-judgments", "alpha", str(file), status=2)


def test_a_headless_run_comes_in_once_however_often_it_is_tried(
    say: Say, tmp_path: Path, scripted: Callable[..., Any], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = scripted()
    monkeypatch.setattr(critique_command, "_load", lambda *_: Engines(engine, engine))
    (tmp_path / "prompts.txt").write_text("One?\nTwo?\n")
    words = ["--constitution", "minimal", "--prompts", "prompts.txt", "--run", "first"]
    assert cai(["critique", *words, "--model", str(tiny_model), "--revisions", "1"]) == 0
    say("create", "alpha")
    assert "first (imported): imported, 2 chains" in say("import-run", "alpha", "first")
    assert "here already" in say("import-run", "alpha", "first")
    store = Store.open(tmp_path / "sessions" / "alpha")
    [run] = runs.listed(store)
    assert (run.state, run.origin, run.total) == ("done", "imported", 2)
    assert len(store.query("SELECT 1 FROM chains")) == 2
    # What ships is in force, as in a session that a studio has opened before.
    assert [version.author for version in constitutions.versions(store, "minimal")] == [PROJECT]
    store.close()


@pytest.mark.parametrize(
    "words",
    [
        ("create", "../x"),
        ("create", "alpha"),
        ("rename", "missing", "x"),
        ("rename", "alpha", "ALPHA"),
        ("backup", "missing"),
        ("restore", "alpha"),
        ("restore", "missing"),
        ("export", "missing"),
        ("export", "alpha", "-o", ""),
        ("export", "alpha", "-o", "sessions", "--force"),
        ("import", "missing.zip"),
        ("import-run", "missing", "."),
        ("import-run", "alpha", "missing"),
        ("import-run", "alpha", "."),
    ],
)
def test_mistakes_are_told_in_one_line_without_a_traceback(say: Say, words: tuple[str, ...]) -> None:
    say("create", "alpha")
    said = say(*words, status=2)
    assert said.startswith("cai-studio: ")
    assert len(said.splitlines()) == 1


def test_a_session_that_a_studio_has_open_says_which(say: Say, tmp_path: Path) -> None:
    say("create", "alpha")
    code = (
        "import sys, pathlib\n"
        "from studio.store.database import Store\n"
        "store = Store.open(pathlib.Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "sessions" / "alpha")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        for words in (("rename", "alpha", "x"), ("backup", "alpha"), ("export", "alpha")):
            assert f"process {other.pid}" in say(*words, status=2)
        assert f"open in process {other.pid}" in say("list")
        other.communicate("")


def test_it_answers_without_gradio() -> None:
    code = (
        "import sys; from studio.__main__ import main; main(['sessions', 'list'])\n"
        "sys.exit(str({'gradio', 'fastapi', 'torch'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
