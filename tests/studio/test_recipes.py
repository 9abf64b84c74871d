"""A recipe in the queue: each of its runs waits for the one before it, and no other run does."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import recipe
from pipeline.errors import UserError
from pipeline.recipe_command import plan
from studio.jobs import queue, recipes, stages
from studio.jobs.jobs import Jobs
from studio.jobs.recipes import Queued
from studio.store import runs
from studio.store.database import Store
from studio.store.runs import ACTIVE, NewRun, State


@pytest.fixture
def tour(store: Store) -> Queued:
    recipes.enqueue(store, store.folder / "runs", "tour-quick", "ann")
    return recipes.queued(store)[0]


def put(store: Store, id: str, state: State) -> None:
    with store.tx() as tx:
        assert runs.set_state(tx, id, state, ("waiting", *ACTIVE, "failed", "cancelled"))


def ready(store: Store) -> list[str]:
    return [run.name for run, _ in queue.ready(store, ("0", "1", "2"))]


def test_its_commands_are_those_of_the_terminal(store: Store, tour: Queued) -> None:
    folder = store.folder / "runs"
    for run, words in zip(tour.runs, plan(recipe.load("tour-quick"), [], Path("X")).values(), strict=True):
        ids = run.config["recipe"]["places"]
        ours = stages.words(run, folder / run.id)
        for name, id in ids.items():
            ours = [word.replace(str(folder / id), f"X/{name}") for word in ours]
        assert ours == words


def test_its_runs_have_the_settings_of_their_commands(tour: Queued) -> None:
    chains, sl, _, labels, pm, _, _, rl, harmless, _ = tour.runs
    assert (chains.stage, chains.config["max_tokens"], chains.constitution_name) == (
        "critique",
        24,
        "harmless",
    )
    assert (labels.constitution, labels.config["axis"]) == (chains.constitution, "harmless")
    assert pm.config["override_gate"].startswith("the tour")
    assert rl.config["model"].endswith(sl.id)
    assert (harmless.config["axis"], len(harmless.config["models"])) == ("harmless", 4)


def test_each_begins_when_the_one_before_it_is_whole(store: Store, tour: Queued) -> None:
    assert ready(store) == ["The quick tour: chains"]
    put(store, tour.runs[0].id, "running")
    assert ready(store) == []
    put(store, tour.runs[0].id, "done")
    assert ready(store) == ["The quick tour: sl"]


def test_what_failed_holds_back_its_own_and_nobody_else(store: Store, tour: Queued) -> None:
    first, *_ = tour.runs
    other = NewRun(
        id="x",
        stage="pairs",
        name="other",
        config={},
        constitution=None,
        constitution_name=None,
        total=1,
        author="",
    )
    with store.tx() as tx:
        runs.add(tx, other, "waiting")
        queue.enqueue(tx, "x")
    put(store, first.id, "failed")
    assert ready(store) == ["other"]
    [now] = recipes.queued(store)
    assert (now.resumable, now.at_work, now.at and now.at.id) == (True, False, first.id)
    Jobs(store, store.folder / "runs").resume(first.id)
    assert ready(store) == ["other", "The quick tour: chains"]
    assert recipes.queued(store)[0].at_work


def test_a_stop_before_its_turn_is_a_stop(store: Store, tour: Queued) -> None:
    jobs = Jobs(store, store.folder / "runs")
    jobs.stop(tour.runs[0].id)
    assert ready(store) == []
    assert recipes.queued(store)[0].resumable


def test_it_is_whole_when_each_run_is(store: Store, tour: Queued) -> None:
    for run in tour.runs:
        put(store, run.id, "done")
    [now] = recipes.queued(store)
    assert (now.whole, now.at, now.lacks) == (True, None, [])


def test_a_deleted_run_that_is_needed_is_missed(store: Store, tour: Queued) -> None:
    for run in tour.runs[:2]:
        put(store, run.id, "done")
    Jobs(store, store.folder / "runs").delete(tour.runs[0].id)
    [now] = recipes.queued(store)
    assert (now.lacks, now.whole, now.at_work) == (["chains"], False, False)


def test_a_recipe_that_needs_files_is_for_the_terminal(store: Store) -> None:
    with pytest.raises(UserError, match="cai run helpful-rlhf"):
        recipes.enqueue(store, store.folder / "runs", "helpful-rlhf", "ann")
    assert runs.listed(store) == []


def test_with_a_run_those_go_that_could_not_begin_without_it(store: Store, tour: Queued) -> None:
    put(store, tour.runs[0].id, "done")
    Jobs(store, store.folder / "runs").delete(tour.runs[3].id)
    assert [run.state for run in recipes.queued(store)[0].runs] == ["done", "waiting", "waiting"]
    assert ready(store) == ["The quick tour: sl"]
