"""A run's process: how it is started, told from others, and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.background import NICE
from pipeline.errors import UserError
from studio.jobs import launcher
from studio.jobs.launcher import Launcher, find, log_tail
from studio.store.lock import SAME_START, Holder


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Launcher, Path]]:
    """A launcher whose `pipeline` is a small script of the test's."""
    package = tmp_path / "fake" / "pipeline"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import os, sys, time\n"
        "print(os.environ['CUDA_VISIBLE_DEVICES'], os.getsid(0) == os.getpid(), sys.stdin.read() == '')\n"
        "time.sleep(60 if sys.argv[1] == 'sleep' else 0)\n"
        "sys.exit(3)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    made = Launcher()
    yield made, tmp_path / "run"
    for child in made._children.values():
        child.kill()
        child.wait()


def ended(launcher: Launcher, holder: Holder) -> None:
    deadline = time.monotonic() + 20
    while launcher.alive(holder):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_has_a_session_a_device_a_log_and_no_input(launched: tuple[Launcher, Path]) -> None:
    made, folder = launched
    holder = made.start(["end"], folder, "1")
    ended(made, holder)
    assert log_tail(folder) == "1 True True\n"
    assert made.status(holder) == 3
    ended(made, made.start(["end"], folder, ""))
    assert log_tail(folder) == "1 True True\n True True\n"  # appended


def test_it_gives_way_to_the_page(launched: tuple[Launcher, Path]) -> None:
    made, folder = launched
    holder = made.start(["sleep"], folder, "")
    assert psutil.Process(holder.pid).nice() >= max(NICE, psutil.Process().nice())


def test_a_stop_is_asked_for_and_a_kill_ends_at_once(launched: tuple[Launcher, Path]) -> None:
    made, folder = launched
    first = made.start(["sleep"], folder, "")
    assert made.alive(first)
    made.ask(first)
    ended(made, first)
    assert made.status(first) == -signal.SIGTERM
    second = made.start(["sleep"], folder, "")
    made.kill(second)
    ended(made, second)
    assert made.status(second) == -signal.SIGKILL
    made.kill(second)  # nothing is there any more


def test_a_stop_that_nobody_hears_yet_is_told(launched: tuple[Launcher, Path]) -> None:
    made, folder = launched
    launching = made.start(["sleep", launcher.ACCELERATE], folder, "")  # it has started nobody yet
    deadline = time.monotonic() + 20
    while launcher.ACCELERATE not in psutil.Process(launching.pid).cmdline():
        assert time.monotonic() < deadline
    assert not made.ask(launching)
    assert made.alive(launching)
    assert made.ask(made.start(["sleep"], folder, ""))


def test_a_kill_reaches_what_has_a_session_of_its_own(
    launched: tuple[Launcher, Path], tmp_path: Path
) -> None:
    made, folder = launched
    # As `accelerate launch` starts its workers.
    (tmp_path / "fake" / "pipeline" / "__main__.py").write_text(
        "import subprocess, sys\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "worker = subprocess.Popen(sleep, start_new_session=True)\n"
        "print(worker.pid, flush=True)\n"
        "worker.wait()\n"
    )
    holder = made.start(["train"], folder, "")
    deadline = time.monotonic() + 20
    while not log_tail(folder).endswith("\n"):
        assert time.monotonic() < deadline
    worker = Holder.of(int(log_tail(folder)))
    made.kill(holder)
    ended(made, holder)
    while worker.alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_another_process_of_that_number_is_not_ours(launched: tuple[Launcher, Path]) -> None:
    made, _ = launched
    me = psutil.Process()
    assert made.alive(Holder(me.pid, me.create_time()))
    earlier = Holder(me.pid, me.create_time() - 100)
    assert not made.alive(earlier)
    made.ask(earlier)  # or this test would end here
    made.kill(earlier)


def test_a_child_lives_whatever_the_clock_says(launched: tuple[Launcher, Path]) -> None:
    made, folder = launched
    holder = made.start(["sleep"], folder, "")
    assert made.alive(Holder(holder.pid, psutil.Process(holder.pid).create_time() - 100))


def test_a_dead_child_that_nobody_reaped_is_dead(launched: tuple[Launcher, Path]) -> None:
    made, folder = launched
    holder = made.start(["sleep"], folder, "")
    os.kill(holder.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Launcher().alive(holder):  # one that is not its parent sees a zombie
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ended(made, holder)
    assert not psutil.pid_exists(holder.pid)


def test_a_run_is_found_by_its_folder(launched: tuple[Launcher, Path]) -> None:
    made, folder = launched
    holder = made.start(["sleep", "--run", str(folder)], folder, "")
    deadline = time.monotonic() + 20
    while not (found := find(folder)):  # the system shows a process's words a moment after it began
        assert time.monotonic() < deadline
    assert found.pid == holder.pid
    assert abs(found.started - holder.started) < SAME_START  # told anew, by a clock that may be set right
    assert find(folder.parent) is None


def test_a_process_that_can_not_be_started_is_told(
    launched: tuple[Launcher, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, folder = launched
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    with pytest.raises(UserError, match="can't be started"):
        made.start(["end"], folder, "")


def test_devices_are_those_that_the_studio_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for allowed, expected in (("", ("",)), ("2", ("2",)), ("0, 3", ("0", "3"))):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
        assert launcher.devices() == expected


class Smi:
    """An nvidia-smi that answers so, one after the other, and a clock; `asked` is how often it was."""

    def __init__(self) -> None:
        self.now, self.asked = 0.0, 0
        self.answers: Iterator[object] = iter(())

    def ask(self, *_: object) -> object:
        self.asked += 1
        if isinstance(answer := next(self.answers), Exception):
            raise answer
        return answer


@pytest.fixture
def smi(monkeypatch: pytest.MonkeyPatch) -> Iterator[Smi]:
    made = Smi()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(launcher.gpus, "ask", made.ask)
    monkeypatch.setattr(launcher, "monotonic", lambda: made.now)
    for cleared in ("before", "after"):
        launcher.present.cache_clear()
        launcher._within.cache_clear()
        if cleared == "before":
            yield made


def test_a_gpu_that_did_not_answer_once_is_asked_for_again(smi: Smi) -> None:
    smi.answers = iter([subprocess.TimeoutExpired("nvidia-smi", 10), [["0"], ["1"]]])
    found = []
    for smi.now in (0.0, 30.0, 60.0):
        found.append(launcher.devices())
    assert found == [("",), ("0", "1"), ("0", "1")]


def test_while_nobody_knows_whether_there_is_a_gpu_there_is_nothing_to_start_on(smi: Smi) -> None:
    smi.answers = iter([subprocess.TimeoutExpired("nvidia-smi", 10), [["0"]]])
    assert (launcher.certain(), launcher.certain(), smi.asked) == ((), (), 1)  # not waited for each time
    smi.now = 30.0
    assert launcher.certain() == ("0",)


@pytest.mark.parametrize(
    "failure", [FileNotFoundError(), PermissionError(), subprocess.CalledProcessError(9, "nvidia-smi")]
)
def test_an_nvidia_smi_without_a_driver_is_asked_once(smi: Smi, failure: Exception) -> None:
    smi.answers = iter([failure])
    for smi.now in (0.0, 30.0, 60.0):
        assert launcher.certain() == launcher.devices() == ("",)


def test_the_end_of_a_long_log_begins_with_a_line(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_text("".join(f"line {i}\n" for i in range(1000)))
    tail = log_tail(tmp_path, 100)
    assert tail.startswith("line ")
    assert tail.endswith("line 999\n")
    assert len(tail) <= 100
    assert log_tail(tmp_path / "none") == ""
