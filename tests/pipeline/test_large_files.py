"""A gigabyte where a file is read: refused in words, or read row by row, and never taken into memory whole.

Each reader works in a process of its own, whose memory is limited and measured. Packed files are the ones to
fear: 1 MB of an upload may be 1 GB of rows.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline import bounded, prompts
from pipeline.errors import InputError
from tests.pipeline.test_bad_input import JUDGMENTS, MATCHUPS, PAIRS, PROMPTS, QUESTIONS

GIGABYTE = 1_000_000_000
MOST = 2_000  # MB that a reader may hold, Python and its libraries with it
READING = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))  # what fails shall not take the machine with it
from pipeline import comparisons, constitution, evals, foreign, matchups, prompts, recipe
from pipeline.errors import UserError
from studio.jobs.training import count_rows
of = {
    "prompts": prompts.read, "pairs": comparisons.read, "judgments": comparisons.read_judgments,
    "matchups": matchups.read, "questions": evals.read, "constitution": constitution.load,
    "paper": lambda path: foreign.import_files([path]), "recipe": lambda path: recipe.load(str(path)),
    "count": count_rows,
}
try:
    of[sys.argv[1]](Path(sys.argv[2]))
except UserError as error:
    print(error)
except MemoryError:
    print("no memory")
# Not by getrusage, which counts what the process that began this one had held.
[peak] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak.split()[1]) // 1024)
"""
ROWS = {
    "prompts": PROMPTS,
    "pairs": PAIRS,
    "judgments": JUDGMENTS,
    "matchups": MATCHUPS,
    "questions": QUESTIONS,
}


class Read(NamedTuple):
    said: str
    megabytes: int


def read(kind: str, path: Path) -> Read:
    """What a reader says of a file, and how much memory it has taken at most."""
    words = [sys.executable, "-c", READING, kind, path]
    *said, peak = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return Read("\n".join(said), int(peak))


@pytest.mark.parametrize("kind", [*ROWS, "constitution", "paper", "recipe"])
def test_a_gigabyte_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "large.jsonl"
    with path.open("wb") as file:
        file.truncate(GIGABYTE)  # of zeros, which take no place on the disk
    found = read(kind, path)
    assert f"{path}" in found.said
    assert "MB" in found.said
    assert found.megabytes < 400


def pack(path: Path, block: Callable[[int], bytes], size: int = GIGABYTE) -> Path:
    """A gzipped file of so many bytes, block by block."""
    with gzip.open(path, "wb", 1) as file:
        n = written = 0
        while written < size:
            written += file.write(block(n))
            n += 1
    return path


def blocks(kind: str, of: str) -> tuple[str, Callable[[int], bytes]]:
    """A name for a file of this kind, and what makes its blocks."""
    good = [row for row in ROWS[kind] if isinstance(row, dict)][-1]
    unlike = {"id", "pair_id", "prompt", "response_a"} & set(good)
    rest = {"more": "x" * 500} if "prompt" in good else {}  # our own rows have no other fields

    def rows(n: int) -> bytes:
        some = ({name: f"{good[name]} {n}.{i}" for name in unlike} for i in range(1000))
        return b"".join(json.dumps({**good, **one, **rest}).encode() + b"\n" for one in some)

    match of:
        case "good rows":
            return "many.jsonl.gz", rows
        case "bad rows":
            return "bad.jsonl.gz", lambda n: b"x\n" * 50_000
        case "short texts":
            return "short.txt.gz", lambda n: b"".join(b"%d.%d\n" % (n, i) for i in range(10_000))
        case "one line":
            return "line.jsonl.gz", lambda n: b"x" * 100_000
    return "array.json.gz", lambda n: (b"0," if n else b"[") * 50_000


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("of", ["good rows", "bad rows", "short texts", "one line", "an array"])
def test_a_gigabyte_that_is_packed_is_never_swallowed(tmp_path: Path, kind: str, of: str) -> None:
    name, block = blocks(kind, of)
    found = read(kind, pack(tmp_path / name, block))
    print(f"{kind}, {of}: {found.megabytes} MB; {found.said[:200]}")  # noqa: T201
    assert tmp_path.name in found.said
    assert found.megabytes < MOST


@pytest.mark.timeout(120)
def test_a_line_without_end_is_counted_in_little_memory(tmp_path: Path) -> None:
    path = pack(tmp_path / "line.jsonl.gz", lambda n: b"x" * 100_000, GIGABYTE // 2)
    assert read("count", path).megabytes < 400


def test_too_many_short_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MAX_ROWS", 10)
    path = tmp_path / "many.txt"
    path.write_text("".join(f"Question {n}?\n" for n in range(11)))
    with pytest.raises(InputError, match=r"many\.txt: more than 10 rows: split the file"):
        prompts.read(path)
