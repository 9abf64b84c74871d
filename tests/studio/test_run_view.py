"""Runs as the page shows them: figures that hold, and everyone's text as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.configs import Drawing
from pipeline.records import Message, as_json
from studio.components import chain_filters, run_results, run_view
from studio.components.chain_list import chain_list
from studio.jobs import queue
from studio.store import chains, runs
from studio.store.chains import ChainFilter, NewChain
from studio.store.database import Store
from studio.store.runs import Event, NewRun, State


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path)
    yield opened
    opened.close()


def add(store: Store, id: str, state: State, name: str = "a") -> runs.Run:
    new = NewRun(
        id=id,
        stage="critique",
        name=name,
        config=as_json(Drawing()),
        constitution="c1",
        constitution_name="test",
        total=200,
        author="ann",
    )
    with store.tx() as tx:
        runs.add(tx, new, state)
        if state == "waiting":
            queue.enqueue(tx, id)
    run = runs.load(store, id)
    assert run
    return run


def add_chain(store: Store, id: str, run: str | None = None) -> None:
    new = NewChain(
        id=id,
        prompt_id="p",
        messages=(Message("user", "Ask"),),
        constitution="c1",
        constitution_name="test",
        model="bundled",
        critic="bundled",
        seed=0,
        revisions=1,
        temperature=0.7,
        top_p=1.0,
        max_tokens=8,
        form="",
        author="ann",
        run=run,
    )
    chains.start_chain(store, new)


def listed(store: Store, current: str) -> str:
    return run_view.run_list(runs.listed(store), store, current)


def say(store: Store, id: str, seq: int, kind: str, **data: Any) -> None:
    with store.tx() as tx:
        runs.add_events(tx, id, [Event(seq, 1, kind, "2026-01-01T00:00:00", data)])


def test_a_running_one_shows_how_far_how_fast_and_how_long(store: Store, tmp_path: Path) -> None:
    run = add(store, "r1", "running")
    assert "0 of 200" in run_view.detail(store, run, tmp_path)
    say(store, "r1", 1, "progress", done=9, tokens=500, tokens_per_second=70.2, eta_s=None)
    assert "not known yet" in run_view.detail(store, run, tmp_path)
    say(store, "r1", 2, "progress", done=50, tokens=900, tokens_per_second=71.6, eta_s=300.0)
    html = run_view.detail(store, run, tmp_path)
    for part in ("50 of 200", ">72<", "5 min", 'aria-valuenow="50"', "width:25.0%"):
        assert part in html
    assert "50 of 200 chains · 72 tokens/s · 5 min to go" in listed(store, "r1")


def test_an_ended_one_shows_what_it_has(store: Store, tmp_path: Path) -> None:
    run = add(store, "r1", "done")
    say(store, "r1", 1, "progress", done=199, tokens=900, tokens_per_second=71.6, eta_s=1)
    say(store, "r1", 2, "finished", status="done", rows=200)
    html = run_view.detail(store, run, tmp_path)
    assert "200 of 200" in html
    assert "to go" not in html


def test_those_that_wait_say_where(store: Store) -> None:
    for id in ("r1", "r2"):
        add(store, id, "waiting")
    queue.move(store, "r2", -1)
    first, second = listed(store, "r2").split("</li>")[:2]
    assert "number 1 in the queue" in first
    assert 'aria-current="true"' in first
    assert "number 2 in the queue" in second


def test_its_chains_are_a_link_away(store: Store) -> None:
    run = add(store, "r&1", "done")
    assert "href" not in run_results.results(store, run)
    add_chain(store, "c1", run="r&1")
    html = run_results.results(store, run)
    for address in ("chains?run=r%261", "reading?run=r%261", "chains?chain=c1&amp;run=r%261"):
        assert f'href="{address}"' in html


def test_a_list_narrowed_to_a_run_says_so_and_stays_narrowed(store: Store) -> None:
    add(store, "r1", "done", name="<b>")
    add_chain(store, "c1", run="r1")
    add_chain(store, "c2")
    [(id, name, _)] = chains.filter_values(store).runs
    assert (id, name) == ("r1", "<b>")
    html, _ = chain_list(store, ChainFilter(run="r1"), 9, "c1")
    assert "1 chain of the run" in html
    assert "<b>" not in html
    assert 'href="chains?chain=c1&amp;run=r1"' in html
    assert 'href="chains?chain=c1">Show all' in html
    with store.tx() as tx:
        runs.set_state(tx, "r1", "deleted", ["done"])
    assert len(chains.filter_values(store).runs) == 1  # its chains stayed
    assert "1 chain ·" in chain_list(store, ChainFilter(run="r1"), 9, "")[0]
    assert "No chain matches" in chain_list(store, ChainFilter(run="r2"), 9, "")[0]


def test_an_address_says_what_the_filters_say() -> None:
    wanted = ChainFilter(text="a&b", run="r1", verdict="accepted")
    assert chain_filters.asked(chain_filters.query(wanted)) == wanted
    assert chain_filters.asked({}, verdict="none") == ChainFilter(verdict="none")
    for verdict in ("", "any", "strange"):
        assert chain_filters.asked({"verdict": verdict}, verdict="none") == ChainFilter()


def test_a_sample_of_a_label_leaves_its_pair_to_be_judged_blind(store: Store) -> None:
    run = replace(add(store, "r1", "running"), stage="label")
    say(store, "r1", 1, "sample", pair="p1", prompt="Ask", text="kind: P(a better) = 0.512", principle="kind")
    html = run_results.results(store, run)
    assert "Ask" in html
    assert "kind" in html
    assert "0.512" not in html
    assert "audit" not in html


def test_all_text_is_escaped(store: Store, tmp_path: Path) -> None:
    bad = "<img src=x onerror=alert(1)>"
    run = add(store, "r1", "running", name=bad)
    say(store, "r1", 1, "sample", chain=bad, prompt=bad, text=bad)
    with store.tx() as tx:
        runs.set_state(tx, "r1", "failed", ["running"], bad)
    run = runs.load(store, "r1")  # type: ignore[assignment]
    (tmp_path / "worker.log").write_text(bad)
    for html in (
        listed(store, "r1"),
        run_view.detail(store, run, tmp_path),
        run_results.results(store, run),
        run_view.log_html(tmp_path),
        run_view.found_html([], 1, [bad]),
    ):
        assert "<img" not in html


def test_what_is_made_before_the_first_row_is_escaped_too(store: Store, tmp_path: Path) -> None:
    bad = "<img src=x onerror=alert(1)>"
    run = add(store, "r1", "running")
    part = {"noun": bad, "done": 1, "total": 2, "eta_s": 9}
    say(store, "r1", 1, "progress", done=0, part=part, tokens_per_second=None, eta_s=None)
    for html in (listed(store, "r1"), run_view.detail(store, run, tmp_path)):
        assert "&lt;img" in html
        assert "<img" not in html


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(8, "8 s"), (89.6, "90 s"), (200, "3 min"), (7500, "2 h 5 min"), (5400, "1 h 30 min")],
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert run_view.duration(seconds) == words
