"""A lock file whose process is gone keeps nobody out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from studio.store.database import Store
from studio.store.lock import Holder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "alpha"


def ended() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", ""])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": -5, "started": 0}'])
def test_a_broken_lock_file_blocks_nobody(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "studio.lock").write_text(text)
    Store.open(folder).close()
    assert not (folder / "studio.lock").exists()


def test_the_lock_of_a_dead_process_or_of_a_recycled_pid_blocks_nobody(folder: Path) -> None:
    folder.mkdir()
    dead = ended()
    dead.communicate()
    for pid, started in [(dead.pid, time.time()), (os.getppid(), 12345.0)]:
        (folder / "studio.lock").write_text(json.dumps({"pid": pid, "started": started}))
        Store.open(folder).close()


def test_the_lock_of_a_zombie_blocks_nobody(folder: Path) -> None:
    folder.mkdir()
    zombie = ended()
    process = psutil.Process(zombie.pid)
    (folder / "studio.lock").write_text(json.dumps({"pid": zombie.pid, "started": process.create_time()}))
    while process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    Store.open(folder).close()
    zombie.communicate()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="starts are read from a clock here")
def test_a_clock_that_is_set_right_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    me, born = Holder.me(), psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: born + 100)
    assert me.alive()
    assert not Holder(me.pid, me.started + 1).alive()


def test_a_holder_that_an_earlier_studio_wrote_down_is_known() -> None:
    assert Holder(os.getpid(), psutil.Process().create_time()).alive()
