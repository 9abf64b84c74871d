"""A session of more than a gigabyte goes out and comes in, a piece at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.pairs import make_pair
from pipeline.records import Message, Source
from studio.store import pairs, unpacking
from studio.store.database import Store

PAIRS = 200
MOST = 1_500  # MB at most
WORK = """
import sys
from pathlib import Path
from studio.store import archive
from studio.store.database import Store
from studio.store.unpacking import import_session
what, session, file = sys.argv[1], *map(Path, sys.argv[2:])
if what == "export":
    archive.export_session(Store.open(session), file)
else:
    import_session(file, session.parent / "home", "again")
# Not by getrusage, which counts what the process that began this one had held.
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) // 1024)
"""


def megabytes(*words: object) -> int:
    command = [sys.executable, "-c", WORK, *map(str, words)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_long_texts_and_large_files_come_and_go_by_the_piece(tmp_path: Path) -> None:
    session, file = tmp_path / "session", tmp_path / "large.cai.zip"
    store = Store.open(session)
    asked, said = (Message("user", "Why?"),), Source("m")
    long = [make_pair(f"q{n}", asked, "a" * 900_000, f"{n}", said, said, "red_team") for n in range(PAIRS)]
    with store.tx() as tx:
        pairs.add(tx, long, None)
    store.close()
    output = session / "runs" / "r" / "outputs" / "large.jsonl"
    output.parent.mkdir(parents=True)
    with output.open("wb") as large:
        large.truncate(1_000_000_000)
    took = {what: megabytes(what, session, file) for what in ("export", "import")}
    print(f"MB at most: {took}")  # noqa: T201
    assert max(took.values()) < MOST
    store = Store.open(tmp_path / "home" / "again")
    assert pairs.count(store, pairs.PairFilter()) == PAIRS
    store.close()


def test_rows_of_an_archive_are_taken_in_batches_of_few_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "LINE", 100)
    file = tmp_path / "t.jsonl"
    file.write_text('{"a": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}\n' * 10)
    assert [len(batch) for _, batch in unpacking._batches(file, "t", ["a"])] == [3, 3, 3, 1]
