"""Exports of checkpoints: `cai export` in a process of its own, one at a time, seen by every tab.

To merge takes a model's whole memory and minutes, and the studio loads no model. A studio that closes ends
its export, which then leaves nothing.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.background import give_way
from pipeline.errors import UserError
from pipeline.train import exporting
from studio.jobs.launcher import CPU, environment

FOLDER = "exports"
LEAVE = 5.0
"""Seconds to clear up in, before an export that was stopped is killed."""
MOST_ZIPPED = 2 << 30
"""Bytes of weights that a browser is given as one file."""


@dataclass
class _Work:
    """One export under way, or over."""

    checkpoint: str
    goal: Path
    process: subprocess.Popen[bytes]
    log: Path
    start: int  # where in the log its words begin
    began: float = field(default_factory=time.monotonic)
    stopped: bool = False


@dataclass(frozen=True)
class Export:
    """How an export stands: of which checkpoint, to where, the last that it said, and what went wrong."""

    checkpoint: str
    goal: Path
    runs: bool
    seconds: float
    said: str
    problem: str = ""


class Exports:
    """At most one export at a time, to the folder `exports` of a session. Safe from several threads."""

    def __init__(self, session: Path) -> None:
        self.folder = session / FOLDER
        self._log = session / "export.log"
        self._lock = threading.Lock()
        self._work: _Work | None = None

    def start(self, checkpoint: str, source: Path, goal: Path) -> None:
        """Write the whole model of a checkpoint into a new folder. Raises UserError."""
        with self._lock:
            if self._work and self._work.process.poll() is None:
                raise UserError("another export is being written: wait for it, or stop it")
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._log.open("ab") as log:
                    start = log.tell()
                    process = subprocess.Popen(
                        [sys.executable, "-P", "-m", "pipeline", *words(source, goal, merged=True)],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=log,
                        start_new_session=True,
                        env=environment(CPU),  # a GPU is for runs
                    )
            except OSError as error:
                raise UserError(f"the export's process can't be started: {error}") from error
            give_way(process.pid)
            self._work = _Work(checkpoint, goal, process, self._log, start)

    def stop(self) -> None:
        """End it, and what it has written; nothing happens where none runs."""
        with self._lock:
            work = self._work
            if not work or work.process.poll() is not None:
                return
            work.stopped = True
            work.process.send_signal(signal.SIGINT)  # it clears up after itself
            try:
                work.process.wait(LEAVE)
            except subprocess.TimeoutExpired:
                work.process.kill()
                work.process.wait()
            shutil.rmtree(exporting.unfinished(work.goal), ignore_errors=True)  # a killed one can't

    @property
    def state(self) -> Export | None:
        """How the newest one stands; None before the first."""
        work = self._work
        if work is None:
            return None
        status = work.process.poll()
        lines = _lines(work)
        problem = ""
        if work.stopped:
            # It may have been complete in that moment.
            problem = "" if work.goal.exists() else "Stopped; nothing was left behind."
        elif status:
            said = [line.removeprefix("cai: ") for line in lines if line.startswith("cai: ")]
            problem = said[-1] if said else f"The export ended early: {(lines or ['no reason given'])[-1]}"
        seconds = time.monotonic() - work.began
        last = next((line for line in reversed(lines) if line.strip()), "starting")
        return Export(work.checkpoint, work.goal, status is None, seconds, last, problem)


def words(source: Path, goal: Path, merged: bool) -> list[str]:
    """What follows `cai`."""
    return ["export", str(source), "--to", str(goal), *(["--merged"] if merged else [])]


def free_goal(folder: Path, name: str) -> Path:
    """A folder below `folder` that is not there yet, called after a checkpoint's name."""
    plain = re.sub(r"[^\w]+", "-", name, flags=re.ASCII).strip("-_").lower()[:60] or "checkpoint"
    at = folder / plain
    number = 2
    while at.exists():
        at = folder / f"{plain}-{number}"
        number += 1
    return at


def zipped(source: Path, folder: Path, name: str) -> Path:
    """A checkpoint as it is, in one zip file below `folder`. Raises UserError, also where it is too large."""
    size = sum(path.stat().st_size for path in _weights(source))
    if size > MOST_ZIPPED:
        raise UserError(
            f"{size / 1e9:.1f} GB are too much for a download: use the command below on this machine instead"
        )
    goal = free_goal(folder, name)
    exporting.export(source, goal, merged=False, tell=lambda _: None)
    out = goal.with_name(f"{goal.name}.zip")
    try:
        # Weights don't compress: time is all that it would take.
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(goal.iterdir()):
                archive.write(path, f"{goal.name}/{path.name}")
                path.unlink()
    except OSError as error:
        out.unlink(missing_ok=True)
        raise UserError(f"{out}: can't be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(goal, ignore_errors=True)
    return out


def _weights(source: Path) -> Sequence[Path]:
    return [*source.glob("*.safetensors"), *(source / "checkpoint").glob("*.safetensors")]


def _lines(work: _Work) -> list[str]:
    try:
        with work.log.open("rb") as log:
            log.seek(work.start)
            text = log.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]
