"""`cai-studio doctor`: the machine, as `cai doctor` tells of it, and the health of each session.

Sessions are only read: nothing is brought up to date, recovered or removed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from pipeline import doctor
from pipeline.doctor import Finding
from pipeline.doctor_command import tell
from pipeline.errors import UserError
from studio.store import backups, lock, migrate, sessions
from studio.store.errors import SessionBroken
from studio.store.runs import ACTIVE

AT_WORK = """
SELECT s.run, p.pid, p.started FROM run_status s
LEFT JOIN (SELECT * FROM run_processes QUALIFY row_number() OVER (PARTITION BY run ORDER BY seq DESC) = 1) p
ON p.run = s.run WHERE s.state IN (SELECT unnest(?::VARCHAR[]))
"""


def parser() -> argparse.ArgumentParser:
    """The options, with their help."""
    options = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="cai-studio doctor",
        description="Machine, versions, device, disk, models and sessions, and for each fault what to do. "
        "Exit status 1 where something needs doing.",
    )
    options.add_argument("--session", metavar="NAME", help="only this session; by default all")
    options.add_argument("--json", action="store_true", help="the same as JSON")
    return options


def run(argv: list[str]) -> int:
    """Print what was found; returns 1 where something needs doing. Raises UserError for no such session."""
    options = parser().parse_args(argv)
    home = sessions.home()
    if options.session:
        sessions.existing(home, options.session)
    names = [options.session] if options.session else sessions.list_sessions(home)
    return tell(_findings(home, names), options.json)


def _findings(home: Path, names: list[str]) -> Iterator[Finding]:
    yield from doctor.findings([home])
    there = next(place for place in (home, *home.parents) if os.path.lexists(place))
    if not there.is_dir():
        yield Finding("sessions", f"{there} is no folder", "move it away, or name another place in CAI_HOME")
        return
    yield Finding("sessions", f"{len(names)} in {home}" if names else f"none in {home} yet")
    for name in names:
        yield from health(home, name)


def health(home: Path, name: str) -> Iterator[Finding]:
    """How one session is: size, last backup, whether it opens, and its runs at work."""
    title, folder = f"session {name}", sessions.session_folder(home, name)
    info = sessions.describe(home, name)
    told = f"{backups.size_text(info.size)}, {_last_backup(folder)}"
    if info.pid:
        yield Finding(title, f"{told}, open in {lock.describe(info.pid)}: not looked into")
        return
    try:
        with backups.held(folder), duckdb.connect(str(folder / migrate.FILE), read_only=True) as con:
            todo = migrate.pending(con, folder, migrate.shipped())
            yield Finding(
                title, f"{told}, opens" + (f", {len(todo)} changes of its tables to come" * bool(todo))
            )
            yield from _stranded(con, title)
    except duckdb.Error as error:
        broken = SessionBroken(folder / migrate.FILE, str(error), migrate.newest_backup(folder))
        yield Finding(title, f"{told}, can't be read", f"{broken} Or: cai-studio sessions restore {name}")
    except (UserError, OSError) as error:
        yield Finding(title, f"{told}, can't be opened", str(error))


def _stranded(con: Any, title: str) -> Iterator[Finding]:
    """The runs that are said to be at work, and whose process is gone."""
    tables = {table for (table,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if "run_processes" not in tables:
        return
    for run, pid, started in con.execute(AT_WORK, [list(ACTIVE)]).fetchall():
        if pid is None or not lock.Holder(pid, started).alive():
            what = "open the session: it marks the run as lost, keeps what is there, and *Resume* goes on"
            yield Finding(title, f"run {run} is said to be at work, and its process is gone", what)


def _last_backup(folder: Path) -> str:
    copies = [one for one in backups.list_backups(folder) if one.why != backups.WHY["-replaced"]]
    if not copies:
        return "no backup"
    days = (datetime.now(UTC) - copies[0].made).days
    return f"last backup {f'{days} days ago' if days > 0 else 'today'}"
