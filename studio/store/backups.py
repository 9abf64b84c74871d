"""Copies of a session: made on request, listed, and put back. Those before a migration are `migrate`'s.

`backups/session-STAMP.duckdb` was asked for, `-before-NNN` came before a migration, `-replaced` is what
a restore put aside.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import psutil

from pipeline.errors import UserError
from studio.store import lock, migrate
from studio.store.database import LOCK, Store, require_writable
from studio.store.migrate import BACKUPS, FILE, STAMP

KEEP = 10  # copies asked for; and as many that restores put aside
WHY = {"": "asked for", "-replaced": "replaced"}


@dataclass(frozen=True)
class Backup:
    """One copy of a session, with when and why it was made, and its size in bytes."""

    file: Path
    made: datetime
    why: str
    size: int


def back_up(store: Store) -> Path:
    """Copy an open session to `backups/`, as it is at one moment; the newest ten are kept.

    A kill leaves at most a `*.part`, which the next backup removes.
    """
    store.require_writable()
    folder = store.folder / BACKUPS
    file = folder / f"session-{migrate.stamp(store.folder)}.duckdb"
    part = snapshot(store)
    try:
        sync(part)
        os.replace(part, file)
        sync(folder)
    except OSError as error:
        raise UserError(f"Can't write the backup {file}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    _prune(folder, "")
    return file


def snapshot(store: Store) -> Path:
    """A database of its own with all that an open session holds now, for the caller to move or remove."""
    folder = store.folder / BACKUPS
    # With the pid: what a killed studio left can be told from what another thread writes now.
    part = folder / f"{os.getpid()}-{datetime.now(UTC).strftime(STAMP)}.part"
    try:
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.part*"):
            if not old.name.startswith(f"{os.getpid()}-"):
                old.unlink(missing_ok=True)
        store.snapshot(part)
    except OSError as error:
        raise UserError(f"Can't write in {folder}: {error.strerror or error}") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part


def list_backups(folder: Path) -> list[Backup]:
    """All copies of the session in `folder`, the newest first."""
    return [
        Backup(file, made, WHY.get(why, "before an upgrade"), file.stat().st_size)
        for file, made, why in reversed(migrate.copies(folder))
    ]


def find_backup(folder: Path, name: str | None) -> Path:
    """The named copy of a session, or the newest. Raises UserError when there is none."""
    known = {backup.file.name: backup.file for backup in list_backups(folder)}
    if name is None:
        newest = migrate.newest_backup(folder)
        if newest is None:
            raise UserError(f"The session “{folder.name}” has no backup.")
        return newest
    if name not in known:
        raise UserError(
            f"The session “{folder.name}” has no backup {name}; it has: {', '.join(known) or 'none'}"
        )
    return known[name]


def restore_backup(folder: Path, backup: Path) -> Path:
    """Put a copy in the place of a closed session's file; returns where the file of before is kept.

    At every moment either the one or the other is the session. Raises SessionBusy while it is open.
    """
    require_writable(folder)
    _require_session(backup, folder)
    with held(folder):
        require_idle(folder)
        new = folder / f"{FILE}.new"
        aside = folder / BACKUPS / f"session-{migrate.stamp(folder)}-replaced.duckdb"
        try:
            shutil.copyfile(backup, new)
            sync(new)
            _put_aside(folder, aside)
            os.replace(new, folder / FILE)
            sync(folder)
        except OSError as error:
            raise UserError(f"Can't restore {backup}: {error.strerror or error}") from error
        finally:
            new.unlink(missing_ok=True)
        _prune(folder / BACKUPS, "-replaced")
    return aside


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every studio out of a closed session. Raises SessionBusy while one has it open."""
    lock.take(folder / LOCK, folder.name)
    try:
        yield
    finally:
        lock.release(folder / LOCK)


def require_idle(folder: Path) -> None:
    """Raise UserError while a worker still writes into one of the session's runs."""
    runs = str((folder / "runs").absolute())
    for process in psutil.process_iter(["pid", "cmdline"]):
        if any(word.startswith(runs) for word in process.info["cmdline"] or ()):
            raise UserError(
                f"A run of the session “{folder.name}” still works (process {process.info['pid']}). "
                "Stop it first."
            )


def sync(path: Path) -> None:
    """Have a file or a folder on the disk before what follows."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle for a folder
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def size_text(count: int) -> str:
    """`312 kB`, `1.4 MB`, `2.0 GB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"


def _put_aside(folder: Path, aside: Path) -> None:
    """Keep the file of now under another name, and its log with it."""
    file, log = folder / FILE, folder / f"{FILE}.wal"
    if file.exists() or log.exists():
        try:
            duckdb.connect(str(file)).close()  # folds the log into the file; nobody has it open
        except duckdb.Error as error:
            if busy := lock.held_by_another(folder.name, error):
                raise busy from error
            # A broken file, then: its log must not be read into the one that takes its place.
            if log.exists():
                os.replace(log, aside.with_name(f"{aside.name}.wal"))
    if not file.exists():
        return
    try:
        os.link(file, aside)  # not moved: a kill here must not leave a session without its file
    except OSError:
        shutil.copyfile(file, aside)
    sync(aside)


def _require_session(backup: Path, folder: Path) -> None:
    try:
        with duckdb.connect(str(backup), read_only=True) as con:
            migrate.pending(con, folder, migrate.shipped())
    except duckdb.Error as error:
        raise UserError(f"Can't read the backup {backup}: {error}") from error


def _prune(folder: Path, why: str) -> None:
    copies = [copy for copy in list_backups(folder.parent) if copy.why == WHY[why]]
    for old in copies[KEEP:]:
        old.file.unlink(missing_ok=True)
        old.file.with_name(f"{old.file.name}.wal").unlink(missing_ok=True)
