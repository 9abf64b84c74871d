"""Tables change; what people wrote stays."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipeline.errors import UserError
from studio.store import settings
from studio.store.backups import list_backups
from studio.store.database import MigrationFailed, SessionBroken, SessionNewer, Store
from studio.store.migrate import Migration, apply, back_up, newest_backup, shipped

FIRST = Migration(1, "first", "CREATE TABLE notes (text VARCHAR)")
SECOND = Migration(
    2, "authors", "ALTER TABLE notes ADD COLUMN author VARCHAR; UPDATE notes SET author = 'ann'"
)
BROKEN = Migration(
    2, "broken", "CREATE TABLE half (x INT); INSERT INTO notes VALUES ('half'); SELECT nothing"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A session of the first version, with one note in it."""
    store = Store.open(tmp_path / "alpha", [FIRST])
    with store.tx() as tx:
        tx.query("INSERT INTO notes VALUES ('mine')")
    store.close()
    return tmp_path / "alpha"


def read(file: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(file), read_only=True) as con:
        rows: list[tuple[object, ...]] = con.execute(sql).fetchall()
        return rows


def test_the_shipped_ones_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in shipped()] == list(range(1, len(shipped()) + 1))


def test_each_shipped_migration_is_written_down(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    rows = store.query("SELECT number, name, sha256 FROM migrations ORDER BY number")
    assert rows == [(m.number, m.name, m.sha256) for m in shipped()]
    store.close()
    assert newest_backup(tmp_path) is None


def test_there_are_no_keys_and_no_indexes(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    assert store.query("SELECT * FROM duckdb_indexes()") == []
    kinds = store.query("SELECT DISTINCT constraint_type FROM duckdb_constraints()")
    assert {kind for (kind,) in kinds} <= {"NOT NULL", "CHECK"}
    store.close()


def test_a_new_migration_keeps_the_rows_and_a_copy_from_before(folder: Path) -> None:
    store = Store.open(folder, [FIRST, SECOND])
    assert store.query("SELECT * FROM notes") == [("mine", "ann")]
    store.close()
    backup = newest_backup(folder)
    assert backup
    assert backup.name.endswith("-before-002.duckdb")
    assert read(backup, "SELECT * FROM notes") == [("mine",)]
    Store.open(folder, [FIRST, SECOND]).close()
    assert len(list((folder / "backups").iterdir())) == 1


def test_labels_from_before_pointwise_stay_as_they_were_and_such_ones_follow(tmp_path: Path) -> None:
    insert = """INSERT INTO labels (pair, principle, method, model, constitution, seed, logit_ab, logit_ba,
        p_ab, p_ba, p_a, run) VALUES ('p', 'kind', ?, 'm', 'c', 0, 1, 1, 0.7, 0.7, 0.7, 'r')"""
    store = Store.open(tmp_path, shipped()[:12])
    with store.tx() as tx:
        for _ in range(3):
            tx.query(insert, ["choice"])
    before = store.query("SELECT * FROM labels ORDER BY seq")
    store.close()
    store = Store.open(tmp_path)
    assert store.query("SELECT * FROM labels ORDER BY seq") == before
    with store.tx() as tx:
        tx.query(insert, ["pointwise"])
    current = store.query("SELECT seq, method FROM current_labels ORDER BY seq")
    assert current == [(before[-1][0], "choice"), (before[-1][0] + 1, "pointwise")]
    store.close()


def test_a_killed_studios_last_rows_are_in_the_copy(folder: Path) -> None:
    con = duckdb.connect(str(folder / "session.duckdb"))
    con.execute("PRAGMA disable_checkpoint_on_shutdown")
    con.execute("INSERT INTO notes VALUES ('in the log only')")
    con.close()
    assert (folder / "session.duckdb.wal").exists()
    Store.open(folder, [FIRST, SECOND]).close()
    backup = newest_backup(folder)
    assert backup
    assert read(backup, "SELECT count(*) FROM notes") == [(2,)]


def test_a_failed_migration_leaves_the_old_state_and_the_backup(folder: Path) -> None:
    with pytest.raises(MigrationFailed, match=r"002 “broken” failed(.|\n)*before-002\.duckdb"):
        Store.open(folder, [FIRST, BROKEN])
    assert newest_backup(folder)
    store = Store.open(folder, [FIRST])
    assert store.query("SELECT * FROM notes") == [("mine",)]
    assert store.query("SELECT number FROM migrations") == [(1,)]
    assert store.query("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'half'") == [(0,)]
    store.close()


def test_a_commit_that_fails_is_told_as_it_is(full_disk: Any) -> None:
    with pytest.raises(MigrationFailed, match=r"001 “first” failed: .*No space left"):
        apply(full_disk, [FIRST], None)


def test_a_copy_that_finds_no_room_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(source: Path, goal: Path) -> None:
        goal.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", half)
    with pytest.raises(UserError, match=r"No space left on device\. The session is as it was"):
        Store.open(folder, [FIRST, SECOND])
    assert list((folder / "backups").iterdir()) == []


def test_a_failed_first_migration_leaves_no_session(tmp_path: Path) -> None:
    with pytest.raises(MigrationFailed):
        Store.open(tmp_path, [Migration(1, "first", "CREATE NONSENSE")])
    assert not (tmp_path / "session.duckdb").exists()
    Store.open(tmp_path).close()


def test_an_edited_migration_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="001 “first” was edited after"):
        Store.open(folder, [Migration(1, "first", FIRST.sql + " ")])
    Store.open(folder, [FIRST]).close()


def test_line_ends_of_windows_are_no_edit() -> None:
    assert Migration(1, "a", "x\r\ny").sha256 == Migration(1, "a", "x\ny").sha256


def test_a_newer_session_is_refused(folder: Path) -> None:
    Store.open(folder, [FIRST, SECOND]).close()
    with pytest.raises(SessionNewer, match=r"newer version of CAI Studio \(its tables have change 002"):
        Store.open(folder, [FIRST])


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "session.duckdb")) as con:
        con.execute("CREATE TABLE cats (name VARCHAR)")
    with pytest.raises(SessionBroken, match="not one of CAI Studio"):
        Store.open(tmp_path)


def test_the_newest_five_backups_are_kept(folder: Path) -> None:
    made = [back_up(folder, number) for number in range(1, 8)]
    assert sorted((folder / "backups").iterdir()) == made[-5:]
    assert newest_backup(folder) == made[-1]


def test_where_the_clock_went_back_the_new_copy_is_kept_all_the_same(folder: Path) -> None:
    made = [back_up(folder, number) for number in range(1, 6)]
    for copy in made:
        copy.rename(copy.with_name(copy.name.replace("session-20", "session-29")))
    new = back_up(folder, 7)
    assert new.exists()
    assert newest_backup(folder) == new


def test_a_file_that_is_named_almost_like_a_copy_is_none_and_is_left_alone(folder: Path) -> None:
    (folder / "backups").mkdir()
    own = [
        folder / "backups" / f"session-{name}-before-002.duckdb"
        for name in ("mine", *(f"20269999T00000000000{number}" for number in range(5)))
    ]
    for file in own:
        file.write_bytes(b"mine")
    Store.open(folder, [FIRST, SECOND]).close()
    copy = newest_backup(folder)
    assert copy
    assert [backup.file for backup in list_backups(folder)] == [copy]
    assert read(copy, "SELECT text FROM notes") == [("mine",)]
    assert all(file.read_bytes() == b"mine" for file in own)


def test_the_way_back_that_the_error_tells_works(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    settings.put(store, "a", "1")
    store.close()
    backup = back_up(tmp_path, 2)
    (tmp_path / "session.duckdb").write_bytes(b"broken")
    with pytest.raises(SessionBroken, match=backup.name):
        Store.open(tmp_path)
    (tmp_path / "session.duckdb").unlink()
    (tmp_path / "session.duckdb").write_bytes(backup.read_bytes())
    store = Store.open(tmp_path)
    assert settings.get(store, "a") == "1"
    store.close()
