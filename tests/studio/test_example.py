"""The example: unpacked once, read-only however it is opened, and back to the session of before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from pipeline import constitution
from pipeline.configs import Drawing
from pipeline.errors import UserError
from pipeline.pairs import make_pair
from pipeline.prompts import from_text
from pipeline.records import Judgment, Message, Source
from studio import api, audit_acts, example, sessions_command
from studio.app import Pages, build
from studio.components import audit_asking
from studio.components.audit_picture import Asked
from studio.components.leaving import leave_for
from studio.context import Studio, moved
from studio.jobs import batch, importing, recipes
from studio.store import (
    archive,
    backups,
    constitutions,
    gates,
    judgments,
    pairs,
    sessions,
    sightings,
    verdicts,
)
from studio.store.database import SessionReadOnly, Store

SENTENCE = (
    "This is the example, which is read-only: open a session of your own under Sessions, and do it there."
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home for sessions, and a recorded example that holds a constitution called `recorded`."""
    store = Store.open(tmp_path / "made" / "tour")
    some = constitution.load(constitution.shipped()["minimal"])
    constitutions.seed_shipped(store, [some])
    archive.export_session(store, tmp_path / "recorded" / example.ARCHIVE)
    store.close()
    (tmp_path / "recorded" / example.CARD).write_text("Made by a test.", "utf-8")
    monkeypatch.setattr(example, "HERE", (tmp_path / "recorded",))
    monkeypatch.setenv("CAI_HOME", str(tmp_path))
    return tmp_path / "sessions"


@pytest.fixture
def opened(home: Path) -> Iterator[Studio]:
    """The example, open."""
    studio = Studio.open(example.unpack(home), example.NAME)
    yield studio
    studio.close()


def test_it_is_unpacked_once_and_anew_where_another_came_with_the_studio(home: Path, tmp_path: Path) -> None:
    folder = example.unpack(home)
    (folder / "runs").mkdir()
    (folder / "runs" / "old").write_text("of the first")
    assert example.unpack(home) == folder == home / "example"
    assert (folder / "runs" / "old").exists()
    store = Store.open(tmp_path / "made" / "tour")
    constitutions.seed_shipped(store, [constitution.load(constitution.shipped()["harmless"])])
    archive.export_session(store, tmp_path / "recorded" / example.ARCHIVE)
    store.close()
    example.unpack(home)
    assert not (folder / "runs" / "old").exists()
    assert [path.name for path in home.iterdir()] == ["example"]


def test_it_may_lie_beside_its_archive_and_card_as_in_a_checkout(home: Path) -> None:
    (home / "example").mkdir(parents=True)
    (home / "example" / example.CARD).write_text("card")
    example.unpack(home)
    assert (home / "example" / example.CARD).read_text() == "card"
    assert sessions.list_sessions(home) == ["example"]


def test_a_kill_in_the_middle_leaves_nothing_that_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            example.unpack(home)
    store = Store.open(example.unpack(home))
    assert constitutions.versions(store, "minimal")
    store.close()


def test_a_session_of_ones_own_is_never_taken_for_it(home: Path) -> None:
    sessions.create_session(home, "example")
    with pytest.raises(UserError, match=r"“example” is a session of your own: rename it under Sessions"):
        example.unpack(home)


def test_without_a_recorded_one_it_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "HERE", ())
    with pytest.raises(UserError, match="came without the example"):
        example.unpack(home)
    assert example.card() == ""


def a_draft(studio: Studio) -> None:
    some = constitution.load(constitution.shipped()["minimal"])
    constitutions.keep_version(studio.store, some, "", "ann")


def a_batch(studio: Studio) -> None:
    some = constitution.load(constitution.shipped()["minimal"])
    batch.prepare_critique(studio.store, studio.jobs.folder, [from_text("Hi")], some, Drawing(), "", "ann")


WRITES: dict[str, Callable[[Studio], object]] = {
    "a chain": lambda s: s.live.start(
        from_text("Hi"), constitution.load(constitution.shipped()["minimal"]), Drawing(), "ann"
    ),
    "a run": a_batch,
    "a tour": lambda s: recipes.enqueue(s.store, s.jobs.folder, "tour", "ann"),
    "stop": lambda s: s.jobs.stop("x"),
    "delete": lambda s: s.jobs.delete("x"),
    "a version": a_draft,
    "a verdict": lambda s: verdicts.judge(s.store, "x", "ann", "accepted"),
    "a setting": lambda s: gates.set_threshold(s.store, 0.7),
    "a run from elsewhere": lambda s: importing.import_run(s.store, Path("x")),
    "a backup": lambda s: backups.back_up(s.store),
    "a backup put back": lambda s: backups.restore_backup(s.folder, Path("x")),
    "another name": lambda s: sessions.rename_session(s.folder.parent, "example", "mine"),
}


@pytest.mark.parametrize("what", WRITES)
def test_what_would_write_is_refused_with_one_sentence(what: str, opened: Studio) -> None:
    before = {path: path.stat().st_mtime_ns for path in opened.folder.rglob("*")}
    with pytest.raises(SessionReadOnly) as refused:
        WRITES[what](opened)
    assert str(refused.value) == SENTENCE
    assert {path: path.stat().st_mtime_ns for path in opened.folder.rglob("*")} == before


def test_looking_writes_nothing_and_is_not_refused(opened: Studio) -> None:
    sightings.note(opened.store, "ann", ["pair"])
    assert not sightings.shown(opened.store, "pair", "ann")


def test_a_script_is_told_the_same(opened: Studio) -> None:
    with pytest.raises(gr.Error) as refused:
        api.Api(opened).start_critique(["Hi"], "", "minimal", "bundled", 1, 8, 0, gr.Request(username="ann"))
    assert SENTENCE in str(refused.value)


def test_where_no_part_of_a_page_tells_it_gradio_does(opened: Studio) -> None:
    with Pages() as pages:
        gr.Button().click(lambda: opened.jobs.stop("x"))
    with pytest.raises(gr.Error) as refused:
        asyncio.run(pages.process_api(0, []))
    assert SENTENCE in str(refused.value)


def test_from_a_session_into_it_and_back(home: Path) -> None:
    mine = Studio.open(home / "mine", "mine")
    example.unpack(home)
    leave_for(mine, example.NAME)
    mine.close()
    there = moved(mine)
    assert there
    assert (there.session, there.store.read_only, there.mover.before) == ("example", True, "mine")
    leave_for(there, there.mover.before)
    there.close()
    back = moved(there)
    assert back
    assert (back.session, back.store.read_only) == ("mine", False)
    back.close()


def test_a_terminal_is_told_the_same_and_may_copy_it(home: Path, tmp_path: Path) -> None:
    example.unpack(home)
    with pytest.raises(SessionReadOnly):
        sessions_command.run(["import-run", "example", str(tmp_path)])
    sessions_command.run(["export", "example", "-o", str(tmp_path / "copy.cai.zip")])
    sessions_command.run(["import", str(tmp_path / "copy.cai.zip"), "--name", "mine"])
    copy: Any = Store.open(home / "mine")
    assert not copy.read_only
    copy.close()


def test_the_app_of_the_example_has_the_events_of_any_other(opened: Studio, home: Path) -> None:
    """A tab of the session before calls them by number until it has loaded anew."""
    mine = Studio.open(home / "mine", "mine")
    here, there = _events(mine), _events(opened)
    mine.close()
    assert here == there


def _events(studio: Studio) -> list[Any]:
    found = build(studio).state.gradio.get_blocks().config["dependencies"]
    return [(fn["id"], [name for _, name in fn["targets"]], len(fn["inputs"])) for fn in found]


def test_a_pair_is_shown_in_the_example_with_who_said_what_of_it(home: Path, tmp_path: Path) -> None:
    pair = make_pair("p", (Message("user", "Hi"),), "One.", "Two.", Source("m"), Source("m"), "red_team")
    store = Store.open(tmp_path / "made" / "tour")
    with store.tx() as tx:
        pairs.add(tx, [pair], None)
        judgments.add_imported(tx, [Judgment(pair.id, "harmless", "project", "model", "a")], None)
    archive.export_session(store, tmp_path / "recorded" / example.ARCHIVE)
    store.close()
    store, asking = Store.open(example.unpack(home)), audit_asking.read({}, "ann")
    asked = Asked()
    blind = audit_acts.arrive(store, asked, asking, None)
    assert "project" not in str(blind.view)
    press = {"item": pair.id, "state": "blind"}
    assert "project (a model)" in str(audit_acts.act(store, asked, asking, {**press, "action": "show"}).view)
    assert "project (a model)" in str(audit_acts.arrive(store, asked, asking, pair.id, shown=True).view)
    assert SENTENCE in str(audit_acts.act(store, asked, asking, {**press, "action": "a"}).said)
    store.close()
