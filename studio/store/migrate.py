"""How a session's tables come to be: numbered SQL files, applied in order at each open.

`migrations/NNN_name.sql` are part of the package. An applied one is never edited: the session keeps
the hash of what it ran. A change of the tables is the next number.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import UserError
from studio.store.errors import MigrationFailed, SessionBroken, SessionNewer

FILE = "session.duckdb"
BACKUPS = "backups"
KEEP = 5
STAMP = "%Y%m%dT%H%M%S%f"  # UTC, to the microsecond
COPY = re.compile(r"session-(?P<stamp>\d{8}T\d{12})(?P<why>-before-\d+|-replaced)?\.duckdb")

LEDGER = """
CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    applied TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True)
class Migration:
    """One numbered change of the tables."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        # A checkout on Windows may turn the line ends: still the same migration.
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()


def shipped() -> tuple[Migration, ...]:
    """The migrations in this package, in order."""
    found = []
    for file in (files("studio.store") / "migrations").iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql") and number.isdecimal():
            found.append(Migration(int(number), name, file.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


def pending(con: Any, folder: Path, known: Sequence[Migration]) -> list[Migration]:
    """The migrations that this session still lacks, in order.

    Raises SessionNewer for one that this studio doesn't know, UserError for one that was edited after
    it was applied, SessionBroken for a DuckDB file that is no session.
    """
    file = folder / FILE
    tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not tables:
        return list(known)
    if "migrations" not in tables:
        what = "it is a DuckDB database, but not one of CAI Studio."
        raise SessionBroken(file, what, newest_backup(folder))
    applied = con.execute("SELECT number, name, sha256 FROM migrations ORDER BY number").fetchall()
    by_number = {migration.number: migration for migration in known}
    for number, name, sha256 in applied:
        mine = by_number.get(number)
        if mine is None:
            raise SessionNewer(file, f"its tables have change {number:03} “{name}”")
        if mine.sha256 != sha256:
            raise UserError(
                f"Migration {number:03} “{name}” was edited after it had been applied to {file}. "
                "Put its text back, and make the change in a migration with the next number."
            )
    done = {number for number, _, _ in applied}
    return [migration for migration in known if migration.number not in done]


def apply(con: Any, migrations: Sequence[Migration], backup: Path | None) -> None:
    """Apply each migration in a transaction of its own, together with its row in `migrations`.

    Raises MigrationFailed at the first that fails; the ones before it stay applied.
    """
    for migration in migrations:
        con.execute("BEGIN")
        try:
            con.execute(LEDGER)
            con.execute(migration.sql)
            con.execute(
                "INSERT INTO migrations (number, name, sha256) VALUES (?, ?, ?)",
                [migration.number, migration.name, migration.sha256],
            )
            con.execute("COMMIT")
        except duckdb.Error as error:
            with suppress(duckdb.Error):  # a COMMIT that failed has ended it already
                con.execute("ROLLBACK")
            kept = f" A copy from before is {backup}." if backup else ""
            raise MigrationFailed(
                f"This session's tables could not be brought up to date: change {migration.number:03} "
                f"“{migration.name}” failed: {error}\nThe session is as it was before that change.{kept}"
            ) from error


def back_up(folder: Path, before: int) -> Path:
    """Copy the session's file to `backups/`, keep the newest five; returns the copy.

    The database must be checkpointed and closed: closing any handle on the file, as a copy does, drops
    the lock that DuckDB holds on it in this process (POSIX). Raises UserError where it can't be written.
    """
    copy = folder / BACKUPS / f"session-{stamp(folder)}-before-{before:03}.duckdb"
    part = folder / BACKUPS / "session.part"  # one name: what a kill leaves is written over next time
    try:
        part.parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / FILE, part)
        os.replace(part, copy)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)  # half a copy takes room on what is mostly a full disk
        raise UserError(
            f"Can't copy the session to {copy} before its tables are brought up to date: "
            f"{error.strerror or error}. The session is as it was; make room for the copy, and open it again."
        ) from error
    for old in [file for file, _, why in copies(folder) if why.startswith("-before-")][:-KEEP]:
        old.unlink()
    return copy


def stamp(folder: Path) -> str:
    """What the name of a copy says of when it is made: now, but later than all that are there.

    By the stamp the oldest are removed. Where the clock went back, that would be each new one.
    """
    last = [made + timedelta(microseconds=1) for _, made, _ in copies(folder)]
    return max([datetime.now(UTC), *last]).strftime(STAMP)


def newest_backup(folder: Path) -> Path | None:
    """The last copy that was made of the session, before a migration or on request, if any."""
    # What a restore put aside may be broken: it is no way back.
    return next((file for file, _, why in reversed(copies(folder)) if why != "-replaced"), None)


def copies(folder: Path) -> list[tuple[Path, datetime, str]]:
    """The copies of the session in `folder`, the oldest first: the file, when it was made, and `why` of COPY.

    What only looks like one is somebody's own file: a copy's name says a time.
    """
    found = []
    for file in sorted((folder / BACKUPS).glob("session-*.duckdb")):  # the stamp comes first in the name
        if parts := COPY.fullmatch(file.name):
            with suppress(ValueError):  # digits that are no time
                made = datetime.strptime(parts["stamp"], STAMP).replace(tzinfo=UTC)
                found.append((file, made, parts["why"] or ""))
    return found
