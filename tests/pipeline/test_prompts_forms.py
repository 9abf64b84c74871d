"""Each form of the ecosystem by a small example, in each kind of file, and anything else refused."""

from __future__ import annotations

import contextlib
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import prompt_rows, prompts
from pipeline.errors import InputError, UserError

HH = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: bye\n\nAssistant: see you"
ASKED = {"from": "human", "value": "why?"}
SAID = {"from": "gpt", "value": "so"}


def read(folder: Path, name: str, content: str | bytes) -> prompts.PromptFile:
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return prompts.read(folder / name)


def texts(found: prompts.PromptFile) -> list[str]:
    return [prompt.messages[-1].content for prompt in found.prompts]


def complaints(found: prompts.PromptFile) -> list[str]:
    """The problems as `LINE: reason`."""
    return [problem.split(":", 1)[1] for problem in found.problems]


FORMS: list[tuple[dict[str, Any], list[str]]] = [
    ({"instruction": "Sum up.", "input": "A text.", "output": "T."}, ["Sum up.\n\nA text."]),
    ({"instruction": "Sum up.", "input": "", "output": "T."}, ["Sum up."]),
    ({"conversations": [ASKED, SAID]}, ["why?"]),
    ({"conversations": [ASKED, SAID, ASKED]}, ["why?", "so", "why?"]),
    ({"conversations": [{"from": "system", "value": "s"}, ASKED, SAID]}, ["s", "why?"]),
    ({"system": "s", "conversations": [ASKED], "chosen": SAID, "rejected": SAID}, ["s", "why?"]),
    ({"conversations": [{"role": "user", "content": "why?"}]}, ["why?"]),
    ({"conversation": [{"role": "User", "value": "why?"}]}, ["why?"]),
    ({"id": 7, "messages": [{"role": "user", "content": "a"}]}, ["a"]),
    ({"id": "7", "messages": [ASKED | {"role": "user"}, SAID]}, ["why?"]),
    ({"prompt": "why?", "chosen": [{"role": "assistant", "content": "so"}]}, ["why?"]),
    ({"chosen": [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "so"}]}, ["why?"]),
    ({"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "why?"}]}, ["s", "why?"]),
    ({"transcript": HH, "rating": 1.0}, ["hi", "hello", "bye"]),
    ({"turns": ["why?", "and?"], "category": "reasoning"}, ["why?"]),
    ({"question": "why?", "answer": "so"}, ["why?"]),
    ({"text": HH}, ["hi", "hello", "bye"]),
    ({"prompt": None, "text": "why?"}, ["why?"]),
    ({"conversations": [{"from": "human", "value": "half \ud800"}]}, ["half \ufffd"]),
]


@pytest.mark.parametrize(("row", "said"), FORMS)
@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.json", "p.json.gz"])
def test_each_form(tmp_path: Path, row: dict[str, Any], said: list[str], name: str) -> None:
    content = json.dumps([row], indent=1) if ".json." in f"{name}." else json.dumps(row)
    found = read(tmp_path, name, content)
    assert [m.content for m in found.prompts[0].messages] == said
    assert found.prompts[0].source == name


def test_an_array_of_texts(tmp_path: Path) -> None:
    assert texts(read(tmp_path, "p.json", '\ufeff\n["a",\n"b", "a"]\n')) == ["a", "b"]


def test_an_array_tells_lines_and_keeps_what_comes_before_its_end(tmp_path: Path) -> None:
    found = read(tmp_path, "p.json", '[{"prompt": "a"},\n 3,\n\n {"prompt": ""},\n{"prompt": "b"},\n{"pro')
    assert texts(found) == ["a", "b"]
    assert complaints(found) == [
        "2: not a JSON object",
        "4: an empty prompt",
        "6: not JSON: Unterminated string starting at at column 2; the rest of the array can't be read",
    ]
    assert complaints(read(tmp_path, "p.json", '["a"')) == ["1: the array has no end"]
    assert complaints(read(tmp_path, "p.json", '["a"]\n"b"')) == [
        "1: there is text after the end of the array"
    ]
    assert complaints(read(tmp_path, "p.json", b'["a",\n"\xff"]')) == ["2: not UTF-8 text"]


def test_an_array_that_memory_should_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_rows, "MAX_ARRAY", 1_000_000)
    with pytest.raises(InputError, match="more than 1 MB: save it as JSONL"):
        read(tmp_path, "p.json", json.dumps(["x" * 1_100_000]))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("p.csv", 'Prompt,n\n"one, two",1\n=1+1,2\n', ["one, two", "=1+1"]),
        ("p.csv", '\n n ; text \n1;"a ""b""\nc"\n', ['a "b"\nc']),
        ("p.csv", "question\r\na\r\n\r\nb", ["a", "b"]),
        ("p.csv", "question\ra\rb\r", ["a", "b"]),
        ("p.tsv", "instruction\tinput\nSum up.\tA text.\nWhy?\t\n", ["Sum up.\n\nA text.", "Why?"]),
        ("p.csv.gz", "\ufefftext\né\n", ["é"]),
        ("p.csv", f'chosen,rejected\n"{HH}","{HH}"\n', ["bye"]),
    ],
)
def test_tables(tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    found = read(tmp_path, name, content)
    assert (texts(found), found.problems) == (expected, ())


def test_a_bad_row_of_a_table_is_told_by_the_line_where_it_starts(tmp_path: Path) -> None:
    rows = [b"prompt", b'"a', b'b"', b"c,d", b"\xff", b'"x" y', b"good", b'""', b'"open', b"never"]
    found = read(tmp_path, "p.csv", b"\n".join(rows))
    assert texts(found) == ["a\nb", "good"]
    assert complaints(found) == [
        "4: 2 fields under 1 columns; a text that holds the delimiter needs quotes",
        "5: not UTF-8 text",
        "6: text after a closing quote; a quote inside a quoted text is written twice",
        "8: an empty prompt",
        "9: a quote is opened here and never closed",
    ]


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "", "\n\n", '"', "x" * 2_000_000])
def test_a_table_without_a_column_of_prompts(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"p.csv:1: no prompts in this file: no column is one of chosen, "):
        read(tmp_path, "p.csv", content)


def test_a_long_row_is_one_bad_row_and_is_never_held(tmp_path: Path) -> None:
    long = "x" * 3_000_000
    found = read(tmp_path, "p.jsonl", f'{{"prompt": "a"}}\n{{"prompt": "{long}"}}\n{{"prompt": "b"}}\n')
    assert (texts(found), complaints(found)) == (["a", "b"], ["2: longer than 1 MB"])
    found = read(tmp_path, "p.txt", f"a\n{long}\nb")
    assert (texts(found), complaints(found)) == (["a", "b"], ["2: longer than 1 MB"])
    found = read(tmp_path, "p.csv", f"prompt\na\n{long}\nb\n")
    assert (texts(found), complaints(found)) == (["a", "b"], ["3: longer than 1 MB; is a quote left open?"])
    found = read(tmp_path, "p.json", json.dumps(["a", long, "b"]))
    assert (texts(found), complaints(found)) == (["a", "b"], ["1: longer than 1 MB"])


@pytest.mark.parametrize("line", ["of text\n", "of text, and more " * 70_000, 'of ""quoted"" text\n'])
def test_the_lines_of_a_long_text_are_no_rows(tmp_path: Path, line: str) -> None:
    long = line * (1 + 1_200_000 // len(line))
    found = read(tmp_path, "p.csv", f'prompt\na\n"{long}"\nb\n,\n')
    assert texts(found) == ["a", "b"]
    many = 1 + long.count("\n")
    over = f" {many:,} lines are passed over" if many > 1 else ""
    assert complaints(found) == [
        f"3: longer than 1 MB; is a quote left open?{over}",
        f"{5 + long.count(chr(10))}: 2 fields under 1 columns; a text that holds the delimiter needs quotes",
    ]


def test_of_a_quote_that_stays_open_nothing_is_a_row(tmp_path: Path) -> None:
    found = read(tmp_path, "p.csv", 'prompt\na\n"open\n' + "of text\n" * 200_000)
    why = "3: longer than 1 MB; is a quote left open? 200,001 lines are passed over"
    assert (texts(found), complaints(found)) == (["a"], [why])


@pytest.mark.parametrize("row", ['1,a 5" disk {}\n', '"1",a "5 disk {}\n', '"""1",{}"\n'])
def test_a_quote_within_a_long_text_that_has_none_opens_nothing(tmp_path: Path, row: str) -> None:
    long = row.format("x" * 1_200_000)
    found = read(tmp_path, "p.csv", f"n,prompt\n1,a\n{long}2,b\n")
    assert (texts(found), complaints(found)) == (["a", "b"], ["3: longer than 1 MB; is a quote left open?"])


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("prompt\nwhy?\n".encode("utf-16"), "looks like UTF-16: save it as UTF-8"),
        (b"PK\x03\x04...", "a spreadsheet or an archive"),
        (b'{\n "prompt": "why?"\n}', "one JSON object over many lines"),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path: Path, content: bytes, hint: str) -> None:
    with pytest.raises(InputError, match=f"no prompts in this file: it .*{hint}"):
        read(tmp_path, "p.json", content)


def test_only_the_first_problems_are_told_one_by_one(tmp_path: Path) -> None:
    found = read(tmp_path, "p.jsonl", "bad\n" * 1234 + '{"prompt": "a"}\n' * 3)
    assert len(found.problems) == 1234
    assert len(found.report()) == 22
    assert found.report()[-2:] == [
        "bad rows besides these: 1,214",
        "repeats of earlier prompts, merged: 2",
    ]
    with pytest.raises(InputError, match="bad rows besides these: 1,214") as error:
        read(tmp_path, "p.jsonl", "bad\n" * 1234)
    assert len(error.value.problems) == 22


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.csv", "p.txt", "p.json"])
def test_fifty_thousand_rows_in_one_go(tmp_path: Path, name: str) -> None:
    every = [f"What is {i} times {i + 1}, and {'why ' * (i % 50)}so?" for i in range(50_000)]
    content = {
        "txt": "\n".join(every),
        "csv": "prompt\n" + "\n".join(f'"{text}"' for text in every),
        "json": json.dumps([{"conversations": [{"from": "human", "value": text}, SAID]} for text in every]),
        "jsonl": "".join(json.dumps({"prompt": text}) + "\n" for text in every),
    }[name.split(".")[1]]
    (tmp_path / name).write_bytes(gzip.compress(content.encode()) if ".gz" in name else content.encode())
    told: list[tuple[int, float]] = []
    began = time.monotonic()
    found = prompts.read(tmp_path / name, lambda rows, done: told.append((rows, done)))
    assert time.monotonic() - began < 5
    assert texts(found) == every
    assert told[-1] == (50_000, 1.0)
    assert len(told) == 51
    assert told == sorted(told)
    assert 0.2 < told[25][1] < 0.8


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(arrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize(("row", "said"), FORMS[:-1])
def test_each_form_in_parquet(tmp_path: Path, row: dict[str, Any], said: list[str]) -> None:
    [prompt] = prompts.read(parquet(tmp_path / "p.parquet", [row])).prompts
    assert [m.content for m in prompt.messages] == said


def test_parquet_by_rows(tmp_path: Path) -> None:
    rows = [{"Prompt": f"p{i}" if i % 100 else "", "n": i} for i in range(50_000)]
    path = parquet(tmp_path / "p.parquet", rows)
    began = time.monotonic()
    found = prompts.read(path)
    assert time.monotonic() - began < 5
    assert (len(found.prompts), found.problems[0]) == (49_500, f"{path}:1: an empty prompt")
    with pytest.raises(InputError, match=r"no column is one of chosen, .*; it has a, b"):
        prompts.read(parquet(path, [{"a": 1, "b": 2}]))


def test_our_own_rows_come_back_from_parquet(tmp_path: Path) -> None:
    ours = prompts.starter("red_team")
    rows = [json.loads(json.dumps(prompts.as_json(p))) for p in ours]
    assert prompts.read(parquet(tmp_path / "p.parquet", rows)).prompts == ours


@pytest.mark.parametrize(
    ("kind", "id", "said"),
    [
        (("timestamp", "s"), 10**15, "2: a date or a time that is none: Python int too large"),
        (("date32",), 2**31 - 1, "2: a date or a time that is none: days=2147483647"),
        (("duration", "s"), 2**63 - 1, "2: a date or a time that is none: Python int too large"),
    ],
)
def test_a_date_in_parquet_that_is_none(tmp_path: Path, kind: tuple[str, ...], id: int, said: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    ids = arrow.array([1, id, 3], getattr(arrow, kind[0])(*kind[1:]))
    table = arrow.table({"id": ids, "prompt": ["a", "b", "c"]})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "p.parquet")
    found = prompts.read(tmp_path / "p.parquet")
    assert texts(found) == ["a", "c"]
    assert complaints(found)[0].startswith(said)


def test_a_time_zone_in_parquet_that_is_none(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"id": arrow.array([1], arrow.timestamp("s", tz="Mars/Base")), "prompt": ["a"]})
    pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"p.parquet:1: a date or a time that is none: .*Mars/Base"):
        prompts.read(tmp_path / "p.parquet")


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"p.parquet: Parquet needs pyarrow: pip install pyarrow"):
        read(tmp_path, "p.parquet", b"PAR1")


def test_a_damaged_column_does_not_end_the_process(tmp_path: Path) -> None:
    path = parquet(tmp_path / "p.parquet", [{"prompt": "why?"}, {"prompt": "what?"}])
    optional, strange = b"%\x02\x18\x06prompt", b"%\x76\x18\x06prompt"
    whole = path.read_bytes()
    assert optional in whole
    path.write_bytes(whole.replace(optional, strange))
    with contextlib.suppress(InputError):
        prompts.read(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(data=st.data())
def test_any_damage_to_parquet_is_an_input_error(tmp_path: Path, data: st.DataObject) -> None:
    path = parquet(tmp_path / "p.parquet", [{"prompt": "why?"}, {"prompt": "what?"}])
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(
        bytes(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
    )
    with contextlib.suppress(InputError):
        prompts.read(path)


KEYS = "messages prompt turns chosen role content id conversations from value instruction input text system"
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["human", "user", "gpt", HH]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS.split()), inner),
)
CONTENT = (
    st.binary()
    | st.text().map(lambda text: text.encode("utf-8", "replace"))
    | st.lists(VALUES).map(lambda rows: json.dumps(rows).encode())
    | st.lists(VALUES).map(lambda rows: "\n".join(map(json.dumps, rows)).encode())
    | st.lists(st.lists(st.text(), max_size=3)).map(
        lambda rows: b"prompt,input\n" + "\n".join(map(",".join, rows)).encode("utf-8", "replace")
    )
    | st.binary().map(lambda tail: b'prompt;"text"\n' + tail)
)


@pytest.mark.parametrize(
    "name", ["p.jsonl", "p.json", "p.txt", "p.csv", "p.tsv", "p.csv.gz", "p.json.gz", "p"]
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(content=CONTENT, packed=st.booleans())
def test_anything_else_is_an_input_error(tmp_path: Path, name: str, content: bytes, packed: bool) -> None:
    (tmp_path / name).write_bytes(gzip.compress(content) if packed and ".gz" in name else content)
    try:
        found = prompts.read(tmp_path / name)
    except InputError:
        return
    prompts.write(found.prompts, tmp_path / "again.jsonl")
    again = prompts.read(tmp_path / "again.jsonl")
    assert (again.prompts, again.problems, again.duplicates) == (found.prompts, (), 0)


def test_real_sharegpt_pairs(shared_data: Path) -> None:
    found = prompts.read(shared_data / "helpful-pairs-dev.json")
    assert len(found.prompts) + found.duplicates + len(found.problems) == 200
    assert not found.problems
    assert all(p.messages[-1].role == "user" for p in found.prompts)


@pytest.mark.parametrize("part", ["pm-train", "judge-train", "tune", "measure"])
def test_real_transcripts_keep_their_turns(shared_data: Path, part: str) -> None:
    found = prompts.read(shared_data / f"hh-harmless-{part}.jsonl.gz")
    assert len(found.problems) <= len(found.prompts) / 100
    assert any(len(prompt.messages) >= 3 for prompt in found.prompts)
