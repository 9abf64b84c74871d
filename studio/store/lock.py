"""Who has a session open: the file `studio.lock`, which holds a pid and when that process began.

DuckDB's own lock is what keeps two processes apart. This file says who the other one is, also on
systems where DuckDB can't tell, and covers the moments when the database file is closed to be
copied. It never keeps anyone out by itself once its process is gone.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from studio.store.errors import SessionBusy

# Where starts are read from a clock, that may be corrected a little while the process runs.
SAME_START = 2.0  # seconds
# A start by ticks since the machine's: above any time in seconds since 1970, and a whole number in a double.
TICKS = 2.0**36
# A lock file is empty for the moment between its creation and its first write.
GRACE = 0.5  # seconds


@dataclass(frozen=True)
class Holder:
    """A process, told from a later one of the same number by its start.

    `started` is by ticks (`_start`), or seconds since 1970, as other systems and earlier studios have it.
    """

    pid: int
    started: float

    @classmethod
    def me(cls) -> Holder:
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Holder:
        """The process that has this number now. Raises psutil.Error where there is none."""
        return cls(pid, _start(psutil.Process(pid)))

    def alive(self) -> bool:
        """False if the process ended, even if its number is taken again or its parent never reaped it."""
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if self.started < TICKS:
                return abs(process.create_time() - self.started) < SAME_START
            return _start(process) == self.started
        except (psutil.Error, ValueError, OverflowError):
            return False


def _start(process: psutil.Process) -> float:
    """When a process began: by Linux in ticks since the machine's start, with what tells that from others.

    The time of day is no measure of it: set right after a suspend, it would move all starts.
    """
    try:
        machine = int(Path("/proc/sys/kernel/random/boot_id").read_text()[:4], 16) + 1
        facts = Path(f"/proc/{process.pid}/stat").read_bytes().rpartition(b")")[2].split()
        return machine * TICKS + int(facts[19])  # field 22 of proc(5): the name before may hold spaces
    except (OSError, ValueError, IndexError):
        return float(process.create_time())


def take(file: Path, session: str) -> None:
    """Write this process into the lock file. Raises SessionBusy if a live process is in it."""
    for _ in range(3):
        try:
            with file.open("x", encoding="utf-8") as out:
                json.dump(asdict(Holder.me()), out)
            return
        except FileExistsError:
            holder = read(file)
            if holder and holder.alive():
                raise busy(session, holder.pid) from None
            # Two processes may get here at once and both go on; DuckDB then lets only one in.
            file.unlink(missing_ok=True)
    raise busy(session, None)


def release(file: Path) -> None:
    """Remove the lock file if it is this process's own."""
    holder = read(file)
    if holder and holder.pid == os.getpid():
        file.unlink(missing_ok=True)


def read(file: Path) -> Holder | None:
    """Who is in the lock file; None if it is missing or, beyond the first moment, unreadable."""
    until = time.monotonic() + GRACE
    while True:
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
            return Holder(int(data["pid"]), float(data["started"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            if time.monotonic() > until:
                return None
            time.sleep(0.02)


def busy(session: str, pid: int | None) -> SessionBusy:
    """The error that names the session and whoever holds it."""
    if pid == os.getpid():
        return SessionBusy(session, pid, f"this very process ({pid})")
    return SessionBusy(session, pid, describe(pid) if pid else "another process")


def held_by_another(session: str, error: Exception) -> SessionBusy | None:
    """What DuckDB's error says where another process has the file open; None where it is about else."""
    text = str(error)
    if not re.search(r"Could not set lock|used by another process", text):
        return None
    pid = re.search(r"PID (\d+)", text)
    return busy(session, int(pid[1]) if pid else None)


def describe(pid: int) -> str:
    """`process 123 (python -m studio, user ann)`, as much of it as the system tells."""
    facts: list[str] = []
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline()) or process.name()
        facts.append(command if len(command) <= 80 else command[:79] + "…")
        facts.append(f"user {process.username()}")
    except (psutil.Error, KeyError, OSError):
        pass  # someone else's process may keep these to itself; the pid alone is enough to act on
    return f"process {pid}" + (f" ({', '.join(facts)})" if facts else "")
