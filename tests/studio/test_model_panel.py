"""The model panel: one fetch of the bundled model, seen by every tab, and what the model holds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import bundled
from pipeline.engines import fetching
from pipeline.engines.remote import Worker
from studio.components.model_panel import picture
from studio.context import Studio

SLEEPS = "import time; time.sleep(60)"
FAILS = "import sys; print('cai: no <network>', file=sys.stderr); sys.exit(2)"


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio on a machine without the bundled model."""
    monkeypatch.setattr(bundled, "available", lambda: False)
    studio = Studio.open(tmp_path / "s", "s")
    yield studio
    studio.close()


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> list[Any]:
    """Let code run where the fetch would; the processes that were started."""
    started: list[Any] = []
    start = subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        assert command[1:] == ["-P", "-m", "pipeline", "models", "get", "bundled"]
        started.append(start([sys.executable, "-c", code], **options))
        return started[-1]

    monkeypatch.setattr(fetching.subprocess, "Popen", popen)
    return started


def buttons(studio: Studio) -> tuple[bool, bool]:
    """Whether one can fetch, and whether one can stop that."""
    _, get, halt, _ = picture(studio)
    return get["visible"], halt["visible"]


def test_a_fetch_is_seen_by_every_tab_until_it_is_stopped(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = stand_in(monkeypatch, SLEEPS)
    assert "not on this machine yet" in picture(studio)[0]
    assert buttons(studio) == (True, False)
    studio.bundled.start()
    studio.bundled.start()  # another tab
    assert len(started) == 1
    assert "Fetching the bundled model" in picture(studio)[0]
    assert "0 s so far" in picture(studio)[0]
    assert buttons(studio) == (False, True)
    studio.bundled.stop()
    assert started[0].poll() is not None
    assert "not on this machine yet" in picture(studio)[0]
    assert buttons(studio) == (True, False)


def test_why_a_fetch_failed_stays_until_the_next(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, FAILS)
    studio.bundled.start()
    until = time.monotonic() + 20
    while studio.bundled.seconds is not None and time.monotonic() < until:
        time.sleep(0.02)
    for _ in range(2):
        assert '<div class="cai-error" role="alert">no &lt;network&gt;</div>' in picture(studio)[0]
    assert buttons(studio) == (True, False)


def test_a_studio_that_closes_leaves_no_fetch_behind(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    started = stand_in(monkeypatch, SLEEPS)
    studio.bundled.start()
    studio.close()
    assert started[0].poll() is not None


def test_what_the_model_holds_is_told_of_both_memories(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "available", lambda: True)
    assert "No model is loaded" in picture(studio)[0]
    monkeypatch.setattr(Worker, "pid", 7)
    monkeypatch.setattr(Worker, "memory", 1_260_000_000)
    assert "holds 1,250 MB of memory (process 7)" in picture(studio)[0]
    monkeypatch.setattr(Worker, "gpu_memory", 290_000_000)
    assert "holds 1,250 MB of memory and 300 MB on the GPU (process 7)" in picture(studio)[0]
