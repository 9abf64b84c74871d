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

# A session is made, and then brought up to date, with more and more room.
OPENING = """
import os, shutil, sys
from pathlib import Path
from pipeline.errors import UserError
from studio.store import sessions
from studio.store.database import Store
from studio.store.migrate import Migration
place = Path(sys.argv[1])
first = [Migration(1, "first", "CREATE TABLE notes (text VARCHAR)")]
rows = "SELECT range, repeat(md5(range::VARCHAR), 9) FROM range(9000)"
more = Migration(2, "more", f"CREATE TABLE more AS {rows}")
Store.open(place / "old", first).close()
def with_room(size, do):
    disk = os.statvfs(place)
    balloon = place / "balloon"
    balloon.write_bytes(bytes(max(disk.f_bavail * disk.f_frsize - size, 0)))
    try:
        do()
        print("made")
    except UserError as error:
        print(type(error).__name__, " ".join(str(error).split()))
    finally:
        balloon.unlink()
for size in range(0, 2_000_000, 250_000):
    with_room(size, lambda: sessions.create_session(place, f"s{size}"))
    if not (place / f"s{size}" / "session.duckdb").exists():
        sessions.create_session(place, f"s{size}")
    shutil.rmtree(place / f"s{size}")
for size in range(0, 6_000_000, 750_000):
    shutil.copytree(place / "old", place / f"u{size}")
    with_room(size, lambda: Store.open(place / f"u{size}", [*first, more]).close())
    assert not list(place.glob("u*/backups/*.part"))
    Store.open(place / f"u{size}", [*first, more]).close()
    shutil.rmtree(place / f"u{size}")
"""


def test_a_full_disk_while_a_session_is_opened_breaks_nothing(on_a_small_disk: Callable[[str], str]) -> None:
    said = on_a_small_disk(OPENING).splitlines()
    assert "made" in said
    assert len(set(said)) > 2
    assert not [line for line in said if line.startswith("SessionBroken")]


def test_a_full_disk_is_told_and_with_room_the_session_goes_on(on_a_small_disk: Callable[[str], str]) -> None:
    *said, kept = on_a_small_disk(FILLING).splitlines()
    assert int(kept.split()[0]) > 10
    for line in said:
        assert line.startswith("The session can't be written now, and what was not said to be kept is not: ")
        assert "free some room" in line
        assert "No space left on device" in line
