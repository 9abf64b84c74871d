"""Kill -9 of the studio and of its model process in the middle of a stream: nothing committed is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from studio.context import Studio
from studio.store import chains

pytestmark = [pytest.mark.model, pytest.mark.usefixtures("bundled_folder")]

TARGET = "tests.studio.kill_target"
ROOT = Path(__file__).parents[2]


class Victim:
    """The running target and all that it said."""

    def __init__(self, folder: Path, target: str = TARGET, *more: object) -> None:
        words = [sys.executable, "-m", target, *map(str, (folder, *more))]
        self.process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.said: list[list[str]] = []
        self.worker = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            words = line.split()
            if words[:1] == ["worker"]:
                self.worker = int(words[1])
            elif line.endswith("\n"):
                self.said.append(words)

    def until_streaming(self) -> None:
        deadline = time.monotonic() + 300  # a machine that does much else, too
        while not self.worker:
            if time.monotonic() > deadline:
                self.kill()  # nothing goes on behind a test that has failed
                pytest.fail("the target did not start")
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()


def survive(folder: Path, rounds: int, seed: int) -> tuple[int, int]:
    """Kill and reopen; returns how many chains and steps were announced, all of them found, once."""
    draw = random.Random(seed)
    starts: set[str] = set()
    steps: set[tuple[str, int]] = set()
    for _ in range(rounds):
        victim = Victim(folder)
        victim.until_streaming()
        time.sleep(draw.uniform(0, 4))
        if draw.random() < 0.5:
            os.kill(victim.worker, signal.SIGKILL)
            time.sleep(draw.uniform(0, 6))  # the studio goes on with a new model process
            assert victim.process.poll() is None, "the studio died with its model"
        victim.kill()
        starts |= {words[1] for words in victim.said if words[0] == "start"}
        steps |= {(words[1], int(words[2])) for words in victim.said if words[0] == "step"}
        gone(victim.worker)
        _check(folder, starts, steps)
    return len(starts), len(steps)


def gone(pid: int) -> None:
    """A killed studio leaves no model process behind."""
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the model process outlived the studio"
        time.sleep(0.05)


def _check(folder: Path, starts: set[str], steps: set[tuple[str, int]]) -> None:
    studio = Studio.open(folder, "killed")
    try:
        found = [id for (id,) in studio.store.query("SELECT id FROM chains")]
        rows = studio.store.query("SELECT chain, position FROM current_steps")
        whole = studio.store.query("SELECT chain, position FROM steps WHERE finish <> 'cancelled'")
        assert starts <= set(found)
        assert len(found) == len(set(found))
        assert steps <= {(chain, position) for chain, position in rows}
        assert len(whole) == len(set(whole)), "a step was written twice"
        for id in found:
            chain = chains.load_chain(studio.store, id)
            assert chain
            assert chain.status != "running"
            assert (len(chain.steps) == 3) == (chain.status == "finished") or chain.status == "interrupted"
    finally:
        studio.close()


@pytest.mark.timeout(600)  # beside much else: the target's own limits are more than a test's
def test_nothing_committed_is_lost_or_doubled(tmp_path: Path) -> None:
    _, steps = survive(tmp_path / "s", rounds=3, seed=1)
    assert steps  # else the kills came before there was anything to lose


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_thirty_kills(tmp_path: Path) -> None:
    chains_kept, steps_kept = survive(tmp_path / "s", rounds=30, seed=2)
    assert chains_kept > 10  # else the kills came before there was anything to lose
    assert steps_kept > 30
