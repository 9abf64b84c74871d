"""What the tests of commands share."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.engines import Request, SpentError


@pytest.fixture
def terminated() -> Callable[..., list[dict[str, Any]]]:
    """Run `cai` in a process of its own, end it by SIGTERM once a file has a row, and return its rows."""

    def run(words: Sequence[str], part: Path) -> list[dict[str, Any]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words], stderr=subprocess.PIPE, text=True
        )
        while not part.exists() or not part.stat().st_size:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.communicate()[1].endswith("the same command goes on from here\n")
        assert process.returncode == 130
        return [json.loads(line) for line in part.read_text("utf-8").splitlines()]

    return run


class Spent:
    """A server's engine whose tokens are used up after so many requests."""

    def __init__(self, engine: Any, many: int) -> None:
        self.engine, self.info, self.many = engine, engine.info, many

    def flow(self, requests: Sequence[Request], *how: Any) -> None:
        self.engine.flow(requests[: self.many], *how)
        raise SpentError("the limit for servers is reached")


@pytest.fixture
def spent(scripted: Callable[..., Any]) -> Callable[..., Spent]:
    """Make an engine that gives these answers, and then has no tokens left."""
    return lambda *answers: Spent(scripted(*answers), len(answers))
