"""Curves of training runs: one value a step, whatever was stopped, killed, resumed and read twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.records import as_json
from pipeline.training_configs import Supervised
from studio.components import training_results
from studio.jobs.ingest import EVENTS, ingest
from studio.store import metrics, runs
from studio.store.database import Store
from studio.store.runs import NewRun


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store.open(tmp_path_factory.mktemp("session"))
    yield opened
    opened.close()


def a_run(id: str) -> NewRun:
    return NewRun(
        id=id,
        stage="sft",
        name="a",
        config=as_json(Supervised()),
        constitution=None,
        constitution_name=None,
        total=9,
        author="ann",
    )


class Log:
    """A worker's events.jsonl."""

    def __init__(self, folder: Path) -> None:
        self.path, self.seq, self.attempt = folder / EVENTS, 0, 0

    def say(self, kind: str, **data: Any) -> None:
        self.seq += 1
        row = {"v": 1, "attempt": self.attempt, "seq": self.seq, "time": "t", "kind": kind, **data}
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def attempt_from(self, step: int, to: int) -> None:
        """Train from a checkpoint to a step; the loss says in which attempt it was."""
        self.attempt += 1
        self.say("started", stage="sft", total=99, done=step)
        for at in range(step + 1, to + 1):
            self.say("metric", step=at, values={"loss": self.attempt + at / 100})
            self.say("progress", done=at, total=99, eta_s=1.0)


def test_a_resume_hides_what_was_measured_past_its_checkpoint(store: Store, tmp_path: Path) -> None:
    run, log = a_run("resumed"), Log(tmp_path)
    log.attempt_from(0, 5)
    ingest(store, run, tmp_path)
    log.attempt_from(3, 3)  # it has loaded, and measured nothing yet
    ingest(store, run, tmp_path)
    assert metrics.curves(store, ["resumed"])["resumed"]["loss"].steps == (1, 2, 3)
    log.attempt_from(2, 6)  # an older checkpoint: the newest was broken
    ingest(store, run, tmp_path)
    loss = metrics.curves(store, ["resumed"])["resumed"]["loss"]
    assert loss == metrics.Curve((1, 2, 3, 4, 5, 6), (1.01, 1.02, 3.03, 3.04, 3.05, 3.06))
    assert runs.figures(store)["resumed"].total == 99


def test_an_attempt_that_never_loaded_hides_nothing(store: Store, tmp_path: Path) -> None:
    run, log = a_run("unloaded"), Log(tmp_path)
    log.attempt_from(0, 2)
    log.attempt += 1
    log.say("failed", error="no memory")
    ingest(store, run, tmp_path)
    assert metrics.curves(store, ["unloaded"])["unloaded"]["loss"].steps == (1, 2)


def test_what_is_no_number_is_a_gap_and_what_is_no_figure_is_left_out(store: Store, tmp_path: Path) -> None:
    run, log = a_run("odd"), Log(tmp_path)
    log.say("metric", step=1, values={"loss": None, "flag": True, "word": "x", "kl": 2})
    log.say("metric", step="two", values={"loss": 1.0})
    log.say("metric", step=2, values=[1])
    ingest(store, run, tmp_path)
    found = metrics.curves(store, ["odd"])["odd"]
    assert dict(found) == {"kl": metrics.Curve((1,), (2.0,)), "loss": metrics.Curve((1,), (None,))}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    attempts=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=5), n=st.data()
)
def test_any_attempts_read_in_any_pieces_make_one_curve(
    store: Store, tmp_path_factory: pytest.TempPathFactory, attempts: list[tuple[int, int]], n: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("run")
    log, reached, expected = Log(folder), 0, {}
    for back, more in attempts:
        begin = max(0, reached - back)
        reached = begin + more
        log.attempt_from(begin, reached)
        expected = {step: value for step, value in expected.items() if step <= begin}
        expected |= {step: log.attempt + step / 100 for step in range(begin + 1, reached + 1)}
    whole = log.path.read_bytes()
    run = a_run(folder.name + str(log.seq))
    for cut in [*sorted(n.draw(st.lists(st.integers(0, len(whole)), max_size=4))), len(whole)]:
        log.path.write_bytes(whole[:cut])
        ingest(store, run, folder)
        if n.draw(st.booleans()):  # an offset that was lost: all of it is read again
            with store.tx() as tx:
                runs.set_offset(tx, run.id, EVENTS, 0)
    found = metrics.curves(store, [run.id])[run.id].get("loss", metrics.Curve((), ()))
    assert dict(zip(found.steps, found.values, strict=True)) == pytest.approx(expected)
    assert list(found.steps) == sorted(set(found.steps))


def test_answers_to_fixed_prompts_stand_beside_those_of_the_start(store: Store, tmp_path: Path) -> None:
    run, log = a_run("asked"), Log(tmp_path)
    log.attempt_from(0, 0)
    for step, text in ((0, "before"), (4, "lost")):
        log.say("sample", step=step, fixed=1, prompt="<b>Q</b>", text=text)
        log.say("sample", step=step, prompt="not fixed", text="x")
    ingest(store, run, tmp_path)
    log.attempt_from(2, 2)  # the weights of step 4 are gone
    ingest(store, run, tmp_path)
    assert metrics.answers(store, "asked") == [metrics.Answer("<b>Q</b>", "before", 0, "before", 0)]
    log.say("sample", step=4, fixed=1, prompt="<b>Q</b>", text="after")
    log.say("sample", step="x", fixed=True, prompt="odd", text="odd")
    ingest(store, run, tmp_path)
    assert metrics.answers(store, "asked") == [metrics.Answer("<b>Q</b>", "before", 0, "after", 4)]
    assert "&lt;b&gt;Q" in training_results.answers_html(metrics.answers(store, "asked"))
