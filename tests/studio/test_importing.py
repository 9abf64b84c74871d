"""A headless run comes into the session once, or is refused with the reason."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import critique_command
from pipeline.__main__ import main
from pipeline.critique import Engines
from pipeline.errors import UserError
from studio.jobs.importing import import_run
from studio.store import chains, constitutions, runs
from studio.store.chains import ChainFilter
from studio.store.database import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "session")
    yield opened
    opened.close()


@pytest.fixture
def headless(
    tmp_path: Path, scripted: Callable[..., Any], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A run that `cai critique` has drawn."""
    engine = scripted()
    monkeypatch.setattr(critique_command, "_load", lambda drawing: Engines(engine, engine))
    (tmp_path / "prompts.txt").write_text("One?\nTwo?\n")
    folder = tmp_path / "headless"
    words = ["--constitution", "minimal", "--prompts", str(tmp_path / "prompts.txt"), "--run", str(folder)]
    assert main(["critique", *words, "--model", str(tiny_model), "--revisions", "1"]) == 0
    return folder


def test_it_comes_in_with_all_that_made_it_and_only_once(store: Store, headless: Path) -> None:
    first = import_run(store, headless, "ann")
    assert (first.new, first.made) == (True, 2)
    again = import_run(store, headless, "ann")
    assert (again.new, again.id, again.made) == (False, first.id, 2)
    [run] = runs.listed(store)
    assert (run.state, run.origin, run.total, run.author) == ("done", "imported", 2, "ann")
    assert (store.folder / "runs" / first.id / "outputs" / "chains.jsonl").is_file()
    [row, _] = chains.list_chains(store, ChainFilter(run=first.id), 9, 0)
    assert constitutions.load_version(store, row.constitution).name == "minimal"


def test_an_import_that_was_killed_is_done_over(store: Store, headless: Path) -> None:
    import_run(store, headless)
    with store.tx() as tx:  # as if the kill had come before the last transaction
        tx.query("DELETE FROM runs")
        tx.query("DELETE FROM run_states")
    assert import_run(store, headless).made == 2
    assert len(runs.listed(store)) == 1
    assert len(store.query("SELECT 1 FROM chains")) == 2


def test_one_that_was_deleted_may_come_again(store: Store, headless: Path) -> None:
    first = import_run(store, headless)
    with store.tx() as tx:
        runs.set_state(tx, first.id, "deleted", ["done"])
    second = import_run(store, headless)
    assert second.new
    assert [run.id for run in runs.listed(store)] == [second.id]
    assert len(store.query("SELECT 1 FROM chains")) == 2


def test_the_constitution_in_force_stays_in_force(store: Store, headless: Path) -> None:
    from dataclasses import replace

    from pipeline import constitution

    mine = replace(constitution.load(constitution.shipped()["minimal"]), description="mine")
    constitutions.save_version(store, mine, "", "ann")
    import_run(store, headless)
    assert constitutions.latest(store, "minimal") == mine
    assert len(constitutions.versions(store, "minimal")) == 3


def test_links_are_not_followed(store: Store, headless: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (headless / "link").symlink_to(tmp_path / "secret")
    done = import_run(store, headless)
    assert not (store.folder / "runs" / done.id / "link").exists()


def test_what_is_no_run_is_told_plainly(store: Store, headless: Path, tmp_path: Path) -> None:
    def refused(folder: Path, why: str) -> None:
        with pytest.raises(UserError, match=why):
            import_run(store, folder)
        assert runs.listed(store) == []

    refused(tmp_path / "nowhere", "no such folder")
    refused(tmp_path, "no config.yaml")
    refused(store.folder / "x", "no such folder")
    with (headless / "events.jsonl").open("a") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        refused(headless, "a process is at work")
    for name, text, why in (
        ("config.yaml", "- a", "not the config"),
        ("config.yaml", "stage: sft", "does not know"),
        ("config.yaml", "stage: critique\nrevisions: x", "config.yaml"),
        ("inputs/constitution.yaml", "name: [", "constitution.yaml"),
    ):
        copy = tmp_path / "copy"
        shutil.copytree(headless, copy)
        (copy / name).write_text(text)
        refused(copy, why)
        shutil.rmtree(copy)
    (headless / "outputs" / "chains.jsonl").unlink()
    refused(headless, "no chains yet")


def test_a_stopped_one_can_be_resumed_here(store: Store, headless: Path) -> None:
    whole = headless / "outputs" / "chains.jsonl"
    lines = whole.read_text().splitlines(keepends=True)
    (headless / "outputs" / "chains.jsonl.part").write_text(lines[0])
    whole.unlink()
    events = [json.loads(line) for line in (headless / "events.jsonl").read_text().splitlines()]
    events[-1]["status"] = "stopped"
    (headless / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    done = import_run(store, headless)
    run = runs.load(store, done.id)
    assert run
    assert (run.state, done.made) == ("stopped", 1)
