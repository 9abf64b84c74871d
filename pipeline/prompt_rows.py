"""The rows of a file of prompts or of comparisons: text, JSONL, a JSON array, CSV, TSV, Parquet.

Rows come one at a time (only a JSON array is read whole), and a row that can't be read is told with its
line while the next ones still come. Whoever asks keeps them, so that there is a bound to how many come.
"""

from __future__ import annotations

import codecs
import csv
import importlib
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from pipeline import bounded
from pipeline.errors import InputError, UserError
from pipeline.prompt_forms import COLUMNS, MAX_ROW, TEXT_COLUMNS
from pipeline.row_problems import reason
from pipeline.terminal import shown_in_line

MAX_ARRAY = 256_000_000
"""The largest JSON array in bytes: unlike JSONL, it has to be in memory whole."""

_NOT_TEXT = {
    codecs.BOM_UTF16_LE: "it looks like UTF-16: save it as UTF-8",
    codecs.BOM_UTF16_BE: "it looks like UTF-16: save it as UTF-8",
    b"PK\x03\x04": "it looks like a spreadsheet or an archive: save the sheet as CSV, or unpack it",
}
_GAP = re.compile(r"[\s,]*")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of bytes that are not UTF-8


class Columns(NamedTuple):
    """Which columns of a table or of Parquet are read; a file with none of `signs` is refused.

    A table's cells are texts, so that it has fewer that say something.
    """

    noun: str  # what a row is, in the plural
    texts: frozenset[str]
    fields: frozenset[str]
    signs: frozenset[str] | None = None  # None: any of those read


PROMPTS = Columns("prompts", TEXT_COLUMNS, COLUMNS)


class Row(NamedTuple):
    """One row: its value (text, or what JSON holds), or the problem that kept it from being read."""

    line: int
    at: float  # how much of the file is read, 0 to 1
    value: object = None
    problem: str = ""


Form = Callable[[Any, Path, Callable[[], float]], Iterator[Row]]
"""Reads an open file; is told its path, for messages, and how much of it is read by now."""


def rows(path: Path, columns: Columns = PROMPTS) -> Iterator[Row]:
    """The rows of a file. Raises InputError where the file as a whole can't be read, or has too many."""
    return bounded.counted(_rows(path, columns), path)


def placed(some: Iterable[Row]) -> Iterator[tuple[str, Row]]:
    """Rows each with a place of its own: its line and, where several share it, a count, as in `1#2`."""
    line = many = 0
    for row in some:
        many = many + 1 if row.line == line else 1
        line = row.line
        yield (f"{line}" if many == 1 else f"{line}#{many}"), row


def _rows(path: Path, columns: Columns) -> Iterator[Row]:
    name = path.name.lower().removesuffix(".gz")
    packed = name != path.name.lower()
    try:
        with _opened(path) as raw:
            if name.endswith(".parquet"):
                yield from _parquet(raw, path, columns)
                return
            size = max(1, os.fstat(raw.fileno()).st_size)
            with bounded.unpacked(raw, path, packed) as file:
                form = _form(name, file.peek(1024), path, columns)
                yield from form(file, path, lambda: min(1.0, raw.tell() / size))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError([f"{path}: can't be read: {error}"]) from error


def _opened(path: Path) -> io.BufferedReader:
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError([f"{path}: is not a file"])
    if "\0" in str(path):
        raise InputError([f"{path}: a name that no file can have"])
    return path.open("rb")


def _form(name: str, head: bytes, path: Path, columns: Columns) -> Form:
    for start, hint in _NOT_TEXT.items():
        if head.startswith(start):
            raise InputError([f"{path}: no {columns.noun} in this file: {hint}"])
    if name.endswith(".txt"):
        return _text
    if name.endswith((".csv", ".tsv")):
        return partial(_table, wanted=columns)
    head = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if re.match(rb"\{\s*\n", head):
        what = "it is one JSON object over many lines; expected a list of rows, or one object a line"
        raise InputError([f"{path}:1: no {columns.noun} in this file: {what}"])
    # hh-rlhf's red-team attempts are an array in a file that is called .jsonl.gz.
    return _array if head.startswith(b"[") else _json_lines


def lines(file: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Each line that is not blank, with its number; None for one that is too long to hold."""
    number = 0
    while line := file.readline(MAX_ROW + 1):
        number += 1
        if len(rest := line) > MAX_ROW and not line.endswith(b"\n"):
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(MAX_ROW + 1)
            yield number, None
            continue
        if line := (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).strip():
            yield number, line


def _text(file: IO[bytes], path: Path, done: Callable[[], float]) -> Iterator[Row]:
    return _each(file, done, str)


def _json_lines(file: IO[bytes], path: Path, done: Callable[[], float]) -> Iterator[Row]:
    return _each(file, done, json.loads)


def _each(file: IO[bytes], done: Callable[[], float], understand: Callable[[str], object]) -> Iterator[Row]:
    for number, line in lines(file):
        if line is None:
            yield Row(number, done(), problem="longer than 1 MB")
            continue
        try:
            yield Row(number, done(), understand(line.decode("utf-8")))
        except (ValueError, RecursionError) as error:
            yield Row(number, done(), problem=reason(error))


def _array(file: IO[bytes], path: Path, done: Callable[[], float]) -> Iterator[Row]:
    raw = file.read(MAX_ARRAY + 1)
    if len(raw) > MAX_ARRAY:
        raise InputError(
            [f"{path}: a JSON array of more than {MAX_ARRAY // 1_000_000} MB: save it as JSONL, a row a line"]
        )
    text = raw.decode("utf-8-sig", "surrogateescape")
    del raw
    decoder, end, line = json.JSONDecoder(), text.index("[") + 1, 1
    seen = 0
    while True:
        start = _GAP.match(text, end).end()  # type: ignore[union-attr]  # matches nothing, too
        line, seen = line + text.count("\n", seen, start), start
        if text[start : start + 1] in ("]", ""):
            rest = text[start + 1 :].strip()
            if rest or start == len(text):
                what = "there is text after the end of the array" if rest else "the array has no end"
                yield Row(line, 1.0, problem=what)
            return
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            line = getattr(error, "lineno", line)
            yield Row(line, 1.0, problem=f"{reason(error)}; the rest of the array can't be read")
            return
        yield _element(Row(line, end / len(text), value), end - start, _NOT_UTF8.search(text, start, end))


def _element(row: Row, length: int, broken: object) -> Row:
    if length > MAX_ROW:
        return Row(row.line, row.at, problem="longer than 1 MB")
    return Row(row.line, row.at, problem="not UTF-8 text") if broken else row


def _table(file: IO[bytes], path: Path, done: Callable[[], float], wanted: Columns) -> Iterator[Row]:
    """CSV or TSV: the first row names the columns. A text that looks like a formula is a text."""
    csv.field_size_limit(MAX_ROW)  # for the whole process, which reads no other CSV
    # Kept in a name: it closes the file when it goes, and csv lets go of it before we are done.
    text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
    lines = _TableLines(text)
    head = next((line for line in iter(lines.read, "") if line.strip()), "")
    delimiter, columns = _header(head[:MAX_ROW], path, wanted)
    lines.quotes = quotes = _Quotes(delimiter)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line, quotes.open = lines.number + 1, False
        try:
            cells = next(reader)
            if not cells:
                continue
            yield Row(line, done(), _named(cells, columns, wanted.texts))
        except StopIteration:
            return
        except (ValueError, csv.Error) as error:
            # csv stops in the midst of what is too large: the lines up to its closing quote are no rows.
            while "field limit" in str(error) and quotes.open and lines.read():
                pass
            many = lines.number - line + 1
            over = f" {many:,} lines are passed over" if "field limit" in str(error) and many > 1 else ""
            yield Row(line, done(), problem=reason(error) + over)


class _TableLines:
    """The lines of a table; one that is too long is csv's error, and was never held.

    `number` of them were read, and `quotes` has followed those since it was set.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.number = 0
        self.quotes: _Quotes | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.read()
        if not line:
            raise StopIteration
        if _cut(line):
            raise csv.Error("larger than field limit")
        return line

    def read(self) -> str:
        """The next line, and of one that is too long the start; empty at the end."""
        line = rest = self._text.readline(MAX_ROW + 1)
        self.number += bool(line)
        while rest:
            if self.quotes:
                self.quotes.follow(rest)
            rest = self._text.readline(MAX_ROW + 1) if _cut(rest) else ""
        return line


class _Quotes:
    """Whether a quoted field is open: as csv has it, a quote within a field that began without is text."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._opens = True  # whether a quote at the next piece's start does
        self.open = False

    def follow(self, piece: str) -> None:
        """Go on with a line, or with a piece of a long one."""
        at, opens = 0, 0 if self._opens else -1
        while at := piece.find('"', at) + 1:
            if self.open:
                # A quote right behind the closing one opens again: the two are one in the text.
                self.open, opens = False, at
            else:
                self.open = at - 1 == opens or piece.endswith(self._delimiter, 0, at - 1)
        self._opens = opens == len(piece) or piece.endswith((self._delimiter, "\n", "\r"))


def _cut(line: str) -> bool:
    return len(line) > MAX_ROW and not line.endswith(("\n", "\r"))


def _header(line: str, path: Path, wanted: Columns) -> tuple[str, list[str]]:
    """The delimiter and the columns. Spreadsheets write `;` in much of Europe and call it CSV."""
    signs = wanted.signs or wanted.texts
    for delimiter in ",;\t":
        names = [name.strip().lower() for name in next(csv.reader([line], delimiter=delimiter), [])]
        if signs & set(names):
            return delimiter, names
    raise _no_column(path, shown_in_line(line.strip(), 200) or "nothing", wanted.noun, signs)


def _no_column(path: Path, there: str, noun: str, signs: Iterable[str]) -> InputError:
    expected = ", ".join(sorted(signs))
    return InputError([f"{path}:1: no {noun} in this file: no column is one of {expected}; it has {there}"])


def _named(cells: list[str], columns: list[str], texts: frozenset[str]) -> dict[str, str]:
    if len(cells) > len(columns):
        raise ValueError(
            f"{len(cells)} fields under {len(columns)} columns; a text that holds the delimiter needs quotes"
        )
    text = "".join(cells)
    if len(text) > MAX_ROW:
        raise ValueError("longer than 1 MB")
    if not text.isascii() and _NOT_UTF8.search(text):
        raise ValueError("not UTF-8 text")
    return {name: cell for name, cell in zip(columns, cells, strict=False) if name in texts}


def _parquet(raw: IO[bytes], path: Path, wanted: Columns) -> Iterator[Row]:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UserError(f"{path}: Parquet needs pyarrow: pip install pyarrow") from error
    try:
        file = parquet.ParquetFile(raw)
        names = [name for name in file.schema_arrow.names if name.lower() in wanted.fields]
        signs = wanted.signs or wanted.fields
        if signs.isdisjoint(name.lower() for name in names):
            raise _no_column(
                path, shown_in_line(", ".join(file.schema_arrow.names), 200) or "none", wanted.noun, signs
            )
        # Of all columns: to ask a damaged file for those of one ends the process, from within pyarrow.
        groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
        bounded.require(path, sum(group.total_byte_size for group in groups))
        number, total, size = 0, max(1, file.metadata.num_rows), 0
        for batch in file.iter_batches(batch_size=256, columns=names):
            size += batch.nbytes  # a text that many rows share stands in the file once
            bounded.require(path, size)
            for value in _values(batch):
                number += 1
                if isinstance(value, Exception):
                    what = f"a date or a time that is none: {shown_in_line(str(value))}"
                    yield Row(number, number / total, problem=what)
                    continue
                yield Row(number, number / total, {k.lower(): v for k, v in value.items() if v is not None})
    except (arrow.ArrowException, ValueError) as error:
        raise InputError([f"{path}: can't be read as Parquet: {error}"]) from error


def _values(batch: Any) -> Iterator[Any]:
    """The rows of a batch; in place of one whose date or time zone Python does not have, the error."""
    try:
        yield from batch.to_pylist()
    except (OverflowError, LookupError) as error:
        if batch.num_rows == 1:
            yield error
            return
        for at in range(batch.num_rows):
            yield from _values(batch.slice(at, 1))
