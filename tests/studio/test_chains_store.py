"""Chains as they are written, step by step, and found again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.records import Message, Step
from studio.progress import progress
from studio.store import chains
from studio.store.chains import (
    ChainFilter,
    NewChain,
    add_event,
    add_step,
    count_chains,
    list_chains,
    load_chain,
    start_chain,
)
from studio.store.database import Store

RESPONSE = Step(kind="response", text="Here is how.", model="tiny", seed=7, tokens=4, seconds=0.5)
CRITIQUE = Step(kind="critique", text="That harms.", principle="harm", model="tiny", finish="length")
REVISION = Step(kind="revision", text="I’d rather not.", principle="harm", author="person")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "alpha")
    yield store
    store.close()


def chain(id: str = "c1", prompt: str = "How do I pick a lock?", **changes: object) -> NewChain:
    plain = NewChain(
        id=id,
        prompt_id="prompt",
        messages=(Message(role="user", content=prompt),),
        constitution="v1",
        constitution_name="Kind",
        model="tiny",
        critic="tiny",
        seed=7,
        revisions=2,
        temperature=0.7,
        top_p=0.9,
        max_tokens=200,
        form="chat",
        author="ann",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def found(store: Store, **fields: str) -> list[str]:
    rows = [row.id for row in list_chains(store, ChainFilter(**fields), 100, 0)]
    assert count_chains(store, ChainFilter(**fields)) == len(rows)
    return rows


def test_a_chain_reads_back_whole(store: Store) -> None:
    start_chain(store, chain(parent="c0", branch_step=2))
    for position, step in enumerate([RESPONSE, CRITIQUE, REVISION]):
        add_step(store, "c1", position, step)
    add_event(store, "c1", "finished", "in 3 s")
    back = load_chain(store, "c1")
    assert back
    assert back.steps == (RESPONSE, CRITIQUE, REVISION)
    assert (back.status, back.detail, back.parent, back.branch_step) == ("finished", "in 3 s", "c0", 2)
    assert back.messages == chain().messages
    assert back.updated >= back.created
    assert load_chain(store, "c2") is None


def test_a_step_written_again_replaces_and_is_kept(store: Store) -> None:
    start_chain(store, chain(), [RESPONSE])
    add_step(store, "c1", 0, replace(RESPONSE, text="better", author="person"))
    back = load_chain(store, "c1")
    assert back
    assert [(step.text, step.author) for step in back.steps] == [("better", "person")]
    assert store.query("SELECT text FROM steps ORDER BY seq") == [("Here is how.",), ("better",)]
    assert found(store, text="here is how") == []


def test_nothing_is_written_for_a_chain_that_is_not_there(store: Store) -> None:
    with pytest.raises(ValueError, match="no chain c1"):
        add_step(store, "c1", 0, RESPONSE)
    with pytest.raises(ValueError, match="no chain c1"):
        add_event(store, "c1", "finished")
    start_chain(store, chain())
    with pytest.raises(ValueError, match="c1 already"):
        start_chain(store, chain())
    assert found(store) == ["c1"]


def test_a_branch_that_fails_half_way_leaves_nothing(store: Store) -> None:
    bad = replace(RESPONSE, kind="poem")  # type: ignore[arg-type]
    with pytest.raises(Exception, match="CHECK"):
        start_chain(store, chain(), [RESPONSE, bad])
    assert found(store) == []
    assert store.query("SELECT count(*) FROM steps") == [(0,)]


def test_ids_sort_by_time(store: Store) -> None:
    ids = []
    for _ in range(5):
        ids.append(chains.new_id(store))
        time.sleep(0.002)
    assert ids == sorted(set(ids))


def test_a_row_tells_the_chain_in_short(store: Store) -> None:
    messages = (Message("user", "Hi"), Message("assistant", "Hi!"), Message("user", "so\n  " + "long " * 99))
    start_chain(store, chain(messages=messages), [RESPONSE, CRITIQUE, REVISION])
    [row] = list_chains(store, ChainFilter(), 10, 0)
    assert row.prompt.startswith("so long long")
    assert len(row.prompt) == 160
    assert (row.steps, row.principles, row.status) == (3, ("harm",), "running")
    assert (row.constitution_name, row.constitution, row.model) == ("Kind", "v1", "tiny")


def test_pages_are_newest_first_and_do_not_overlap(store: Store) -> None:
    ids = [f"c{number:02}" for number in range(25)]
    for id in ids:
        start_chain(store, chain(id), [RESPONSE])
    pages = [list_chains(store, ChainFilter(), 10, offset) for offset in (0, 10, 20, 30)]
    assert [row.id for page in pages for row in page] == ids[::-1]
    assert count_chains(store, ChainFilter()) == 25


@pytest.mark.parametrize(
    "text",
    [
        "100%",
        "a_b",
        "\\d",
        "'; DROP",
        "[x]",
        "ÉCLAIR",
        "éclair",
        "nul \0",
        "👩‍👩‍👧",
        'say "hi"\nnow',
        "$text",
    ],
)
def test_search_is_literal_whatever_the_case(store: Store, text: str) -> None:
    start_chain(store, chain("prompt", prompt=f"before {text} after"))
    start_chain(store, chain("step"), [replace(RESPONSE, text=f"({text.upper()})")])
    start_chain(store, chain("other", prompt="100 ab axb d x"), [RESPONSE])
    assert sorted(found(store, text=text)) == ["prompt", "step"]


def test_search_reads_every_message_but_not_its_json(store: Store) -> None:
    start_chain(store, chain(messages=(Message("user", "first"), Message("user", "last"))))
    assert found(store, text="FIRST") == ["c1"]
    assert found(store, text="content") == []


def test_half_an_emoji_is_found_as_it_was_kept(store: Store) -> None:
    start_chain(store, chain(prompt="half \ud83d"), [replace(RESPONSE, text="\udc00")])
    assert found(store, text="half \ud83d") == found(store, text="half \ufffd") == ["c1"]


def test_filters_narrow_together(store: Store) -> None:
    start_chain(store, chain("c1"), [RESPONSE, CRITIQUE])
    start_chain(store, chain("c2", model="big", constitution="v2"), [RESPONSE])
    start_chain(store, chain("c3", constitution_name="Stern", constitution="v3"), [CRITIQUE])
    add_event(store, "c3", "failed")
    assert found(store) == ["c3", "c2", "c1"]
    assert found(store, principle="harm") == ["c3", "c1"]
    assert found(store, principle="harm", status="running") == ["c1"]
    assert found(store, model="big") == found(store, version="v2") == ["c2"]
    assert found(store, constitution="Kind", text="") == ["c2", "c1"]
    assert found(store, status="finished") == []


def test_the_filters_offer_what_occurs(store: Store) -> None:
    start_chain(store, chain("c1"), [RESPONSE, CRITIQUE])
    start_chain(store, chain("c2", model="big", constitution="v2"))
    values = chains.filter_values(store)
    assert (values.principles, values.models) == (("harm",), ("big", "tiny"))
    assert (values.constitutions, values.versions) == (("Kind",), (("Kind", "v1"), ("Kind", "v2")))


def test_chains_cut_off_are_said_to_be(store: Store) -> None:
    for id in ("c1", "c2", "c3"):
        start_chain(store, chain(id))
    add_event(store, "c2", "finished")
    assert chains.mark_interrupted(store) == 2
    assert chains.mark_interrupted(store) == 0
    assert found(store, status="interrupted") == ["c3", "c1"]
    now = progress(store)
    assert (now.chains, now.finished) == (3, 1)
