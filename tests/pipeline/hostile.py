"""What people and programs put into files by mistake or on purpose, for Hypothesis.

A valid document is damaged in its values (a wrong type, a huge number, a field too many), then written
and damaged in its bytes: so it gets past the first check that random bytes fail at.
"""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
from collections.abc import Sequence
from typing import Any

import yaml
from hypothesis import strategies as st

TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff end",
    "\ufeff",
    "\u202egnp.exe",
    "\u200b\u200d\u2060",
    "é\u0301\U0001f3f3\ufe0f\u200d\U0001f308",
    "\u2028\u2029\x85",
    "\r",
    "a\r\nb",
    "\x1b[2J\x07",
    "=HYPERLINK(1)",
    "NaN",
    "1e999",
    "null",
    "$name",
    "$",
    "--run",
    "../../etc/passwd",
    "x" * 5_000,
    "\n\nHuman: hi\n\nAssistant: yes",
    "Human:",
    "[1, 2",
    "[" * 3_000,
    '[{"role": "user", "content": 1}]',
    "(A)",
    "<|im_start|>system",
]
NUMBERS = [0, -1, 2**63, -(2**70), 10**400, 10**4_200, 0.5, -0.0, float("nan"), float("inf"), -float("inf")]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"": ""}, {"role": 1}, [{}], [1, "a"]]


def _deep(levels: int) -> Any:
    value: Any = "deep"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


values = st.one_of(
    st.sampled_from(TEXTS),
    st.text(max_size=12),
    st.sampled_from(NUMBERS),
    st.sampled_from(OTHERS),
    st.sampled_from([30, 200]).map(_deep),
).map(copy.deepcopy)
NAMES = ["", "id", "prompt", "messages", "role", "content", "system", "turns", "stage", "chosen", "winner"]
names = st.sampled_from(NAMES) | st.sampled_from(TEXTS[:12])

BYTES = [
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\t",
    b'"',
    b"'",
    b"\\",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b";",
    b": ",
    b"&a [*a]",
    b"<<: *a",
    b"!!python/object/apply:os.system [true]",
    b"!!int x",
    b"!!binary x",
    b"!!timestamp x",
    b"2022-99-99",
    b"? [a]\n: b\n",
    b"---\n",
    b"...\n",
    b"%YAML 9.9\n",
    b"\x1f\x8b",
    b"PK\x03\x04",
    b"PAR1",
    b"1" * 5_000,
    b"[" * 2_000,
    b'{"a":' * 2_000,
]


@st.composite
def damaged(draw: st.DrawFn, document: Any, most: int = 3) -> Any:
    """A copy of plain data with up to `most` values replaced, left out, doubled or added."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(0, most))):
        places = list(_places(document))
        if not places:
            return draw(values)
        owner, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["replace", "replace", "drop", "double", "add"])):
            case "replace":
                owner[key] = draw(values)
            case "drop":
                del owner[key]
            case "double" if isinstance(owner, list):
                owner.insert(key, copy.deepcopy(owner[key]))
            case _ if isinstance(owner, dict):
                owner[draw(names)] = draw(values)
    return document


def _places(document: Any) -> Any:
    """Each owner with each of its keys, of the lists and mappings that are not damage themselves."""
    todo, seen = [document] if isinstance(document, dict | list) else [], 0
    while todo and seen < 400:
        owner = todo.pop()
        pairs = owner.items() if isinstance(owner, dict) else enumerate(owner)
        for key, value in pairs:
            seen += 1
            yield owner, key
            if isinstance(value, dict | list):
                todo.append(value)


@st.composite
def broken(draw: st.DrawFn, content: bytes, most: int = 2) -> bytes:
    """The bytes with up to `most` places cut, filled or turned around."""
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(content)))
        match draw(st.sampled_from(["insert", "insert", "cut", "end", "ends"])):
            case "insert":
                content = content[:at] + draw(st.sampled_from(BYTES)) + content[at:]
            case "cut":
                content = content[:at] + content[at + draw(st.integers(1, 40)) :]
            case "end":
                content = content[:at]
            case _:
                content = content.replace(b"\n", draw(st.sampled_from([b"\r\n", b"\r", b"\n\n"])))
    return content


@st.composite
def row_files(draw: st.DrawFn, rows: Sequence[Any]) -> tuple[str, bytes]:
    """A file of rows: how its name ends, and its bytes."""
    some = draw(st.lists(st.sampled_from(list(rows)).flatmap(damaged), max_size=3))
    kind = draw(st.sampled_from([".jsonl", ".jsonl", ".json", ".csv", ".tsv", ".txt", ".parquet"]))
    if kind in (".csv", ".tsv"):
        content = _table(some, "," if kind == ".csv" else "\t")
    elif kind == ".json":
        content = json.dumps(some, indent=draw(st.sampled_from([None, 1]))).encode()
    else:
        content = "".join(json.dumps(row) + "\n" for row in some).encode()
    content = draw(broken(content))
    if kind != ".parquet" and draw(st.integers(0, 4)) == 0:
        return kind + ".gz", draw(broken(gzip.compress(content, 1), most=1))
    return kind, content


def _table(rows: Sequence[Any], delimiter: str) -> bytes:
    rows = [row for row in rows if isinstance(row, dict)]
    columns = list(dict.fromkeys(str(key) for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(columns)
    for row in rows:
        cells = {str(key): value for key, value in row.items()}
        writer.writerow([_cell(cells.get(column, "")) for column in columns])
    return text.getvalue().encode("utf-8", "surrogatepass")


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@st.composite
def yaml_files(draw: st.DrawFn, documents: Sequence[Any]) -> bytes:
    """A YAML file, most of them near to valid."""
    document = draw(st.sampled_from(list(documents)).flatmap(damaged))
    try:
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=draw(st.booleans()))
    except (ValueError, yaml.YAMLError, RecursionError):
        text = ascii(document)
    return draw(broken(text.encode("utf-8", "surrogatepass")))
