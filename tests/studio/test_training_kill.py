"""Kill -9 of a training run's worker and of its studio, at random moments: one curve, each step once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.training_configs import Supervised
from studio.context import Studio
from studio.jobs import training
from studio.jobs.training import Lessons
from studio.store import metrics, runs

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

TARGET = Path(__file__).with_name("runs_target.py")
KILLS = 20
STEPS = 120


@contextmanager
def opened(folder: Path) -> Iterator[Studio]:
    studio = Studio.open(folder, "killed")
    try:
        yield studio
    finally:
        studio.close()


def begin(folder: Path, model: Path) -> str:
    """A training run in the session's queue, begun by whoever opens it next."""
    rows = [
        {"messages": [{"role": "user", "content": f"Say {i}"}, {"role": "assistant", "content": f"e e {i}"}]}
        for i in range(40)
    ]
    folder.parent.mkdir()
    demos = folder.parent / "demos.jsonl"
    demos.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = Supervised(model=str(model), steps=STEPS, batch=2, at_once=2, save_every=10)
    with opened(folder) as studio:
        studio.jobs.close()
        return training.prepare_sft(studio.store, studio.jobs.folder, Lessons(demos=demos), config, {}, "ann")


def curve(folder: Path, id: str) -> dict[int, float | None]:
    """The loss by step, as the session has it; each step once."""
    with opened(folder) as studio:
        deadline = time.monotonic() + 600
        while (run := runs.load(studio.store, id)) and run.state != "done":
            assert time.monotonic() < deadline, f"it is {run.state}"
            if run.state in ("lost", "stopped"):
                studio.jobs.resume(id)
            time.sleep(0.1)
        found = metrics.curves(studio.store, [id])[id]["loss"]
    assert len(set(found.steps)) == len(found.steps)
    return dict(zip(found.steps, found.values, strict=True))


def struck(folder: Path, id: str, whom: str, after: float) -> bool:
    """Let a studio look after the run for so many seconds, then kill it, the run's worker, or both.

    Whether the run was still at work.
    """
    with subprocess.Popen([sys.executable, TARGET, folder], stdout=subprocess.PIPE, text=True) as studio:
        assert studio.stdout
        assert studio.stdout.readline() == "ready\n"
        time.sleep(after)
        studio.send_signal(signal.SIGKILL)
    with opened(folder) as after_it:
        after_it.jobs.look()
        run, process = runs.load(after_it.store, id), runs.process(after_it.store, id)
        if whom != "studio" and process and process.holder.alive():
            os.kill(process.holder.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while whom != "studio" and run and run.state == "running":
            assert time.monotonic() < deadline
            time.sleep(0.1)
            run = runs.load(after_it.store, id)
        if run and run.state in ("lost", "stopped"):
            after_it.jobs.resume(id)
    return run is not None and run.state != "done"


def test_twenty_kills_of_worker_and_studio_leave_one_curve(tmp_path: Path, tiny_model: Path) -> None:
    calm = tmp_path / "calm" / "session"
    undisturbed = curve(calm, begin(calm, tiny_model))
    assert list(undisturbed) == list(range(1, STEPS + 1))
    drawn, kills, place = random.Random(2), 0, 0
    while kills < KILLS:
        place += 1
        folder = tmp_path / f"struck-{place}" / "session"
        id = begin(folder, tiny_model)
        while kills < KILLS and struck(folder, id, drawn.choice(["studio", "both"]), drawn.uniform(0, 20)):
            kills += 1
        # The processor's own sums differ by nothing: the same seed, order and threads.
        assert curve(folder, id) == pytest.approx(undisturbed, abs=1e-4)
