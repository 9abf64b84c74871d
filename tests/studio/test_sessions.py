"""Where sessions lie, and names that would lead elsewhere."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from pipeline.errors import UserError
from studio.store import archive, lock, runs, sessions, settings, unpacking
from studio.store.database import SessionBusy, Store
from studio.store.runs import NewRun


def test_cai_home_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CAI_HOME", str(tmp_path))
    assert sessions.home() == tmp_path / "sessions"


def test_a_checkout_keeps_its_own_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAI_HOME", raising=False)
    assert sessions.home() == Path(__file__).resolve().parents[2] / "sessions"


@pytest.mark.parametrize("text", [None, "[project]\nname = 'other'\n", "not toml ["])
def test_an_installed_studio_uses_the_users_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
) -> None:
    monkeypatch.delenv("CAI_HOME", raising=False)
    if text:
        (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(sessions, "__file__", str(tmp_path / "studio" / "store" / "sessions.py"))
    assert sessions.home() == platformdirs.user_data_path("cai-studio", appauthor=False) / "sessions"


@pytest.mark.parametrize("name", ["default", "red-team_2.1", "_", "a" * 64, "7", "concert", "com10"])
def test_good_names(tmp_path: Path, name: str) -> None:
    assert sessions.session_folder(tmp_path, name) == tmp_path / name


ESCAPES = ["", ".", "..", ".hidden", "../up", "a/b", "a\\b", "/etc", "C:", "~", "a\0", "a\n"]
UGLY = ["a b", "é", "a" * 65, "CON", "nul.txt", "Com1", "lpt9.x.y", "ends.", "-flag"]


@pytest.mark.parametrize("name", [*ESCAPES, *UGLY])
def test_bad_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        sessions.session_folder(tmp_path, name)


def test_the_list_holds_what_was_opened(tmp_path: Path) -> None:
    assert sessions.list_sessions(tmp_path / "missing") == []
    for name in ("beta", "alpha"):
        Store.open(sessions.session_folder(tmp_path, name)).close()
    (tmp_path / "empty").mkdir()
    assert sessions.list_sessions(tmp_path) == ["alpha", "beta"]


def test_a_folder_that_is_no_session_is_not_listed(tmp_path: Path) -> None:
    Store.open(tmp_path / ".import-1-ab").close()
    assert sessions.list_sessions(tmp_path) == []


def test_a_new_session_is_empty_and_its_name_taken_from_then_on(tmp_path: Path) -> None:
    assert sessions.create_session(tmp_path, "alpha") == tmp_path / "alpha"
    for name in ("alpha", "Alpha"):
        with pytest.raises(UserError, match="is taken"):
            sessions.create_session(tmp_path, name)


def test_what_a_kill_left_of_a_new_session_takes_no_name(tmp_path: Path) -> None:
    (tmp_path / "alpha").mkdir()
    for name in ("session.duckdb.new", "session.duckdb.new.wal"):
        (tmp_path / "alpha" / name).write_bytes(b"half")
    sessions.create_session(tmp_path, "alpha")
    assert sessions.list_sessions(tmp_path) == ["alpha"]


def test_a_name_that_a_kill_left_half_made_may_be_given_to_another(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "alpha")
    archive.export_session(store, tmp_path / "a.zip")
    store.close()
    for name in ("beta", "gamma", "delta"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "session.duckdb.new").write_bytes(b"half")
        (tmp_path / name / "studio.lock").write_text('{"pid": 99999999, "started": 1.0}')
    unpacking.import_session(tmp_path / "a.zip", tmp_path, "beta")
    sessions.rename_session(tmp_path, "alpha", "gamma")
    assert sessions.list_sessions(tmp_path) == ["beta", "gamma"]
    assert not (tmp_path / "gamma" / "session.duckdb.new").exists()
    lock.take(tmp_path / "delta" / "studio.lock", "delta")  # a studio makes it right now
    with pytest.raises(SessionBusy, match="delta"):
        unpacking.import_session(tmp_path / "a.zip", tmp_path, "delta")
    with pytest.raises(SessionBusy, match="delta"):
        sessions.rename_session(tmp_path, "gamma", "delta")
    assert (tmp_path / "delta" / "session.duckdb.new").exists()
    assert sessions.list_sessions(tmp_path) == ["beta", "gamma"]


def test_a_renamed_session_keeps_its_rows_and_opens(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "alpha")
    settings.put(store, "a", "1")
    with pytest.raises(SessionBusy, match="this very process"):
        sessions.rename_session(tmp_path, "alpha", "beta")
    store.close()
    store = Store.open(sessions.rename_session(tmp_path, "alpha", "beta"))
    assert settings.get(store, "a") == "1"
    assert sessions.describe(tmp_path, "beta").pid == os.getpid()
    store.close()
    assert sessions.list_sessions(tmp_path) == ["beta"]
    assert sessions.describe(tmp_path, "beta").pid is None


def test_a_session_is_not_renamed_under_runs_that_name_its_folder(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "alpha")
    run = NewRun(
        id="r1",
        stage="score",
        name="scores × 9",
        config={"pm": str(tmp_path / "alpha" / "runs" / "pm")},
        constitution=None,
        constitution_name=None,
        total=9,
        author="ann",
    )
    with store.tx() as tx:
        runs.add(tx, run, "stopped")
    store.close()
    with pytest.raises(UserError, match=r"can't be renamed yet.*scores × 9"):
        sessions.rename_session(tmp_path, "alpha", "beta")
    store = Store.open(tmp_path / "alpha")
    with store.tx() as tx:
        runs.set_state(tx, "r1", "done", ["stopped"])
    store.close()
    assert sessions.rename_session(tmp_path, "alpha", "beta") == tmp_path / "beta"


def test_a_folder_that_goes_while_sizes_are_summed_is_of_no_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions.create_session(tmp_path, "alpha")
    small = sessions.describe(tmp_path, "alpha").size
    for name in ("snapshot-1", "snapshot-2"):
        (tmp_path / "alpha" / "runs" / name).mkdir(parents=True)
        (tmp_path / "alpha" / "runs" / name / "weights").write_bytes(b"123")
    assert sessions.describe(tmp_path, "alpha").size == small + 6
    scandir = os.scandir

    def gone(path: str) -> Any:
        """A trainer removes an old snapshot right after it was listed."""
        if str(path).endswith("snapshot-1"):
            shutil.rmtree(path, ignore_errors=True)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", gone)
    assert sessions.describe(tmp_path, "alpha").size == small + 3


@pytest.mark.parametrize(("old", "new"), [("alpha", "beta"), ("alpha", "../x"), ("gone", "x"), ("..", "x")])
def test_a_rename_that_will_not_do_changes_nothing(tmp_path: Path, old: str, new: str) -> None:
    for name in ("alpha", "beta"):
        sessions.create_session(tmp_path, name)
    with pytest.raises(UserError):
        sessions.rename_session(tmp_path, old, new)
    assert sessions.list_sessions(tmp_path) == ["alpha", "beta"]
