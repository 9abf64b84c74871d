"""Fetching a model in a process of its own: it can be stopped, and no job of the worker waits for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from pipeline import bundled, models
from pipeline.engines import Cancelled, EngineError, StoppedError, never
from pipeline.errors import UserError

POLL = 0.2
LEAVE = 3.0
"""Seconds to clear up in, before a fetch that was stopped is killed."""

Doing = Callable[[str], None]


def silent(doing: str) -> None:
    """The default `doing`: nobody looks on."""


class Fetch:
    """One `cai models get`. What it says goes to the log."""

    def __init__(self, name: str, log: Path) -> None:
        self._log = log
        self._began = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with log.open("ab") as file:
                self._from = file.tell()
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "pipeline", "models", "get", name],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    start_new_session=True,  # a group of its own: pip and the converter end with it
                    env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
                )
        except OSError as error:
            raise EngineError(f"{name} can't be fetched: {error}") from error

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def failure(self) -> str:
        """Why it ended without the model; empty when it is there."""
        if not self._process.wait():
            return ""
        with self._log.open("rb") as file:
            file.seek(self._from)
            lines = file.read().decode("utf-8", "replace").splitlines()
        # Others write into the log too; its own last word is the one of the command line.
        said = [line.removeprefix("cai: ") for line in lines if line.startswith("cai: ")]
        return said[-1] if said else "the download ended early; the reason is at the end of inference.log"

    def stop(self) -> None:
        """End it, and what it started: asked first, so that nothing half done is left behind."""
        if not self.runs:
            return
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(self._process.pid).children(recursive=True)
        if os.name == "posix":
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LEAVE)
        self._process.kill()
        self._process.wait()
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()


def bring(name: str, log: Path, cancelled: Cancelled = never, doing: Doing = silent) -> None:
    """Put the model on this machine if it is not here yet, while `doing` hears how far it is.

    Raises EngineError with the reason where it can't be had, StoppedError after a cancel.
    """
    repository = ""
    if models.bare(name) in bundled.NAMES:
        if bundled.ready() or not bundled.available():  # here, or not to be fetched unasked
            return
    else:
        try:
            models.resolve(name, download=False)
        except models.NotHereError as error:
            repository = error.repository
        except UserError:  # the worker says it
            return
        else:
            return
    what = f"downloading {repository}" if repository else "converting the bundled model, once"
    doing(what)
    fetch = Fetch(name, log)
    try:
        while fetch.runs:
            if cancelled():
                raise StoppedError(f"stopped while {what}")
            if repository and (size := models.downloaded(repository)):
                doing(f"{what}: {size / 1e6:,.0f} MB so far")
            time.sleep(POLL)
    finally:
        fetch.stop()
    if why := fetch.failure():
        raise EngineError(why)
