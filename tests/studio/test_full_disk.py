"""A disk that is full under a session: that is told, what was kept is there, and with room it goes on."""

from __future__ import annotations

from collections.abc import Callable

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


def test_a_full_disk_is_told_and_with_room_the_session_goes_on(on_a_small_disk: Callable[[str], str]) -> None:
    *said, kept = on_a_small_disk(FILLING).splitlines()
    assert int(kept.split()[0]) > 10
    for line in said:
        assert line.startswith("The session can't be written now, and what was not said to be kept is not: ")
        assert "free some room" in line
        assert "No space left on device" in line
