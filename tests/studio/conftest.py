"""What the studio's tests share."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from studio.context import Studio
from studio.store.database import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A session's store, of its own to each test."""
    opened = Store.open(tmp_path / "session")
    yield opened
    opened.close()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A studio with the shipped constitutions in its session."""
    studio = Studio.open(tmp_path / "s", "s")
    yield studio
    studio.close()


@pytest.fixture
def idle(studio: Studio) -> None:
    """Nothing is started by itself: a test does, or only looks."""
    studio.jobs.close()


class Paused:
    """An engine that says one word, then waits until it is stopped."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.info, self.said = engine, engine.info, threading.Event()

    def generate(self, requests: Any, on_text: Any, cancelled: Any) -> Any:
        def wait() -> bool:
            self.said.set()
            while not cancelled():
                pass
            return True

        first = iter([False])
        return self.engine.generate(requests, on_text, lambda: next(first, None) is None and wait())


@pytest.fixture
def pausing(scripted: Callable[..., Any]) -> Callable[[str], Paused]:
    """Make an engine that begins this answer, and waits."""
    return lambda answer: Paused(scripted(answer))


class FullDisk:
    """A connection to a database whose disk is full: a commit fails, and ends its transaction."""

    def execute(self, sql: str, params: Any = ()) -> None:
        if sql == "COMMIT":
            raise duckdb.IOException('Could not write file "x": No space left on device')
        if sql == "ROLLBACK":
            raise duckdb.TransactionException("cannot rollback - no transaction is active")


@pytest.fixture
def full_disk() -> FullDisk:
    """A connection on which nothing can be committed."""
    return FullDisk()


@pytest.fixture
def on_a_small_disk(tmp_path: Path) -> Callable[[str], str]:
    """Runs a script with the folder of a disk of 24 MB as its argument; returns what it said.

    The disk is the script's alone, at the test's own folder. Skips where none can be mounted.
    """
    mount = 'mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@"'
    begin = [shutil.which("unshare") or "", "-rm", "sh", "-c", mount, str(tmp_path)]

    def run(script: str) -> str:
        if not begin[0] or subprocess.run([*begin, "true"], check=False).returncode:
            pytest.skip("a small disk can't be mounted here")
        words = [*begin, sys.executable, "-c", script, str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr[-2_000:]
        return done.stdout

    return run
