"""Copies of a session: one moment of it, whole or not there, and the way back."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipeline.errors import UserError
from studio.context import Studio
from studio.pages.sessions import _copies
from studio.store import backups, settings
from studio.store.backups import back_up, find_backup, list_backups, restore_backup
from studio.store.database import SessionBusy, Store
from studio.store.migrate import newest_backup
from studio.store.sessions import list_sessions
from studio.store.unpacking import import_session

# Does one thing for ever; says "round" each time it is done.
VICTIM = """
import sys, pathlib
from studio.store.archive import export_session
from studio.store.backups import back_up
from studio.store.database import Store
from studio.store.unpacking import import_session
what, home = sys.argv[1], pathlib.Path(sys.argv[2])
store = Store.open(home / "alpha")
export_session(store, home.parent / "whole.zip")
number = 0
print("round", flush=True)
while True:
    number += 1
    if what == "back_up":
        back_up(store)
    elif what == "export":
        export_session(store, home.parent / "out" / "alpha.cai.zip")
    else:
        import_session(home.parent / "whole.zip", home, f"copy{sys.argv[3]}-{number}")
    print("round", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sessions" / "alpha"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    store = Store.open(folder)
    settings.put(store, "a", "1")
    yield store
    store.close()


def values(file: Path) -> list[tuple[str, str]]:
    with duckdb.connect(str(file), read_only=True) as con:
        found: list[tuple[str, str]] = con.execute("SELECT key, value FROM settings ORDER BY seq").fetchall()
        return found


def test_a_backup_holds_what_is_committed_and_the_session_stays_locked(store: Store) -> None:
    with store.tx() as tx:
        tx.query("INSERT INTO settings (key, value) VALUES ('b', 'not yet')")
        copy = back_up(store)
    assert values(copy) == [("a", "1")]
    assert newest_backup(store.folder) == copy
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    code = "import sys, duckdb; duckdb.connect(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", code, str(store.folder / "session.duckdb")], capture_output=True, check=False
    )
    assert b"lock" in other.stderr


def test_a_backup_while_others_write_is_one_moment(store: Store) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with store.tx() as tx:
                for key in ("left", "right"):
                    tx.query("INSERT INTO settings (key, value) VALUES (?, ?)", [key, str(number)])

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        copies = [back_up(store) for _ in range(8)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for copy in copies:
        sides = [[value for key, value in values(copy) if key == side] for side in ("left", "right")]
        assert sides[0] == sides[1]
    assert len(values(copies[-1])) > len(values(copies[0]))


def test_two_backups_at_once_are_both_whole(store: Store) -> None:
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(back_up(store))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [values(copy) for copy in made] == [[("a", "1")]] * 4


def test_a_folder_of_backups_that_takes_no_file_is_told_plainly(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)  # so that no file can be made in it
    with pytest.raises(UserError, match=r"Can't write a copy of the session to .*backups"):
        back_up(store)
    monkeypatch.undo()
    assert values(back_up(store)) == [("a", "1")]


def test_the_newest_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "KEEP", 3)
    made = [back_up(store) for _ in range(5)]
    assert [copy.file for copy in list_backups(store.folder)] == made[:1:-1]


def test_where_the_clock_went_back_what_is_new_is_kept_all_the_same(store: Store) -> None:
    first = back_up(store)
    for number in range(backups.KEEP):
        for why in ("", "-replaced"):
            first.with_name(f"session-99981231T23595999999{number}{why}.duckdb").write_bytes(
                first.read_bytes()
            )
    first.unlink()
    new = [back_up(store), back_up(store)]
    assert [copy.file for copy in list_backups(store.folder) if copy.file in new] == new[::-1]
    assert newest_backup(store.folder) == new[1]
    store.close()
    aside = restore_backup(store.folder, new[1])
    assert list_backups(store.folder)[0].file == aside


def test_a_restore_brings_back_and_keeps_what_it_replaced(folder: Path) -> None:
    store = Store.open(folder)
    settings.put(store, "a", "old")
    copy = back_up(store)
    settings.put(store, "a", "new")
    store.close()
    aside = restore_backup(folder, find_backup(folder, None))
    again = Store.open(folder)
    assert settings.get(again, "a") == "old"
    again.close()
    assert values(aside) == [("a", "old"), ("a", "new")]
    # What was put aside is listed, and can be restored by name; the newest backup is still the other.
    assert find_backup(folder, None) == copy
    restore_backup(folder, find_backup(folder, aside.name))
    again = Store.open(folder)
    assert settings.get(again, "a") == "new"
    again.close()


def test_what_is_chosen_to_be_restored_is_a_backup_and_not_what_the_last_restore_replaced(
    studio: Studio,
) -> None:
    copy = back_up(studio.store)
    studio.close()
    aside = restore_backup(studio.folder, copy)
    chosen, press = _copies(studio, studio.session)
    assert [name for _, name in chosen["choices"]] == [aside.name, copy.name]
    assert (chosen["value"], press["interactive"]) == (copy.name, True)
    copy.unlink()
    assert _copies(studio, studio.session)[0]["value"] is None


def test_a_restore_mends_a_broken_session(folder: Path) -> None:
    store = Store.open(folder)
    settings.put(store, "a", "old")
    back_up(store)
    store.close()
    (folder / "session.duckdb").write_bytes(b"broken")
    (folder / "session.duckdb.wal").write_bytes(b"of the broken one")
    aside = restore_backup(folder, find_backup(folder, None))
    assert aside.read_bytes() == b"broken"
    assert aside.with_name(f"{aside.name}.wal").read_bytes() == b"of the broken one"
    again = Store.open(folder)
    assert settings.get(again, "a") == "old"
    again.close()


def test_a_killed_studios_last_rows_are_in_what_is_put_aside(folder: Path) -> None:
    store = Store.open(folder)
    back_up(store)
    store.close()
    con = duckdb.connect(str(folder / "session.duckdb"))
    con.execute("PRAGMA disable_checkpoint_on_shutdown")
    con.execute("INSERT INTO settings (key, value) VALUES ('in the log', 'only')")
    con.close()
    assert (folder / "session.duckdb.wal").exists()
    assert values(restore_backup(folder, find_backup(folder, None))) == [("in the log", "only")]
    assert not (folder / "session.duckdb.wal").exists()


def test_an_open_session_is_not_restored(store: Store) -> None:
    copy = back_up(store)
    with pytest.raises(SessionBusy, match="this very process"):
        restore_backup(store.folder, copy)


def test_one_that_is_open_elsewhere_without_a_lock_file_is_not_restored(folder: Path) -> None:
    store = Store.open(folder)
    copy = back_up(store)
    store.close()
    code = "import sys, duckdb; con = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(folder / "session.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(SessionBusy, match=f"process {other.pid}"):
            restore_backup(folder, copy)
        other.kill()
    assert not (folder / "session.duckdb.new").exists()
    restore_backup(folder, copy)


def test_a_backup_that_is_none_is_refused(store: Store) -> None:
    with pytest.raises(UserError, match="no backup"):
        find_backup(store.folder, None)
    back_up(store)
    with pytest.raises(UserError, match=r"has no backup \.\./\.\./x"):
        find_backup(store.folder, "../../x")
    cats = store.folder / "backups" / "session-20260101T000000000000.duckdb"
    cats.write_bytes(b"cats")
    with pytest.raises(UserError, match="Can't read the backup"):
        restore_backup(store.folder, cats)


def test_a_session_whose_run_works_is_not_restored(folder: Path) -> None:
    store = Store.open(folder)
    copy = back_up(store)
    store.close()
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", str(folder / "runs" / "r1")],
        stdin=subprocess.PIPE,
    ) as worker:
        with pytest.raises(UserError, match=rf"still works \(process {worker.pid}\)"):
            restore_backup(folder, copy)
        worker.kill()
    restore_backup(folder, copy)


@pytest.mark.parametrize("what", ["back_up", "export", "import"])
def test_a_kill_leaves_whole_ones_or_none(tmp_path: Path, folder: Path, what: str) -> None:
    store = Store.open(folder)
    with store.tx() as tx:
        tx.query("INSERT INTO settings (key, value) SELECT range, repeat(md5(range::VARCHAR), 9) "
                 "FROM range(20000)")  # fmt: skip
    store.close()
    draw = random.Random(3)
    for turn in range(3):
        command = [sys.executable, "-c", VICTIM, what, str(folder.parent), str(turn)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as victim:
            assert victim.stdout is not None
            victim.stdout.readline()
            time.sleep(draw.uniform(0, 0.8))
            victim.kill()
        for copy in list_backups(folder):
            assert len(values(copy.file)) == 20000
        for file in (tmp_path / "out").glob("*.zip"):
            assert zipfile.ZipFile(file).testzip() is None
            assert "manifest.json" in zipfile.ZipFile(file).namelist()
        for name in list_sessions(folder.parent):
            assert len(values(folder.parent / name / "session.duckdb")) == 20000
    if what == "import":
        import_session(tmp_path / "whole.zip", folder.parent, "last")
        assert not list(folder.parent.glob(".import*"))
    if what == "back_up":
        store = Store.open(folder)
        back_up(store)
        store.close()
        assert not list((folder / "backups").glob("*.part*"))
