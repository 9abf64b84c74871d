"""What was read is read again once something was written to its tables, and only then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.store import settings
from studio.store.database import Store
from studio.store.recall import MOST, Once

VALUES = "SELECT value FROM current_settings WHERE key = ? ORDER BY value"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "alpha")
    settings.put(store, "a", "1")
    yield store
    store.close()


@pytest.fixture
def asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that reach the database."""
    asked: list[str] = []
    query = store.query

    def counted(sql: str, params: Any = ()) -> Any:
        asked.append(sql)
        return query(sql, params)

    monkeypatch.setattr(store, "query", counted)
    return asked


def test_what_nobody_has_written_to_is_read_once(store: Store, asked: list[str]) -> None:
    assert [store.recall(VALUES, ["a"], tuple) for _ in range(3)] == [(("1",),)] * 3
    assert len(asked) == 1


def test_what_was_written_is_seen_at_once_behind_a_view_too(store: Store) -> None:
    for value in ("1", "2", "3"):
        settings.put(store, "a", value)
        assert store.recall(VALUES, ["a"], tuple) == ((value,),)


def test_another_table_leaves_it_be(store: Store, asked: list[str]) -> None:
    store.recall(VALUES, ["a"], tuple)
    with store.tx() as tx:
        tx.query("INSERT INTO seen_labels (pair, annotator) VALUES ('p', 'ana')")
    store.recall(VALUES, ["a"], tuple)
    assert len(asked) == 1


def test_other_parameters_are_another_question(store: Store) -> None:
    settings.put(store, "b", "2")
    assert [store.recall(VALUES, [key], tuple) for key in "ab"] == [(("1",),), (("2",),)]


def test_a_transaction_sees_what_it_wrote_and_others_do_not_yet(store: Store) -> None:
    store.recall(VALUES, ["a"], tuple)
    with store.tx() as tx:
        tx.query("INSERT INTO settings (key, value) VALUES ('a', '2')")
        assert tx.recall(VALUES, ["a"], tuple) == (("2",),)
        assert store.recall(VALUES, ["a"], tuple) == (("1",),)
    assert store.recall(VALUES, ["a"], tuple) == (("2",),)


def test_a_statement_that_is_no_insert_makes_all_be_read_again(store: Store) -> None:
    store.recall(VALUES, ["a"], tuple)
    with store.tx() as tx:
        tx.query("DELETE FROM settings")
    assert store.recall(VALUES, ["a"], tuple) == ()


def test_nobody_reads_less_than_what_was_written_before(store: Store) -> None:
    """Readers and a writer at once: an answer from before a write is never given after it."""
    written, stale = [0], []

    def read() -> None:
        while written[0] < 100:
            least = written[0]
            [(value,)] = store.recall(VALUES, ["n"], tuple) or (("0",),)
            stale.extend([value] if int(value) < least else [])

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for n in range(1, 101):
        settings.put(store, "n", str(n))
        written[0] = n
    for reader in readers:
        reader.join()
    assert not stale


def test_it_does_not_grow_without_end(store: Store) -> None:
    for n in range(MOST + 9):
        store.recall(VALUES, [str(n)], tuple)
    assert len(store._recall._answers) == MOST


def test_what_is_asked_twice_for_one_answer_is_read_once_whatever_is_written(store: Store) -> None:
    once = Once(store)
    assert once.recall(VALUES, ["a"], tuple) == (("1",),)
    settings.put(store, "a", "2")
    assert once.recall(VALUES, ["a"], tuple) == (("1",),)
    assert store.recall(VALUES, ["a"], tuple) == (("2",),)
