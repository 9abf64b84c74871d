"""Pairs and labels as runs, from the queue into the session, with real processes of the tiny model."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import constitution, pairs, prompts
from pipeline.configs import Answering, Labelling
from pipeline.records import Message, Pair, Source
from studio.components import run_results, run_view
from studio.jobs import batch
from studio.jobs.jobs import Jobs
from studio.store import labels, runs
from studio.store import pairs as pair_store
from studio.store.database import Store
from studio.store.pairs import PairFilter
from studio.store.runs import ACTIVE, Run

HARMLESS = constitution.load(constitution.shipped()["harmless"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "session")
    yield opened
    for run in runs.in_states(opened, ACTIVE):
        process = runs.process(opened, run.id)
        if process and process.holder.alive():
            os.kill(process.holder.pid, signal.SIGKILL)
    opened.close()


@pytest.fixture
def jobs(store: Store) -> Jobs:
    """Looked after by the test itself, round by round."""
    return Jobs(store, store.folder / "runs")


def pair(question: str) -> Pair:
    said = Source("bundled")
    yes, no = "Yes, of course you can do that.", "No, I would rather not do that."
    return pairs.make_pair(question, (Message("user", question),), yes, no, said, said, "red_team")


def until(jobs: Jobs, done: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        jobs.look()
        time.sleep(0.05)


def ended(store: Store, jobs: Jobs, id: str) -> Run:
    until(jobs, lambda: current(store, id).state not in ("waiting", *ACTIVE))
    return current(store, id)


def current(store: Store, id: str) -> Run:
    run = runs.load(store, id)
    assert run
    return run


def kept(store: Store, id: str) -> int:
    return int(store.query("SELECT count(*) FROM labels WHERE run = ?", [id])[0][0])


def label(store: Store, model: Path, many: int) -> str:
    some = [pair(f"Question {n}?") for n in range(many)]
    with store.tx() as tx:
        pair_store.add(tx, some, None)
    labelling = Labelling(model=str(model), principles="all")
    return batch.prepare_label(
        store, store.folder / "runs", some, HARMLESS, labelling, "harmless", "some", "ann"
    )


def test_sampled_pairs_come_into_the_session(store: Store, jobs: Jobs, tiny_model: Path) -> None:
    asked = [prompts.from_text(f"Question {n}?") for n in range(3)]
    answering = Answering(model=str(tiny_model), samples=3, max_tokens=8)
    id = batch.prepare_pairs(store, jobs.folder, asked, answering, "", "ann")
    run = ended(store, jobs, id)
    assert (run.state, run.detail) == ("done", "")
    assert pair_store.count(store, PairFilter(run=id)) == 9  # three of each three responses
    assert "3 of 3" in run_view.detail(store, run, jobs.of(id))
    html = run_results.results(store, run)
    assert "9 pairs of this run" in html
    assert "audit?pair=" in html


def test_labels_come_into_the_session_with_their_labeller(store: Store, jobs: Jobs, tiny_model: Path) -> None:
    id = label(store, tiny_model, 2)
    run = ended(store, jobs, id)
    assert (run.state, run.detail) == ("done", "")
    assert kept(store, id) == run.total == 2 * 16
    [row] = labels.labellers(store)
    assert (row.labeller.model, row.labeller.method, row.pairs) == (str(tiny_model), "choice", 2)
    assert row.labeller.constitution == HARMLESS.version
    html = run_results.results(store, run)
    assert "labels/s" in html
    assert "agreement?labeller=" in html


def test_labels_are_stopped_and_resumed_without_doubles(store: Store, jobs: Jobs, tiny_model: Path) -> None:
    id = label(store, tiny_model, 12)
    until(jobs, lambda: kept(store, id) > 0)
    jobs.stop(id)
    assert ended(store, jobs, id).state == "stopped"
    assert 0 < kept(store, id) < 12 * 16
    jobs.resume(id)
    assert ended(store, jobs, id).state == "done"
    assert kept(store, id) == 12 * 16
    [[rows, distinct]] = store.query("SELECT count(*), count(DISTINCT (pair, principle)) FROM labels")
    assert rows == distinct


def test_labels_that_were_lost_are_said_to_be_labels(store: Store, jobs: Jobs, tiny_model: Path) -> None:
    id = label(store, tiny_model, 12)
    until(jobs, lambda: kept(store, id) > 0)
    process = runs.process(store, id)
    assert process
    os.kill(process.holder.pid, signal.SIGKILL)
    run = ended(store, jobs, id)
    assert run.state == "lost"
    assert "The labels that it had finished are here" in run.detail
