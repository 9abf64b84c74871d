"""Prompt files in all their forms, and what is wrong with them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import prompts
from pipeline.errors import InputError, UserError
from pipeline.records import Message, as_json

HH = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: bye\n\nAssistant: see you"


def read_rows(folder: Path, *rows: Any, name: str = "p.jsonl") -> prompts.PromptFile:
    path = folder / name
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), "utf-8")
    return prompts.read(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": " why? "}, ["why?"]),
        ({"prompt": [{"role": "user", "content": "why?", "extra": 1}]}, ["why?"]),
        (
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "why?"}]},
            ["s", "why?"],
        ),
        ({"question_id": 1, "turns": ["why?", "and then?"]}, ["why?"]),
        ({"chosen": HH, "rejected": HH}, ["hi", "hello", "bye"]),
        ({"prompt": HH}, ["hi", "hello", "bye"]),
        ({"chosen": "\n\nHuman: why?\n\nAssistant:"}, ["why?"]),
        ({"prompt": "half \ud800 pair"}, ["half \ufffd pair"]),
    ],
)
def test_each_form(tmp_path: Path, row: dict[str, Any], said: list[str]) -> None:
    [prompt] = read_rows(tmp_path, row).prompts
    assert [m.content for m in prompt.messages] == said
    assert prompt.messages[-1].role == "user"


def test_text_has_one_prompt_a_line(tmp_path: Path) -> None:
    found = read_rows(tmp_path, "first", "", "  ", "\ufeffsecond {", name="p.txt")
    assert [p.messages[0].content for p in found.prompts] == ["first", "\ufeffsecond {"]


def test_our_own_rows_come_back_as_they_were(tmp_path: Path) -> None:
    ours = (prompts.from_text("one"), prompts.from_text("two \ud83d\ude00 \ud800"))
    prompts.write(ours, tmp_path / "p.jsonl")
    assert prompts.read(tmp_path / "p.jsonl").prompts == ours


def test_a_bad_row_is_named_by_its_line_and_the_others_are_kept(tmp_path: Path) -> None:
    bad = [
        "not json",
        "[1]",
        {"said": "?"},
        {"prompt": "  "},
        {"messages": [{"role": "assistant", "content": "no"}]},
        {"messages": ["no"]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "robot", "content": "no"}]},
        {"turns": [3]},
        "[" * 100_000,
        {"prompt": "\n\nHuman: "},
    ]
    found = read_rows(tmp_path, {"prompt": "good"}, *bad, {"prompt": "too"})
    assert [p.messages[0].content for p in found.prompts] == ["good", "too"]
    path = tmp_path / "p.jsonl"
    assert [p.split(": ")[0] for p in found.problems] == [f"{path}:{n}" for n in range(2, 2 + len(bad))]
    assert not any("Error" in p or "indices" in p for p in found.problems)


def test_a_row_that_is_not_utf8_is_one_bad_row(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes("gut\nschön\n".encode("latin-1") + b"fine\n")
    found = prompts.read(tmp_path / "p.txt")
    assert [p.messages[0].content for p in found.prompts] == ["gut", "fine"]
    assert found.problems == (f"{tmp_path / 'p.txt'}:2: not UTF-8 text",)


def test_equal_prompts_are_merged(tmp_path: Path) -> None:
    found = read_rows(tmp_path, {"prompt": "a"}, {"turns": ["a"]}, {"prompt": "b"}, {"prompt": "a "})
    assert (len(found.prompts), found.duplicates, found.problems) == (2, 2, ())


def test_one_id_for_two_prompts_is_told(tmp_path: Path) -> None:
    rows = [{"id": "1", "messages": [as_json(Message("user", text))]} for text in ("a", "b")]
    found = read_rows(tmp_path, *rows)
    assert len(found.prompts) == 1
    assert "the id 1 is already another prompt's" in found.problems[0]


@pytest.mark.parametrize("name", ["p.jsonl.gz", "p.txt.gz"])
def test_gzip_and_byte_order_mark(tmp_path: Path, name: str) -> None:
    text = "why?" if ".txt" in name else '{"prompt": "why?"}'
    (tmp_path / name).write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode() + b"\r\n"))
    [prompt] = prompts.read(tmp_path / name).prompts
    assert prompt.messages[0].content == "why?"


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"\xef\xbb\xbf", b"\xff\xfeh\x00i\x00\n\x00"])
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.jsonl").write_bytes(content)
    with pytest.raises(InputError, match="no prompts in this file"):
        prompts.read(tmp_path / "p.jsonl")


def test_plain_text_by_another_name_is_told_how_to_be_read(tmp_path: Path) -> None:
    (tmp_path / "p.md").write_text("Why?\nWhat for?\n")
    with pytest.raises(InputError, match=r"plain text needs a name that ends with \.txt"):
        prompts.read(tmp_path / "p.md")
    (tmp_path / "p.jsonl").write_text('Why?\n{"nothing": 1}\n')
    with pytest.raises(InputError) as told:
        prompts.read(tmp_path / "p.jsonl")
    assert ".txt" not in str(told.value)


def test_a_damaged_archive_is_refused_whole(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f'{{"prompt": "{i}"}}\n' for i in range(999)).encode())
    for damaged in (whole[:-20], whole[:9], b"plain", whole[:50] + b"\0\0\0\0" + whole[54:]):
        (tmp_path / "p.jsonl.gz").write_bytes(damaged)
        with pytest.raises(InputError, match="can't be read"):
            prompts.read(tmp_path / "p.jsonl.gz")


def test_a_typed_text_that_is_too_long_is_said_to_a_person() -> None:
    assert prompts.from_text("x" * 1_000_000).id
    with pytest.raises(UserError, match="longer than 1,000,000 characters: shorten it"):
        prompts.from_text("x" * 1_000_001)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        prompts.read(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match="is not a file"):
        prompts.read(tmp_path)


@pytest.mark.parametrize("name", ["p.jsonl", "p.txt", "p.jsonl.gz"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    content=st.binary()
    | st.text().map(lambda text: text.encode("utf-8", "replace"))
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["messages", "prompt", "turns", "chosen", "role", "content", "id"]), inner
            )
        ),
    ).map(lambda row: json.dumps(row).encode())
)
def test_anything_else_is_an_input_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(gzip.compress(content) if len(content) % 2 and ".gz" in name else content)
    try:
        found = prompts.read(tmp_path / name)
    except InputError:
        return
    prompts.write(found.prompts, tmp_path / "again.jsonl")
    assert prompts.read(tmp_path / "again.jsonl").prompts == found.prompts


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("mt-bench-questions.jsonl", 80),
        ("hh-harmless-tune.jsonl.gz", 100),
        ("hh-harmless-measure.jsonl.gz", 100),
    ],
)
def test_real_files(shared_data: Path, name: str, least: int) -> None:
    found = prompts.read(shared_data / name)
    assert len(found.prompts) >= least
    assert len(found.problems) <= len(found.prompts) / 100
