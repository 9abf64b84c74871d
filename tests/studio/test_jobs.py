"""Runs from the queue to their end, with real processes of the tiny model."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline import constitution, prompts
from pipeline.configs import Answering, Drawing
from pipeline.errors import UserError
from studio.components import run_view
from studio.jobs import batch, launcher, queue
from studio.jobs.jobs import Jobs
from studio.store import chains, runs
from studio.store.chains import ChainFilter
from studio.store.database import Store
from studio.store.lock import Holder
from studio.store.runs import ACTIVE, Event, NewRun

MINIMAL = constitution.load(constitution.shipped()["minimal"])
Start = Callable[..., str]


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


@pytest.fixture
def start(store: Store, tiny_model: Path) -> Start:
    """Put a batch in the queue: `start(4)` for four prompts."""

    def put(many: int = 3, tokens: int = 8, name: str = "", model: str = str(tiny_model)) -> str:
        asked = [prompts.from_text(f"Question {i}?") for i in range(many)]
        drawing = Drawing(model=model, revisions=1, max_tokens=tokens)
        return batch.prepare_critique(store, store.folder / "runs", asked, MINIMAL, drawing, name, "ann")

    return put


def until(jobs: Jobs, done: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        jobs.look()
        time.sleep(0.05)


def state(store: Store, id: str) -> str:
    run = runs.load(store, id)
    return run.state if run else "none"


def ended(store: Store, id: str) -> Callable[[], bool]:
    return lambda: state(store, id) not in ("waiting", *ACTIVE)


def kept(store: Store, id: str) -> int:
    return chains.count_chains(store, ChainFilter(run=id))


def whole(store: Store, id: str, many: int) -> bool:
    """All chains are there, once, with all their steps."""
    found = [row for (row,) in store.query("SELECT id FROM chains WHERE run = ?", [id])]
    steps = store.query("SELECT chain, position FROM steps")
    return len(found) == len(set(found)) == many and len(steps) == len(set(steps)) == 3 * many


def test_a_batch_runs_and_its_chains_are_in_the_session(store: Store, jobs: Jobs, start: Start) -> None:
    id = start(3)
    until(jobs, ended(store, id))
    assert state(store, id) == "done"
    assert whole(store, id, 3)
    [row, *_] = chains.list_chains(store, ChainFilter(), 10, 0)
    assert (row.status, row.constitution_name, row.steps) == ("finished", "minimal", 3)
    assert runs.samples(store, id, 5)
    assert (jobs.of(id) / "worker.log").is_file()


def test_a_page_names_a_run_of_the_session_and_no_other_folder(jobs: Jobs, start: Start) -> None:
    id = start(1)
    assert jobs.known(id) == jobs.of(id)
    for other in ("", "..", str(jobs.folder), f"../runs/{id}"):
        with pytest.raises(UserError, match="not in this session"):
            jobs.known(other)


def test_one_at_a_time_in_an_order_that_can_be_changed(store: Store, jobs: Jobs, start: Start) -> None:
    first, second, third = start(1, name="a"), start(1, name="b"), start(1, name="c")
    assert [run.id for run in queue.waiting(store)] == [first, second, third]
    jobs.move(third, -1)
    jobs.move(first, -1)  # nothing above it
    assert [run.id for run in queue.waiting(store)] == [first, third, second]
    jobs.stop(second)
    assert state(store, second) == "cancelled"
    jobs.look()
    assert (state(store, first), state(store, third)) == ("running", "waiting")
    until(jobs, ended(store, third))
    began = store.query("SELECT run FROM run_states WHERE state = 'running' ORDER BY seq")
    assert [id for (id,) in began] == [first, third]


def test_a_run_waits_while_the_gpus_can_not_be_asked_for(
    store: Store, jobs: Jobs, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = start(1)
    monkeypatch.setattr(launcher, "lately", lambda: None)
    jobs.look()
    assert state(store, id) == "waiting"


def test_a_stop_keeps_what_is_finished_and_resume_draws_the_rest(
    store: Store, jobs: Jobs, start: Start
) -> None:
    id = start(120, tokens=32)
    until(jobs, lambda: kept(store, id) > 0)
    jobs.stop(id)
    until(jobs, ended(store, id))
    there = kept(store, id)
    assert state(store, id) == "stopped"
    assert 0 < there < 120
    written = store.query("SELECT id, seq FROM chains")
    jobs.resume(id)
    until(jobs, ended(store, id))
    assert state(store, id) == "done"
    assert whole(store, id, 120)
    assert set(written) <= set(store.query("SELECT id, seq FROM chains"))  # not one was written again


def test_a_killed_worker_is_lost_and_resume_loses_and_doubles_nothing(
    store: Store, jobs: Jobs, start: Start
) -> None:
    id = start(120, tokens=32)
    until(jobs, lambda: kept(store, id) > 0)
    process = runs.process(store, id)
    assert process
    os.kill(process.holder.pid, signal.SIGKILL)
    until(jobs, ended(store, id))
    assert state(store, id) == "lost"
    with (jobs.of(id) / "outputs" / "chains.jsonl.part").open("a") as file:
        file.write('{"id": "torn')
    jobs.resume(id)
    until(jobs, ended(store, id))
    assert state(store, id) == "done"
    assert whole(store, id, 120)


def test_a_folder_deleted_under_a_live_run_is_told_and_its_chains_stay(
    store: Store, jobs: Jobs, start: Start
) -> None:
    id = start(60, tokens=32)
    until(jobs, lambda: kept(store, id) > 0)
    shutil.rmtree(jobs.of(id))
    many = kept(store, id)
    until(jobs, ended(store, id))
    run = runs.load(store, id)
    assert run
    assert (run.state, run.detail) == ("failed", "its folder is gone: someone has deleted it")
    jobs.resume(id)
    until(jobs, ended(store, id))
    assert state(store, id) == "failed"  # what it was to do was in the folder
    assert kept(store, id) == many


def test_a_mistake_is_told_with_what_the_process_said(store: Store, jobs: Jobs, start: Start) -> None:
    id = start(1, model="/no/such/model")
    until(jobs, ended(store, id))
    run = runs.load(store, id)
    assert run
    assert run.state == "failed"
    assert "no such folder" in run.detail


def test_a_process_that_does_not_listen_is_killed_after_the_grace(
    store: Store, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(store, store.folder / "runs", grace=0.5)
    id = start(120, tokens=32)
    until(jobs, lambda: kept(store, id) > 0)
    monkeypatch.setattr(jobs._launcher, "ask", lambda holder: None)
    process = runs.process(store, id)
    jobs.stop(id)
    until(jobs, ended(store, id))
    assert state(store, id) == "stopped"
    assert process
    assert not process.holder.alive()


def test_a_stop_is_asked_for_until_it_is_heard(
    store: Store, jobs: Jobs, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, answers = start(1), [False, True]
    with store.tx() as tx:
        runs.set_state(tx, id, "stopping", ["waiting"])
        runs.add_process(tx, id, Holder(2**30, 1.0), "")
    monkeypatch.setattr(jobs._launcher, "alive", lambda holder: True)
    monkeypatch.setattr(jobs._launcher, "ask", lambda holder: answers.pop(0))
    for _ in range(3):
        jobs.look()
    assert answers == []


def test_a_run_that_can_not_be_read_keeps_no_other_waiting(
    store: Store, jobs: Jobs, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = start(1), start(2)
    with store.tx() as tx:
        for id in (bad, good):
            runs.set_state(tx, id, "running", ["waiting"])
            runs.add_process(tx, id, Holder(2**30, 1.0), "")
    (jobs.of(bad) / "events.jsonl").mkdir()
    for _ in range(2):
        jobs.look()
    assert (state(store, bad), state(store, good)) == ("running", "lost")
    assert [record.args for record in caplog.records] == [(bad,)]


def test_a_run_that_stopped_by_itself_says_why(store: Store, jobs: Jobs, start: Start) -> None:
    id, why = start(1), {"status": "stopped", "reason": "the limit for servers is reached"}
    with store.tx() as tx:
        runs.set_state(tx, id, "running", ["waiting"])
        runs.add_process(tx, id, Holder(2**30, 1.0), "")
        runs.add_events(tx, id, [Event(1, 1, "finished", "2026-01-01T00:00:00+00:00", why)])
    jobs.look()
    run = runs.load(store, id)
    assert run
    assert (run.state, run.detail) == ("stopped", why["reason"])
    assert why["reason"] in run_view.detail(store, run, jobs.folder)


def test_one_that_fails_while_it_is_stopped_says_why(store: Store, jobs: Jobs, start: Start) -> None:
    id = start(1)
    with store.tx() as tx:
        runs.set_state(tx, id, "stopping", ["waiting"])
        runs.add_process(tx, id, Holder(2**30, 1.0), "")
        runs.add_events(tx, id, [Event(1, 1, "failed", "2026-01-01T00:00:00+00:00", {"error": "disk full"})])
    jobs.look()
    run = runs.load(store, id)
    assert run
    assert (run.state, run.detail) == ("failed", "disk full")


def test_one_that_had_to_be_killed_says_that_it_saved_nothing_more(
    store: Store, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, id, alive = Jobs(store, store.folder / "runs", grace=0), start(1), [True]
    with store.tx() as tx:
        runs.set_state(tx, id, "stopping", ["waiting"])
        runs.add_process(tx, id, Holder(2**30, 1.0), "")
    monkeypatch.setattr(jobs._launcher, "alive", lambda holder: alive[0])
    monkeypatch.setattr(jobs._launcher, "ask", lambda holder: False)
    monkeypatch.setattr(jobs._launcher, "kill", lambda holder: alive.insert(0, False))
    until(jobs, ended(store, id))
    run = runs.load(store, id)
    assert run
    assert run.state == "stopped"
    assert run.detail.startswith("It did not end in time and was killed: nothing is saved since the stop.")


def test_the_next_studio_takes_over_a_live_run(store: Store, jobs: Jobs, start: Start) -> None:
    id = start(60, tokens=32)
    until(jobs, lambda: kept(store, id) > 0)
    # As a kill between the start of a process and the note of it would leave the session.
    with store.tx() as tx:
        tx.query("INSERT INTO run_states (run, state, detail) VALUES (?, 'starting', '')", [id])
        tx.query("INSERT INTO run_processes (run, pid, started, device, after) VALUES (?, 1, 0, '', 0)", [id])
    fresh = Jobs(store, store.folder / "runs")
    fresh.start()
    deadline = time.monotonic() + 90
    while not ended(store, id)():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    fresh.close()
    assert state(store, id) == "done"
    assert whole(store, id, 60)
    assert len(store.query("SELECT 1 FROM run_states WHERE state = 'starting'")) == 2  # not started again


def test_a_run_whose_process_went_while_no_studio_looked_is_lost(
    store: Store, jobs: Jobs, start: Start
) -> None:
    id = start(120, tokens=32)
    until(jobs, lambda: kept(store, id) > 0)
    process = runs.process(store, id)
    assert process
    psutil.Process(process.holder.pid).kill()
    fresh = Jobs(store, store.folder / "runs")
    until(fresh, ended(store, id))
    run = runs.load(store, id)
    assert run
    assert run.state == "lost"
    assert "Resume" in run.detail


def test_a_deleted_run_takes_its_folder_but_not_its_chains(store: Store, jobs: Jobs, start: Start) -> None:
    id = start(2)
    jobs.look()
    assert not jobs.delete(id)  # it is at work
    assert jobs.of(id).is_dir()
    until(jobs, ended(store, id))
    assert jobs.delete(id)
    assert not jobs.of(id).exists()
    assert runs.listed(store) == []
    assert kept(store, id) == 2


def test_inputs_that_find_no_room_leave_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(prompts, "write", full)
    folder = store.folder / "runs"
    with pytest.raises(UserError, match="No space left"):
        batch.prepare_pairs(store, folder, [prompts.from_text("Hi")], Answering(), "", "ann")
    assert list(folder.iterdir()) == []


def test_a_constitution_that_no_critique_can_use_is_refused_before_the_queue(
    store: Store, tmp_path: Path
) -> None:
    mute = constitution.loads("name: mute\nprinciples:\n- id: a\n  title: A\n  comparison: Which?\n", "mute")
    with pytest.raises(UserError, match="no principle can be used"):
        batch.prepare_critique(store, tmp_path, [prompts.from_text("Hi")], mute, Drawing(), "", "ann")
    assert runs.listed(store) == []


def test_a_run_s_folder_is_below_the_runs_and_delete_takes_nothing_else(store: Store, jobs: Jobs) -> None:
    (store.folder / "mine").mkdir()
    run = NewRun(
        id="../mine",
        stage="critique",
        name="a",
        config={},
        constitution=None,
        constitution_name=None,
        total=1,
        author="",
    )
    with store.tx() as tx:
        runs.add(tx, run, "done")
    with pytest.raises(UserError, match="can't be the id of a run"):
        jobs.delete("../mine")
    assert (store.folder / "mine").is_dir()
    for id in ("", ".", "..", "/tmp", "a/b"):
        with pytest.raises(UserError, match="can't be the id of a run"):
            jobs.of(id)
