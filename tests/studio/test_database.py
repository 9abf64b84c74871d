"""One process, many threads, and deaths of every kind."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta, timezone
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from studio.store import settings
from studio.store.database import SessionBroken, SessionBusy, Store, clean, moment

HOLD = """
import sys, pathlib
from studio.store.database import Store
store = Store.open(pathlib.Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""
WRITE = """
import sys, pathlib
from studio.store.database import Store
store = Store.open(pathlib.Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    with store.tx() as tx:
        for key in ("left", "right"):
            tx.query("INSERT INTO settings (key, value) VALUES (?, ?)", [key, str(number)])
    print(number, flush=True)
    number += 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "alpha"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    store = Store.open(folder)
    yield store
    store.close()


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_is_put_is_there_after_a_restart(folder: Path) -> None:
    store = Store.open(folder)
    settings.put(store, "notice", "read")
    settings.put(store, "notice", "read twice")
    store.close()
    again = Store.open(folder)
    assert settings.get(again, "notice") == "read twice"
    assert settings.get(again, "other") is None
    again.close()


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    def half(error: type[BaseException]) -> None:
        with store.tx() as tx:
            tx.query("INSERT INTO settings (key, value) VALUES ('a', '1')")
            raise error

    for error in (KeyError, KeyboardInterrupt, GeneratorExit):
        with pytest.raises(error):
            half(error)
    assert settings.get(store, "a") is None
    settings.put(store, "a", "2")
    assert settings.get(store, "a") == "2"


def test_a_swallowed_error_is_not_a_commit(store: Store) -> None:
    def swallow() -> None:
        with store.tx() as tx:
            tx.query("INSERT INTO settings (key, value) VALUES ('a', '1')")
            with suppress(duckdb.Error):
                tx.query("INSERT INTO settings (key) VALUES ('b')")

    with pytest.raises(RuntimeError, match="swallowed"):
        swallow()
    assert settings.get(store, "a") is None


def test_a_transaction_inside_another_says_so(store: Store) -> None:
    with pytest.raises(RuntimeError, match="inside"), store.tx(), store.tx():
        pass
    with pytest.raises(RuntimeError, match="inside"), store.tx():
        store.close()
    settings.put(store, "a", "still works")


def test_a_transaction_sees_its_own_rows_and_others_do_not(store: Store) -> None:
    with store.tx() as tx:
        tx.query("INSERT INTO settings (key, value) VALUES ('a', '1')")
        assert settings.get(tx, "a") == "1"
        assert settings.get(store, "a") is None


def test_eight_threads_write_and_read_the_right_rows(store: Store) -> None:
    wrong: list[object] = []

    def work(me: int) -> None:
        try:
            for number in range(25):
                settings.put(store, f"key {me}", str(number))
                rows = store.query(
                    "SELECT ?::INT, value FROM current_settings WHERE key = ?", [me, f"key {me}"]
                )
                if rows != [(me, str(number))]:
                    wrong.append(rows)
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.query("SELECT count(*), count(DISTINCT seq) FROM settings") == [(200, 200)]


def test_close_waits_for_readers_and_then_refuses(folder: Path) -> None:
    store = Store.open(folder)
    errors: list[Exception] = []

    def read_on() -> None:
        try:
            while True:
                store.query("SELECT count(*) FROM range(300000) WHERE range % 7 = 1")
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=read_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    store.close()
    store.close()
    for thread in threads:
        thread.join()
    assert [str(error) for error in errors] == ["the session alpha is closed"] * 4
    Store.open(folder).close()


def test_killed_writers_lose_nothing_they_announced(folder: Path) -> None:
    announced: list[int] = []
    for _ in range(4):
        writer = start(WRITE, folder, (announced[-1] + 2) if announced else 0)
        assert writer.stdout
        first = writer.stdout.readline()
        time.sleep(random.Random().uniform(0, 0.4))
        writer.kill()
        announced += [int(line) for line in [first, *writer.communicate()[0].split()]]
    store = Store.open(folder)
    left, right = (
        [
            int(value)
            for (value,) in store.query("SELECT value FROM settings WHERE key = ? ORDER BY seq", [key])
        ]
        for key in ("left", "right")
    )
    store.close()
    assert len(announced) > 4
    assert left == right
    assert len(set(left)) == len(left)
    assert set(announced) <= set(left)
    # A killed writer may have committed one more than it could say.
    assert len(left) <= len(announced) + 4


def test_a_second_process_is_told_who_has_the_session(folder: Path) -> None:
    other = start(HOLD, folder)
    assert other.stdout
    assert other.stdout.readline() == "open\n"
    with pytest.raises(SessionBusy) as caught:
        Store.open(folder)
    (folder / "studio.lock").unlink()  # DuckDB's own lock knows the pid too
    with pytest.raises(SessionBusy) as by_duckdb:
        Store.open(folder)
    other.communicate("")
    for error in (caught.value, by_duckdb.value):
        assert error.pid == other.pid
        assert "“alpha”" in str(error)
        assert f"process {other.pid} (" in str(error)
    Store.open(folder).close()


def test_the_same_process_cannot_open_it_twice(store: Store, folder: Path) -> None:
    with pytest.raises(SessionBusy, match="this very process"):
        Store.open(folder)
    settings.put(store, "a", "still works")


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000])
def test_a_corrupt_file_is_left_alone_and_the_backup_named(folder: Path, content: bytes) -> None:
    (folder / "backups").mkdir(parents=True)
    backup = folder / "backups" / "session-20260101T000000000000-before-002.duckdb"
    backup.touch()
    (folder / "session.duckdb").write_bytes(content)
    with pytest.raises(SessionBroken) as caught:
        Store.open(folder)
    assert caught.value.backup == backup
    assert str(backup) in str(caught.value)
    assert (folder / "session.duckdb").read_bytes() == content
    assert not (folder / "studio.lock").exists()


def test_a_damaged_block_is_told_as_such(folder: Path) -> None:
    Store.open(folder).close()
    file = folder / "session.duckdb"
    whole = file.read_bytes()
    file.write_bytes(whole[:12288] + b"\xff" * (len(whole) - 12288))
    damaged = file.read_bytes()
    with pytest.raises(SessionBroken, match="There is no backup"):
        Store.open(folder)
    assert file.read_bytes() == damaged


def killed(folder: Path) -> Path:
    """A session whose process went away with its last rows in the log: the log's file."""
    code = (
        "import os, sys, pathlib\n"
        "from studio.store.database import Store; from studio.store import settings\n"
        "store = Store.open(pathlib.Path(sys.argv[1]))\n"
        "for i in range(8): settings.put(store, f'key {i}', 'x' * 50)\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, folder], check=True)
    return folder / "session.duckdb.wal"


def test_of_a_log_that_was_cut_each_whole_row_is_there(folder: Path) -> None:
    log = killed(folder)
    data = log.read_bytes()
    log.write_bytes(data[: len(data) // 2])
    store = Store.open(folder)
    found = [key for (key,) in store.query("SELECT key FROM settings ORDER BY key")]
    assert 0 < len(found) < 8
    assert found == [f"key {i}" for i in range(len(found))]
    store.close()


def test_a_damaged_log_is_told_apart_from_its_file(folder: Path) -> None:
    log = killed(folder)
    data = bytearray(log.read_bytes())
    data[data.rfind(b"xxxxx")] ^= 0x5A
    log.write_bytes(data)
    with pytest.raises(SessionBroken, match=r"Move only session\.duckdb\.wal out of the folder"):
        Store.open(folder)
    assert log.read_bytes() == data
    log.unlink()
    Store.open(folder).close()


def test_a_log_without_its_file_is_no_new_session(folder: Path) -> None:
    folder.mkdir()
    (folder / "session.duckdb.wal").write_bytes(b"rows")
    with pytest.raises(SessionBroken, match="log is still there"):
        Store.open(folder)
    assert (folder / "session.duckdb.wal").read_bytes() == b"rows"


def test_a_studio_killed_while_it_made_the_session_is_forgotten(folder: Path) -> None:
    folder.mkdir()
    (folder / "session.duckdb.new").write_bytes(b"half")
    (folder / "session.duckdb.new.wal").write_bytes(b"half")
    Store.open(folder).close()
    assert sorted(file.name for file in folder.iterdir()) == ["session.duckdb"]


def test_a_folder_that_cannot_be_made_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Can't write in"):
        Store.open(tmp_path / "file" / "alpha")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{}')",
        "COPY settings TO '{}'",
        "ATTACH '{}' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
    ],
)
def test_sql_reaches_nothing_outside_the_session(store: Store, tmp_path: Path, sql: str) -> None:
    with pytest.raises(duckdb.Error):
        store.query(sql.format(tmp_path / "outside"))


def test_a_quote_in_the_folder_is_no_sql(tmp_path: Path) -> None:
    Store.open(tmp_path / "o'brien's").close()


@given(st.text(st.characters()))
def test_text_comes_back_but_for_half_surrogates(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    clean(text).encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in text):
        assert clean(text) == text


def test_any_text_can_be_stored(store: Store) -> None:
    texts = {
        "nul \0 in it": None,
        "\ufeffbom": None,
        "half \ud83d": "half \ufffd",
        "\ude00a\ud800b": "\ufffda\ufffdb",
    }
    texts |= {"\ud83d\ude00": "😀", "👩‍👩‍👧 é \u202e عربي": None, "'; DROP TABLE settings; --": None}
    for text, kept in texts.items():
        settings.put(store, "key " + text, text)
        assert settings.get(store, "key " + text) == (text if kept is None else kept)


@pytest.mark.parametrize("said", ["0001-01-01 00:00:00+14", "9999-12-31 23:59:59-12"])
def test_a_time_of_no_calendar_is_told_as_the_nearest_day(store: Store, said: str) -> None:
    [[found]] = store.query("SELECT epoch_us(?::TIMESTAMPTZ)", [said])
    assert moment(found).year == (1 if said.startswith("0") else 9999)
    assert moment(found).astimezone(timezone(timedelta(hours=14)))
    assert moment(found).astimezone(timezone(timedelta(hours=-12)))
