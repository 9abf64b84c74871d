"""Exports: what comes out is what was accepted, in forms that others open."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import Chain, Constitution, Message, Principle, Step, parse
from studio import exports
from studio.exports import Accepted, cai_row, messages_row, record, write
from studio.store.chains import StoredChain
from studio.store.verdicts import Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KIND = Constitution(
    "Kind",
    (
        Principle("p1", "One", critique_request="What harms?", revision_request="Mend it."),
        Principle("p2", "Two", critique_request="What lies?", revision_request="Be true."),
    ),
)
STEPS = (
    Step("response", "R", model="tiny", seed=1),
    Step("critique", "C1", "p1"),
    Step("revision", "V1", "p1"),
    Step("critique", "C2", "p2"),
    Step("revision", "V2", "p2", author="person"),
)


def item(*messages: str, steps: tuple[Step, ...] = STEPS, note: str = "good", **changes: Any) -> Accepted:
    roles: tuple[Any, ...] = ("user", "assistant") * len(messages)
    values: dict[str, Any] = {
        "id": "c1",
        "prompt_id": "p",
        "messages": tuple(Message(role, text) for role, text in zip(roles, messages, strict=False)),
        "constitution": KIND.version,
        "constitution_name": "Kind",
        "model": "tiny",
        "critic": "big",
        "seed": 2**62,
        "revisions": 2,
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 9,
        "form": "",
        "author": "ana",
        "created": NOW,
        "steps": steps,
        "status": "finished",
        "detail": "",
        "updated": NOW,
    }
    return Accepted(StoredChain(**(values | changes)), Verdict("accepted", note, "ben"), KIND)


def from_parquet(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns and the rows."""
    with duckdb.connect() as con:
        found = con.from_parquet(str(path))
        columns = list(found.columns)
        return columns, [dict(zip(columns, row, strict=True)) for row in found.fetchall()]


def test_messages_are_the_prompt_and_the_last_revision() -> None:
    row = messages_row(item("Hi?"))
    assert row["messages"] == [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "V2"}]
    assert (row["principles"], row["verdict_author"], row["note"]) == (["p1", "p2"], "ben", "good")
    assert list(row) == list(exports.MESSAGES)


def test_the_hubs_columns_hold_the_first_response_and_the_last_round() -> None:
    assert cai_row(item("Hi?")) == {
        "init_prompt": "Hi?",
        "init_response": "R",
        "critic_prompt": "What lies?",
        "critic_response": "C2",
        "revision_prompt": "Be true.",
        "revision_response": "V2",
    }


def test_a_chain_without_a_round_and_a_talk_of_several_turns() -> None:
    row = cai_row(item("Hi?", "Hello.", "How?", steps=STEPS[:1]))
    assert row["init_prompt"] == "Human: Hi?\n\nAssistant: Hello.\n\nHuman: How?"
    assert list(row.values())[1:] == ["R", "", "", "", ""]
    assert messages_row(item("Hi?", steps=STEPS[:1]))["messages"][-1]["content"] == "R"


def test_our_own_form_reads_back_as_a_chain(tmp_path: Path) -> None:
    path = write(tmp_path, "s", [item("Hi?")], "chains")
    assert path.name == "chains.jsonl"
    [line] = path.read_text().splitlines()
    chain = parse(Chain, json.loads(line))
    assert chain == record(item("Hi?"))
    assert (chain.verdict, chain.note, chain.steps) == ("accepted", "good", STEPS)


HOSTILE = "=1+1 <script>\u2028\r\n\0 '; DROP TABLE export; -- 👩‍👩‍👧 \u202e"


@pytest.mark.parametrize("form", ["messages", "cai"])
def test_jsonl_and_parquet_hold_the_same_rows(tmp_path: Path, form: exports.Form) -> None:
    items = [item(HOSTILE, note=HOSTILE), item("b", steps=(Step("response", HOSTILE),))]
    wanted = exports.rows(items, form)
    lines = write(tmp_path, "s", items, form).read_text().splitlines()
    assert [json.loads(line) for line in lines] == wanted
    path = write(tmp_path, "it's", items, form, parquet=True)
    assert from_parquet(path)[1] == wanted


@pytest.mark.parametrize("form", ["messages", "cai"])
def test_many_chains_take_a_statement_for_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: exports.Form
) -> None:
    monkeypatch.setattr(exports, "ROWS", 2)
    bare = item("b", note="", steps=(Step("response", "c"),))  # without a principle: of a column no type
    items = [bare, bare, item("d"), bare, bare]
    asked: list[int] = []
    together = exports.insert
    monkeypatch.setattr(
        exports, "insert", lambda tx, table, some: (asked.append(len(some)), together(tx, table, some))
    )
    path = write(tmp_path, "s", items, form, parquet=True)
    assert from_parquet(path)[1] == exports.rows(items, form)
    assert asked == [2, 2, 1]


def test_nothing_accepted_is_still_a_file_with_its_columns(tmp_path: Path) -> None:
    path = write(tmp_path, "s", [], "messages", parquet=True)
    assert from_parquet(path) == (list(exports.MESSAGES), [])
    assert write(tmp_path, "s", [], "cai").read_bytes() == b""


def test_pandas_opens_jsonl(tmp_path: Path) -> None:
    frame = pandas.read_json(write(tmp_path, "s", [item("Hi?")], "messages"), lines=True)
    assert frame["messages"][0][-1] == {"role": "assistant", "content": "V2"}
    assert frame["seed"][0] == 2**62


def test_pandas_opens_parquet(tmp_path: Path) -> None:
    frame = pandas.read_parquet(write(tmp_path, "s", [item("Hi?")], "cai", parquet=True))
    assert frame["revision_response"].tolist() == ["V2"]


@pytest.mark.parametrize("parquet", [False, True])
def test_datasets_opens_both(tmp_path: Path, parquet: bool) -> None:
    import datasets  # here, as it takes a second

    path = write(tmp_path, "s", [item("Hi?"), item(HOSTILE)], "messages", parquet)
    kind = "parquet" if parquet else "json"
    rows = datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "c"))
    assert rows[1]["messages"][0]["content"] == HOSTILE
    assert rows[0]["principles"] == ["p1", "p2"]


@given(st.lists(st.text(), min_size=1, max_size=3), st.text())
def test_any_text_survives(texts: list[str], note: str) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]  # as the store keeps it
    row = json.loads(json.dumps(messages_row(item(*texts, note=note))))
    assert [message["content"] for message in row["messages"][:-1]] == texts
    assert row["note"] == note
