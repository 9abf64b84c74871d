"""Fetching a model in a process of its own: told how far, stopped with all it started."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import models
from pipeline.engines import EngineError, StoppedError, fetching
from pipeline.engines.fetching import Fetch, bring
from pipeline.engines.remote import RemoteEngine, Worker

FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid, flush=True)
time.sleep(60)
"""
STUBBORN = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + FAMILY
SAYS_WHY = "import sys; print('noise\\ncai: org/m: no such model\\nmore', file=sys.stderr); sys.exit(2)"


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """org/m is a hub model that is not here, of which 3 MB were fetched."""

    def resolve(name: str, download: bool = True) -> Any:
        assert not download
        raise models.NotHereError("not here", "org/m")

    monkeypatch.setattr(models, "resolve", resolve)
    monkeypatch.setattr(models, "downloaded", lambda repository: 3_000_000)


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> list[list[str]]:
    """Let code run where `cai models get` would; what was to be run."""
    asked: list[list[str]] = []
    start = subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        asked.append(command)
        return start([sys.executable, "-c", code], **options)

    monkeypatch.setattr(fetching.subprocess, "Popen", popen)
    return asked


def child_of(log: Path) -> int:
    """The process that FAMILY started."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if log.exists() and log.read_text().startswith("child ") and log.read_text().endswith("\n"):
            return int(log.read_text().split()[1])
        time.sleep(0.02)
    raise AssertionError("it did not begin")


def gone(pid: int) -> bool:
    """Whether the process ends within a few seconds; its remains may wait for whoever adopted it."""
    until = time.monotonic() + 5
    while psutil.pid_exists(pid) and time.monotonic() < until:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return not psutil.pid_exists(pid)


def test_what_is_missing_is_fetched_by_the_command_line(
    missing: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked, said = stand_in(monkeypatch, "import time; time.sleep(0.5)"), []
    bring("org/m", tmp_path / "log", doing=said.append)
    assert asked == [[sys.executable, "-P", "-m", "pipeline", "models", "get", "org/m"]]
    assert said[:2] == ["downloading org/m", "downloading org/m: 3 MB so far"]


def test_what_is_here_is_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = stand_in(monkeypatch, "")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    for name in (str(tmp_path), "/nowhere", "https://x.example", ""):
        bring(name, tmp_path / "log")
    assert asked == []


def test_why_it_failed_is_what_the_command_line_said(
    missing: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, SAYS_WHY)
    (tmp_path / "log").write_text("cai: of another day\n")
    with pytest.raises(EngineError, match=r"^org/m: no such model$"):
        bring("org/m", tmp_path / "log")


@pytest.mark.parametrize("code", [FAMILY, STUBBORN])
def test_stopped_it_ends_with_all_it_started(
    missing: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    monkeypatch.setattr(fetching, "LEAVE", 0.3)
    stand_in(monkeypatch, code)
    fetch = Fetch("org/m", tmp_path / "log")
    child = child_of(tmp_path / "log")
    fetch.stop()
    assert not fetch.runs
    assert gone(child)


def test_a_model_that_is_no_longer_wanted_starts_no_model_process(
    missing: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, FAMILY)
    worker, stopped, ends = Worker(tmp_path / "log"), threading.Event(), []

    def load() -> None:
        try:
            RemoteEngine(worker, "org/m", stopped.is_set)
        except StoppedError as error:
            ends.append(str(error))

    thread = threading.Thread(target=load)
    thread.start()
    child = child_of(tmp_path / "log")
    stopped.set()
    thread.join(10)
    assert ends == ["stopped while downloading org/m"]
    assert gone(child)
    assert worker.pid is None
