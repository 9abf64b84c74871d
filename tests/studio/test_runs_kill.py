"""Kill -9 of the studio while a run works: the run goes on, and the next studio loses and doubles nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import constitution, prompts
from pipeline.configs import Drawing
from studio.context import Studio
from studio.jobs import batch
from studio.store import chains, runs
from studio.store.chains import ChainFilter
from studio.store.lock import Holder

TARGET = Path(__file__).with_name("runs_target.py")
CHAINS = 150


def killed_studio(folder: Path, until: Callable[[], bool]) -> None:
    """Open the session in a process of its own, and kill that once `until` holds."""
    with subprocess.Popen(
        [sys.executable, str(TARGET), str(folder)], stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdout
        assert victim.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 90
        while not until():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        victim.kill()


def begin(folder: Path, model: Path) -> str:
    """A batch in the queue of a studio that has just gone."""
    studio = Studio.open(folder, "killed")
    studio.jobs.close()
    asked = [prompts.from_text(f"Question {i}?") for i in range(CHAINS)]
    minimal = constitution.load(constitution.shipped()["minimal"])
    drawing = Drawing(model=str(model), revisions=1, max_tokens=24)
    id = batch.prepare_critique(studio.store, studio.jobs.folder, asked, minimal, drawing, "", "ann")
    studio.close()
    return id


@pytest.mark.timeout(600)
def test_a_run_outlives_two_studios_and_a_kill_of_its_own(tmp_path: Path, tiny_model: Path) -> None:
    folder = tmp_path / "session"
    id = begin(folder, tiny_model)
    part = folder / "runs" / id / "outputs" / "chains.jsonl.part"

    def lines() -> int:
        return part.read_bytes().count(b"\n") if part.exists() else 0

    killed_studio(folder, lambda: lines() > 10)
    before = lines()
    deadline = time.monotonic() + 60
    while lines() <= before:  # it works on, with no studio
        assert time.monotonic() < deadline
        time.sleep(0.05)
    killed_studio(folder, lambda: True)  # in the middle of its start
    studio = Studio.open(folder, "killed")
    try:
        worker = runs.process(studio.store, id)
        assert worker
        assert worker.holder.alive()
        kill(worker.holder)
        wait(studio, id, "lost")
        kept = set(studio.store.query("SELECT id, seq FROM chains"))
        assert len(kept) == lines()
        studio.jobs.resume(id)
        wait(studio, id, "done")
        found = studio.store.query("SELECT id, seq FROM chains")
        assert len({chain for chain, _ in found}) == len(found) == CHAINS
        assert kept <= set(found)
        steps = studio.store.query("SELECT chain, position FROM steps")
        assert len(set(steps)) == len(steps) == 3 * CHAINS
        assert chains.count_chains(studio.store, ChainFilter(run=id, status="finished")) == CHAINS
        numbers = [seq for (seq,) in studio.store.query("SELECT seq FROM run_events ORDER BY seq")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(studio.store.query("SELECT 1 FROM run_processes")) == 2
    finally:
        studio.close()


def kill(holder: Holder) -> None:
    os.kill(holder.pid, signal.SIGKILL)


def wait(studio: Studio, id: str, state: str) -> None:
    deadline = time.monotonic() + 90
    while (run := runs.load(studio.store, id)) and run.state != state:
        assert time.monotonic() < deadline, f"it is {run.state}"
        time.sleep(0.05)
