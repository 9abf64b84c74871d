"""A session's file, opened: made where it is missing, brought up to date, and shut off from other files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import UserError
from studio.store import lock, migrate
from studio.store.errors import SessionBroken, SessionNewer

CONFIG = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": "2GB",  # DuckDB's own is 80% of the machine, which the models need; it spills to disk
}


def open_up_to_date(folder: Path, known: Sequence[migrate.Migration]) -> Any:
    """A connection to the session in a folder, made if missing, its tables brought up to date."""
    if not (folder / migrate.FILE).exists():
        _create(folder, known)
    con = _connect(folder, migrate.FILE)
    try:
        todo = migrate.pending(con, folder, known)
        if todo:
            con.execute("CHECKPOINT")
            con.close()
            backup = migrate.back_up(folder, todo[0].number)
            con = _connect(folder, migrate.FILE)
            migrate.apply(con, todo, backup)
            con.execute("CHECKPOINT")
        _harden(con, folder)
    except duckdb.Error as error:
        con.close()
        raise _explained(folder, error) from error
    except BaseException:
        con.close()
        raise
    return con


def _create(folder: Path, known: Sequence[migrate.Migration]) -> None:
    """Build the file aside and rename it: a studio killed meanwhile leaves no half session."""
    file = folder / migrate.FILE
    if file.with_name(f"{file.name}.wal").exists():
        what = "it is gone, but its log is still there. Did someone move it?"
        raise SessionBroken(file, what, migrate.newest_backup(folder))
    new = folder / f"{file.name}.new"
    for leftover in (new, new.with_name(f"{new.name}.wal")):
        leftover.unlink(missing_ok=True)
    con = _connect(folder, new.name)
    try:
        migrate.apply(con, known, None)
        con.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise _explained(folder, error) from error
    finally:
        con.close()
    os.replace(new, file)


def _connect(folder: Path, name: str) -> Any:
    try:
        return duckdb.connect(str(folder / name), config=CONFIG)
    except duckdb.Error as error:
        raise _explained(folder, error) from error


def _harden(con: Any, folder: Path) -> None:
    """From here on, no statement reads or writes files outside the session, or loads an extension."""
    inside = str(folder).replace("'", "''")
    con.execute(f"SET allowed_directories = ['{inside}']")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


def _explained(folder: Path, error: duckdb.Error) -> UserError:
    """DuckDB's failure to open a file, as what a person can do about it."""
    if busy := lock.held_by_another(folder.name, error):
        return busy
    text = str(error)
    if re.search(r"Permission denied|Read-only file system", text):
        return UserError(f"Can't open the session {folder}: {text}")
    if re.search(r"No space left|Could not write file", text):
        room = "free some room on its disk, and do it again"
        return UserError(f"Can't open the session {folder}: {room}. ({text})")
    if re.search(r"version number|newer version of DuckDB|newer DuckDB", text):
        return SessionNewer(folder / migrate.FILE, text)
    return SessionBroken(folder / migrate.FILE, text, migrate.newest_backup(folder))
