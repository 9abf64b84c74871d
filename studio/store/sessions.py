"""Where sessions lie on the disk, what they may be called, and what is known of them unopened."""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import platformdirs

from pipeline.errors import UserError
from studio.store import lock
from studio.store.backups import held, require_idle, sync
from studio.store.database import LOCK, Store, require_writable
from studio.store.migrate import FILE
from studio.store.runs import RESUMABLE

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
# Windows keeps these for devices, with any suffix and in any case.
RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?", re.IGNORECASE)

LEFT = (f"{FILE}.new", f"{FILE}.new.wal", LOCK)
"""What a kill or a full disk leaves of a session that was being made."""


def home() -> Path:
    """The folder of all sessions: `$CAI_HOME/sessions`, else the checkout's, else the user's data folder."""
    chosen = os.environ.get("CAI_HOME")
    if chosen:
        return Path(chosen).expanduser() / "sessions"
    checkout = Path(__file__).resolve().parents[2]
    if _is_checkout(checkout):
        return checkout / "sessions"
    return platformdirs.user_data_path("cai-studio", appauthor=False) / "sessions"


def session_folder(home: Path, name: str) -> Path:
    """The folder of one session, which need not exist. Raises UserError for a name that won't do."""
    if not NAME.fullmatch(name) or name.endswith("."):
        raise UserError(
            f"“{name}” can't be the name of a session: use up to 64 letters (a-z), digits, - _ and dots, "
            "with a letter, a digit or _ first and no dot last."
        )
    if RESERVED.fullmatch(name):
        raise UserError(f"“{name}” can't be the name of a session: Windows keeps it for a device.")
    return home / name


@dataclass(frozen=True)
class SessionInfo:
    """A session seen from outside: bytes on the disk, last change, and the pid of who has it open."""

    name: str
    size: int
    used: datetime
    pid: int | None


def list_sessions(home: Path) -> list[str]:
    """The names of the sessions in `home`, in alphabetical order."""
    # A folder whose name won't do is none of ours: an import that is not done yet, say.
    names = (file.parent.name for file in home.glob(f"*/{FILE}"))
    return sorted(name for name in names if NAME.fullmatch(name))


def describe(home: Path, name: str) -> SessionInfo:
    """What can be known without opening the session."""
    folder = existing(home, name)
    files = dict(plain_files(folder))
    # Its log too: it is what grows.
    database = [one.st_mtime for file, one in files.items() if file.startswith(str(folder / FILE))]
    holder = lock.read(folder / LOCK)
    pid = holder.pid if holder and holder.alive() else None
    size = sum(one.st_size for one in files.values())
    return SessionInfo(name, size, datetime.fromtimestamp(max(database, default=0), UTC), pid)


def plain_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The plain files below a folder; what a run at work removes meanwhile is passed over."""
    for at, _, names in os.walk(folder):
        for file in (os.path.join(at, name) for name in names):
            with suppress(OSError):
                found = os.lstat(file)
                if stat.S_ISREG(found.st_mode):
                    yield file, found


def existing(home: Path, name: str) -> Path:
    """The folder of a session that is there. Raises UserError if it is not."""
    folder = session_folder(home, name)
    if not (folder / FILE).exists():
        known = ", ".join(list_sessions(home)) or "none yet"
        raise UserError(f"There is no session “{name}”. There is: {known}.")
    return folder


def free(home: Path, name: str) -> Path:
    """The folder that a new session of that name will have. Raises UserError if the name is taken."""
    folder = session_folder(home, name)
    # Some disks take “A” and “a” for one name; the list of sessions should not depend on which.
    entries = home.iterdir() if home.is_dir() else ()
    if any(entry.name.lower() == name.lower() and not _unborn(entry) for entry in entries):
        raise UserError(f"The name “{name}” is taken; choose another.")
    return folder


def _unborn(entry: Path) -> bool:
    """Whether this is only what a kill or a full disk left of a session that was being made."""
    return entry.is_dir() and {file.name for file in entry.iterdir()} <= {*LEFT}


def make_way(folder: Path) -> None:
    """Remove what is left of an unborn session: no other can be moved to where anything is.

    The caller has the folder from `free`. Raises SessionBusy while a studio is making the session.
    """
    if folder.is_dir():
        lock.take(folder / LOCK, folder.name)
        for name in LEFT:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def create_session(home: Path, name: str) -> Path:
    """Make an empty session; returns its folder. Raises UserError if the name is taken."""
    folder = free(home, name)
    Store.open(folder).close()
    return folder


def rename_session(home: Path, old: str, new: str) -> Path:
    """Give a closed session another name; returns its new folder. Raises SessionBusy while it is open.

    Raises UserError where that would keep runs from going on.
    """
    folder, goal = existing(home, old), free(home, new)
    require_writable(folder)
    with held(folder):
        require_idle(folder)
        if names := _bound_to(folder):
            raise UserError(
                f"The session “{old}” can't be renamed yet: runs that wait or can be resumed name a model in "
                f"its folder, which they would not find again: {', '.join(names)}. "
                "Let them come to their end, or delete them."
            )
        try:
            make_way(goal)
            os.rename(folder, goal)
        except OSError as error:
            raise UserError(f"Can't rename {folder}: {error.strerror or error}") from error
        lock.release(goal / LOCK)  # it moved along
    sync(home)
    return goal


def _bound_to(folder: Path) -> list[str]:
    """The runs of a closed session that are to go on and name something by this folder's path."""
    inside = json.dumps(f"{folder.absolute() / 'runs'}{os.sep}")[1:-1]
    asked = (
        "SELECT r.name FROM runs r JOIN run_status s ON s.run = r.id "
        "WHERE s.state IN (SELECT unnest(?)) AND contains(r.config, ?) ORDER BY r.seq"
    )
    try:
        with duckdb.connect(str(folder / FILE), read_only=True) as con:
            return [name for (name,) in con.execute(asked, [["waiting", *RESUMABLE], inside]).fetchall()]
    except duckdb.Error as error:
        if busy := lock.held_by_another(folder.name, error):
            raise busy from error
        return []  # broken, or from before there were runs


def _is_checkout(folder: Path) -> bool:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        return bool(project["project"]["name"] == "cai-studio")
    except (OSError, ValueError, KeyError, TypeError):
        return False
