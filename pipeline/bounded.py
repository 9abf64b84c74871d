"""A file from elsewhere, read up to a bound: a few packed megabytes may unpack to more than memory holds."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from pipeline.errors import InputError

MAX_BYTES = 512_000_000
"""The most that is read of a file, unpacked. Nearly all of it may have to be kept."""
MAX_ROWS = 1_000_000
"""The most rows: kept ones take a kilobyte each, however little they say."""

MAX_JSON = 64_000_000
"""The most bytes of a JSON file that describes a model or a run: some 30 times the largest that was seen."""

T = TypeVar("T")


@contextmanager
def unpacked(raw: IO[bytes], path: Path, packed: bool) -> Iterator[io.BufferedReader[Any]]:
    """What an open file holds. Raises InputError where that, or a read, goes beyond the bound."""
    if not packed:
        require(path, os.fstat(raw.fileno()).st_size)
    with (
        gzip.open(raw) if packed else raw as inner,
        io.BufferedReader(_Bounded(inner, path), 1 << 17) as file,
    ):
        yield file


def counted(rows: Iterable[T], path: Path) -> Iterator[T]:
    """The rows of a file. Raises InputError where there are more than the bound."""
    for count, row in enumerate(rows):
        if count == MAX_ROWS:
            raise InputError([f"{path}: more than {MAX_ROWS:,} rows: split the file"])
        yield row


def require(path: Path, size: int) -> None:
    """Raise InputError where so many bytes, unpacked, are beyond the bound."""
    if size > MAX_BYTES:
        raise InputError([f"{path}: more than {MAX_BYTES // 1_000_000} MB of rows: split the file"])


def number(text: str, most: int) -> int | None:
    """The number that digits say; None for anything else, and for more than `most`.

    `int` alone raises ValueError for some thousands of digits, and takes long for a few less.
    """
    said = int(text) if text.isdecimal() and len(text) <= 20 else most + 1
    return said if said <= most else None


def json_of(path: Path, most: int = MAX_JSON) -> Any:
    """What a JSON file says. Raises OSError; ValueError where it is none, too deep or beyond `most` bytes."""
    if path.stat().st_size > most:
        raise ValueError(f"{path}: more than {most // 1_000_000} MB, which such a file never has")
    try:
        return json.loads(path.read_text("utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path}: nested too deeply") from error


class _Bounded(io.RawIOBase):
    """Counts what is read."""

    def __init__(self, inner: Any, path: Path) -> None:
        self._inner, self._path, self._read = inner, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self._inner.readinto(buffer)
        self._read += count
        require(self._path, self._read)
        return count
