"""What the studio's tests share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
