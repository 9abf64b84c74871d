"""Plain rows as a file: JSONL, CSV or Parquet by its name, whole or not at all."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.rundir import write_atomically

SUFFIXES = (".jsonl", ".csv", ".parquet")

# Blanks and what nobody sees are skipped: which of them a spreadsheet skips too differs between them.
_FORMULA = re.compile(r"[\s\x00-\x1f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*[=+\-@＝＋－＠]")


def require_free(path: Path, force: bool) -> None:
    """Raise UserError where a file can't be written here without loss; `force` lets one be replaced."""
    if not path.name:
        raise UserError(f"{str(path)!r}: names no file")
    if os.path.exists(path) and not (force and path.is_file()):
        raise UserError(f"{path}: is there already{'; --force replaces it' if path.is_file() else ''}")


def write(rows: Sequence[Mapping[str, Any]], path: Path) -> int:
    """Write rows of the same columns; returns how many cells of a CSV were made safe (see `as_csv`).

    Raises UserError where there are no rows, the name says no form, or the file can't be written.
    """
    if not rows:
        raise UserError(f"{path}: nothing to write")
    changed = 0
    content: str | bytes
    if path.suffix == ".jsonl":
        content = "".join(json.dumps(row) + "\n" for row in rows)
    elif path.suffix == ".csv":
        content, changed = as_csv(rows)
    elif path.suffix == ".parquet":
        content = as_parquet(rows)
    else:
        raise UserError(f"{path}: the file's name must end with one of {', '.join(SUFFIXES)}")
    put(content, path)
    return changed


def put(content: str | bytes, path: Path) -> None:
    """Write a file whole or not at all. Raises UserError."""
    try:
        write_atomically(path, content)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: can't be written: {reason}") from error


def as_csv(rows: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """CSV text, and how many of its cells were made safe.

    A spreadsheet runs a text that starts with = + - or @ (in their wide forms too, or after blanks) as a
    formula, which a model may have written: such a cell gets a leading apostrophe, by which spreadsheets
    mark a text. Numbers stay as they are. JSONL and Parquet hold each text as it is.
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file)  # whose line's end is \r\n: else it would leave a lone \r in a text unquoted
    changed = 0
    for values in (rows[0], *(row.values() for row in rows)):
        cells = ["" if value is None else value for value in values]
        risky = [isinstance(cell, str) and _FORMULA.match(cell) is not None for cell in cells]
        changed += sum(risky)
        writer.writerow([f"'{cell}" if risk else cell for cell, risk in zip(cells, risky, strict=True)])
    return file.getvalue(), changed


def as_parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The bytes of a Parquet file. Raises UserError where pyarrow is missing."""
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UserError("Parquet needs pyarrow: pip install pyarrow") from error
    sink = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist([dict(row) for row in rows]), sink)
    return sink.getvalue()
