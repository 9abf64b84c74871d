"""One session's database: who may open it, how it is read, how it is written.

Reads and writes each take a cursor of their own, since a connection shared by threads silently
returns wrong rows. Writes go one at a time through `tx()`. What `tx()` has committed is on the disk:
DuckDB syncs its log at each commit, so a killed studio loses nothing that it had announced.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import duckdb
import numpy.typing as npt

from pipeline.errors import UserError
from studio.store import lock, migrate
from studio.store.errors import (
    MigrationFailed,
    SessionBroken,
    SessionBusy,
    SessionNewer,
    SessionReadOnly,
    SessionUnwritable,
)
from studio.store.opening import open_up_to_date
from studio.store.parameters import Params, bound, clean
from studio.store.recall import Recall, written

__all__ = [
    "MigrationFailed",
    "Reader",
    "SessionBroken",
    "SessionBusy",
    "SessionNewer",
    "SessionReadOnly",
    "Store",
    "Tx",
    "clean",
    "instant",
    "moment",
    "require_writable",
]

Rows = list[tuple[Any, ...]]
Columns = dict[str, npt.NDArray[Any]]
M = TypeVar("M")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC) - EPOCH, datetime(9999, 12, 30, tzinfo=UTC) - EPOCH
DURABLE = "COMMIT succeeded and is durable"
AFTERWARDS = "previous fatal error"  # DuckDB repeats it to whoever asks next, whose own act has failed
LOCK = "studio.lock"
READ_ONLY = "read-only"
"""The file in a session's folder that marks it as the example, which nothing is written to."""


class Reader(Protocol):
    """What a query needs: the store itself, or a transaction that sees its own writes."""

    def query(self, sql: str, params: Params = ()) -> Rows:
        """Run one statement; all rows at once."""
        ...

    def recall(self, sql: str, params: Params, made: Callable[[Rows], M]) -> M:
        """What is made of a statement's rows; see `Store.recall`."""
        ...


class Tx:
    """One open transaction."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self.failed = False
        self.wrote: set[str] = set()

    def query(self, sql: str, params: Params = ()) -> Rows:
        """Run one statement, reading or writing; all rows at once."""
        self.wrote.update(written(sql))
        try:
            return _run(self._cursor, sql, params)
        except BaseException:
            self.failed = True
            raise

    def recall(self, sql: str, params: Params, made: Callable[[Rows], M]) -> M:
        """What is made of a statement's rows, read anew: they may be this transaction's own."""
        return made(self.query(sql, params))


class Store:
    """An open session. Safe to use from any number of threads; one process only."""

    def __init__(self, folder: Path, known: Sequence[migrate.Migration]) -> None:
        self.folder = folder
        self._known = known
        self.read_only = (folder / READ_ONLY).exists()
        self._connection = open_up_to_date(folder, known)
        self._ended = False
        self._recall = Recall()
        self._write = threading.Lock()
        self._writer: int | None = None
        self._idle = threading.Condition()
        self._cursors = 0
        self._closed = False

    @classmethod
    def open(cls, folder: Path, migrations: Sequence[migrate.Migration] | None = None) -> Store:
        """Open the session in `folder` (made if missing), its tables brought up to date.

        Raises SessionBusy if a process has it open, SessionBroken if its file can't be read, SessionNewer
        if a newer studio wrote it, MigrationFailed, or UserError if the folder can't be written.
        """
        folder = folder.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.take(folder / LOCK, folder.name)
        except OSError as error:
            raise UserError(f"Can't write in {folder}: {error.strerror or error}") from error
        try:
            known = migrate.shipped() if migrations is None else migrations
            return cls(folder, known)
        except BaseException:
            lock.release(folder / LOCK)
            raise

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Wait for what is running, fold the log into the file, let others open it. Twice is harmless."""
        if self._writer == threading.get_ident():
            raise RuntimeError("close() inside tx() would wait for itself")
        with self._idle:
            if self._closed:
                return
            self._closed = True
            # DuckDB refuses to close a connection while one of its cursors works.
            self._idle.wait_for(lambda: self._cursors == 0)
            self._connection.close()
        lock.release(self.folder / LOCK)

    def query(self, sql: str, params: Params = ()) -> Rows:
        """Read what is committed now; all rows at once. To write, use `tx()`."""
        with self._cursor() as cursor:
            return _run(cursor, sql, params)

    def recall(self, sql: str, params: Params, made: Callable[[Rows], M]) -> M:
        """What `made` makes of a statement's rows; from memory, while no table of it is written to.

        For what is asked again and again and is small. All who ask get the same object: it must not be
        changed. `made` is a function that stays, of rows alone; and the statement one that says the same
        of the same tables at any time.
        """
        tables = self._recall.tables(sql, self._cursor)
        ask = (sql, made, repr(params))
        answer: M = self._recall.answer(ask, tables, lambda: made(self.query(sql, params)))
        return answer

    def columns(self, sql: str, params: Params = ()) -> Columns:
        """Read as `query` does, but a numpy array for each column: for many rows. NULL comes masked."""
        with self._cursor() as cursor:
            found: Columns = cursor.execute(sql, bound(params)).fetchnumpy()
            return found

    @contextmanager
    def tx(self) -> Iterator[Tx]:
        """A transaction: all of it is committed, or on any exception none, and the exception goes on.

        One at a time over all threads; keep it short, and start no other inside. Raises SessionReadOnly.
        """
        self.require_writable()
        if self._writer == threading.get_ident():
            raise RuntimeError("tx() inside tx() would wait for itself: pass the open one on")
        with self._write, self._cursor() as cursor:
            self._writer = threading.get_ident()
            tx = Tx(cursor)
            try:
                yield from _transaction(tx, cursor)
            finally:
                self._writer = None
                self._recall.changed(tx.wrote)  # whatever an error says: it may be kept all the same

    def require_writable(self) -> None:
        """For acts that write files before rows, or no rows at all. Raises SessionReadOnly."""
        if self.read_only:
            raise SessionReadOnly

    def snapshot(self, file: Path) -> None:
        """Write what is committed now as a database of its own: one moment of it, while others write on.

        `file` lies inside the session's folder and must not exist. Never a copy of the file itself: closing
        any handle on that one drops the lock DuckDB holds on it (POSIX).
        """
        alias = f"snapshot_{secrets.token_hex(8)}"
        inside = str(file).replace("'", "''")
        with self._cursor() as cursor:
            ((name,),) = cursor.execute("SELECT current_database()").fetchall()
            try:
                cursor.execute(f"ATTACH '{inside}' AS {alias}")
                try:
                    cursor.execute("BEGIN")
                    try:
                        cursor.execute(f'COPY FROM DATABASE "{name}" TO {alias}')
                        cursor.execute("COMMIT")
                    except BaseException:
                        with suppress(duckdb.Error):
                            cursor.execute("ROLLBACK")
                        raise
                finally:
                    cursor.execute(f"DETACH {alias}")  # folds its log into the file
            except duckdb.Error as error:
                raise UserError(f"Can't write a copy of the session to {file}: {error}") from error

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        with self._idle:
            if self._closed:
                raise RuntimeError(f"the session {self.folder.name} is closed")
            if self._ended:
                self._reopen()
            cursor = self._connection.cursor()
            self._cursors += 1
        try:
            yield cursor
        except duckdb.Error as error:
            fatal = isinstance(error, duckdb.FatalException)
            self._ended |= fatal
            if DURABLE in str(error) and AFTERWARDS not in str(error):
                return  # it is kept; what failed is only the tidying after it
            if not fatal and "Could not write file" not in str(error):
                raise
            raise SessionUnwritable(self.folder, str(error)) from error
        finally:
            cursor.close()
            with self._idle:
                self._cursors -= 1
                self._idle.notify_all()

    def _reopen(self) -> None:
        """After an error that DuckDB calls fatal, as on a full disk, it answers to nothing any more."""

        def over() -> bool:
            return self._closed or not self._ended or self._cursors == 0

        # Whoever holds a cursor still and asks for another would wait for itself.
        if not self._idle.wait_for(over, timeout=5):
            raise SessionUnwritable(self.folder, "it is being opened again")
        if self._closed:
            raise RuntimeError(f"the session {self.folder.name} is closed")
        if not self._ended:  # another one has done it
            return
        self._connection.close()
        self._connection = open_up_to_date(self.folder, self._known)
        self._ended = False


def require_writable(folder: Path) -> None:
    """The same of a session that is not open. Raises SessionReadOnly."""
    if (folder / READ_ONLY).exists():
        raise SessionReadOnly


def moment(microseconds: int) -> datetime:
    """A TIMESTAMPTZ read through `epoch_us()`: read directly it would need the package pytz.

    What lies at the ends of Python's calendar, or past them, is the nearest day that every zone can tell.
    """
    return EPOCH + min(max(timedelta(microseconds=microseconds), FIRST), LAST)


def instant(said: str) -> datetime:
    """When something was done that came along, in UTC; now, where it does not say, or says no time there."""
    try:
        found = datetime.fromisoformat(said)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.now(UTC)


def _run(cursor: Any, sql: str, params: Params) -> Rows:
    rows: Rows = cursor.execute(sql, bound(params)).fetchall()
    return rows


def _transaction(tx: Tx, cursor: Any) -> Iterator[Tx]:
    cursor.execute("BEGIN")
    try:
        yield tx
        if tx.failed:
            # DuckDB's COMMIT would roll back here without a word.
            raise RuntimeError("a statement of this transaction failed: its error must not be swallowed")
        cursor.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # the first error is the one to show
            cursor.execute("ROLLBACK")
        raise
