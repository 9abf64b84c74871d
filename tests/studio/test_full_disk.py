"""A disk that is full under a session: that is told, what was kept is there, and with room it goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILLING = """
import os, sys
from pathlib import Path
from pipeline.errors import UserError
from studio.store import settings
from studio.store.database import Store
place = Path(sys.argv[1])
balloon = place / "balloon"
balloon.write_bytes(bytes(6_000_000))
store = Store.open(place / "s")
kept = 0
try:
    while True:
        settings.put(store, f"k{kept}", os.urandom(100_000).hex())
        kept += 1
except UserError as error:
    print(error)
try:
    settings.put(store, "more", "x" * 8_000_000)
except UserError as error:
    print(error)
balloon.unlink()
settings.put(store, "after", "yes")
assert all(settings.get(store, f"k{n}") for n in range(kept)), "what was kept is lost"
store.close()
store = Store.open(place / "s")
assert all(settings.get(store, f"k{n}") for n in range(kept)), "what was kept is lost"
assert settings.get(store, "after") == "yes"
print(kept, "kept")
"""


def test_a_full_disk_is_told_and_with_room_the_session_goes_on(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-rm", "true"], check=False).returncode:
        pytest.skip("a small disk can't be mounted here")
    mount = 'mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@"'
    words = [unshare, "-rm", "sh", "-c", mount, tmp_path, sys.executable, "-c", FILLING, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-2_000:]
    *said, kept = done.stdout.splitlines()
    assert int(kept.split()[0]) > 10
    for line in said:
        assert line.startswith("The session can't be written now, and what was not said to be kept is not: ")
        assert "free some room" in line
        assert "No space left on device" in line
