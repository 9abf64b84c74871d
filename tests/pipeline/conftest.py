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
