"""Many at once, and much of everything: nothing lost or swapped, and how long it takes and how much it holds.

`make soak` runs all of it at the sizes below. SOAK_SHARE=0.1 runs a tenth, on a machine that others use too.
The twenty tabs are twenty clients that send what a tab sends: on two cores twenty browsers would measure
themselves.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline import prompts
from pipeline.pairs import make_pair
from pipeline.records import Message, Pair, Source
from pipeline.training_configs import Supervised
from studio.components import audit_sides
from studio.components.header import header_html
from studio.components.run_view import run_list
from studio.components.training_charts import one_run, panels
from studio.jobs import launcher, training
from studio.jobs.training import Lessons
from studio.progress import progress
from studio.store import conversations, metrics, pairs, runs
from studio.store.database import Store
from studio.store.runs import Event, NewRun
from tests.studio.tabs import Chat, Tab

SHARE = float(os.environ.get("SOAK_SHARE", "1"))
TABS = 20
PAIRS = 400
SECONDS = 600 * SHARE
P95 = 0.3  # seconds, of a judgment, where the machine has nothing else to do
GROWN = 60 << 20  # bytes that the studio may hold more at the end than half way, when it is warm

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]


@contextmanager
def studio(home: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A studio of the session `load`, and its address."""
    command = [sys.executable, "-m", "studio", "--no-browser", "--port", "0", "--session", "load"]
    environment = {**os.environ, "CAI_HOME": str(home)}
    environment.pop("CAI_AUTH", None)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "the studio did not start"
            yield psutil.Process(process.pid), found[0]
        finally:
            process.terminate()
            process.wait(30)


def session(home: Path) -> Store:
    return Store.open(home / "sessions" / "load")


def test_twenty_tabs_judge_beside_two_chats_and_a_training_run(tmp_path: Path, tiny_model: Path) -> None:
    store = session(tmp_path)
    made = [question(n) for n in range(PAIRS)]
    with store.tx() as tx:
        pairs.add(tx, made, None)
    run = train(store, tiny_model)
    store.close()
    with studio(tmp_path) as (process, url), ending(tmp_path / "sessions" / "load" / "runs" / run):
        tabs = [Tab(url, f"ana-{n}") for n in range(TABS)]
        chats = [Chat(url, f"ben-{n}", tiny_model) for n in range(2)]
        ends = time.monotonic() + SECONDS

        def talk(chat: Chat) -> None:
            while time.monotonic() < ends:
                chat.say()
                time.sleep(1)

        def work(tab: Tab) -> None:
            tab.arrive()
            while time.monotonic() < ends and tab.judge():
                tab.look()
                time.sleep(tab.draw.uniform(0, 2))

        threads = [threading.Thread(target=work, args=(tab,)) for tab in tabs]
        threads += [threading.Thread(target=talk, args=(chat,)) for chat in chats]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS / 2)
        held, files = process.memory_info().rss, process.num_fds()
        worked, halfway = sum(process.cpu_times()[:2]), sum(len(tab.took) for tab in tabs)
        for thread in threads:
            thread.join()
        grown, opened = process.memory_info().rss - held, process.num_fds() - files
        worked = sum(process.cpu_times()[:2]) - worked
    store = session(tmp_path)
    try:
        rows = store.query("SELECT annotator, pair, choice FROM judgments WHERE annotator_kind = 'person'")
        answers = {id: many for chat in chats for id, many in chat.answers.items()}
        talks = {id: conversations.load(store, id) for id in answers}
        steps = len(metrics.curves(store, [run])[run]["loss"].steps)
    finally:
        store.close()
    pair = {one.id: one for one in made}
    expected = {
        (tab.who, id, audit_sides.shown(pair[id], tab.who).turned(letter))  # type: ignore[arg-type]
        for tab in tabs
        for id, letter in tab.said.items()
    }
    took = sorted(second for tab in tabs for second in tab.took)
    p95 = took[int(len(took) * 0.95)]
    tell(f"{len(took)} judgments of {TABS} tabs in {SECONDS:.0f} s; p95 {p95 * 1000:.0f} ms")
    # Whatever else the machine does; the header's look, which each tab takes every four seconds, is in it.
    tell(f"{worked / max(1, len(took) - halfway) * 1000:.0f} ms of the processor for each")
    tell(f"beside {sum(answers.values())} answers in chats, and {steps} steps of training")
    tell(f"memory grew by {grown / 1e6:.1f} MB, open files by {opened}")
    assert len(rows) == len(set(rows)) == len(expected)  # none lost, none doubled
    assert set(rows) == expected  # none swapped
    assert all(talk and len(talk.shown) == 2 * answers[id] for id, talk in talks.items())
    assert min(chat.pictures for chat in chats) > 0
    assert steps > 0
    assert grown < GROWN
    assert opened <= TABS
    assert p95 < P95 or SHARE < 1


def test_a_thousand_runs_in_a_session(tmp_path: Path) -> None:
    store = session(tmp_path)
    with store.tx() as tx:
        for n in range(1000):
            run = new_run(f"00000000-0000-7000-8000-{n:012}", "critique", f"run {n}")
            runs.add(tx, run, "done")
            runs.add_events(tx, run.id, [Event(1, 1, "finished", "2026-01-01T00:00:00.000", {"done": 9})])
    every = runs.listed(store)
    tell(f"the list of 1,000 runs is {len(run_list(every, store, '')) / 1e3:.0f} kB")
    assert timed("the list of 1,000 runs", lambda: run_list(runs.listed(store), store, "")) < 1
    header = timed("the header's tick", lambda: header_html("load", "", "Runs", progress(store)))
    store.close()
    assert header < 0.3


def test_a_run_of_ten_thousand_steps_is_drawn(tmp_path: Path) -> None:
    store = session(tmp_path)
    figures = dict.fromkeys(("loss", "reward", "kl", "judge", "entropy", "grad_norm", "learning_rate"), 0.5)
    events = [
        Event(n, 1, "metric", "2026-01-01T00:00:00.000", {"step": n, "values": {**figures, "loss": 1 / n}})
        for n in range(1, 10_001)
    ]
    with store.tx() as tx:
        runs.add(tx, new_run("r", "rl", "long"), "running")
        metrics.add(tx, "r", events)

    def draw() -> str:
        curves = metrics.curves(store, ["r"])["r"]
        figure = one_run(curves, panels(list(curves))[0])
        assert figure is not None
        return str(figure.to_json())

    sent = len(draw())
    took = timed("the curves of 10,000 steps", draw)
    tell(f"which are {sent / 1e6:.1f} MB")
    store.close()
    assert took < 2


def test_fifty_thousand_prompts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Question {n}?"}) + "\n" for n in range(50_000)))
    assert len(prompts.read(path).prompts) == 50_000
    assert timed("a file of 50,000 prompts", lambda: prompts.read(path)) < 30


def train(store: Store, model: Path) -> str:
    """A run of training that the studio will start, and that lasts longer than the test."""
    said = [{"role": "user", "content": "Say e"}, {"role": "assistant", "content": "e e e"}]
    demos = store.folder / "demos.jsonl"
    demos.write_text((json.dumps({"messages": said}) + "\n") * 10)
    config = Supervised(model=str(model), steps=1_000_000, batch=2, at_once=2, save_every=1_000)
    return training.prepare_sft(store, store.folder / "runs", Lessons(demos=demos), config, {}, "ann")


@contextmanager
def ending(run: Path) -> Iterator[None]:
    """A run outlives its studio by design, so that somebody has to end it."""
    try:
        yield
    finally:
        if worker := launcher.find(run):
            os.kill(worker.pid, signal.SIGKILL)


def question(n: int) -> Pair:
    asked, said = (Message("user", f"Question {n}?"),), Source("m")
    return make_pair(f"q{n}", asked, f"Yes {n}.", f"No {n}.", said, said, "red_team")


def new_run(id: str, stage: str, name: str) -> NewRun:
    of = {"config": {}, "constitution": None, "constitution_name": None, "total": 9, "author": "ana"}
    return NewRun(id=id, stage=stage, name=name, **of)  # type: ignore[arg-type]


def timed(what: str, work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    tell(f"{what}: {took * 1000:.0f} ms")
    return took


def tell(what: str) -> None:
    print(what)  # noqa: T201
