"""The rows of an archive are another's: none starts, stops or removes anything here, and all can be read."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.configs import Drawing
from pipeline.errors import UserError
from pipeline.events import FIELDS
from pipeline.records import as_json
from studio.context import Studio
from studio.jobs import recipes, stages
from studio.pages import overview
from studio.store import event_rows, runs
from studio.store.archive import export_session
from studio.store.database import Store
from studio.store.lock import Holder
from studio.store.runs import Event, NewRun, Run, State
from studio.store.unpacking import import_session


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Store]:
    """The session on the other machine, as whoever made the archive may have filled it."""
    store = Store.open(tmp_path / "theirs" / "alpha")
    yield store
    store.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


def put(store: Store, state: State, id: str = "r1", **config: Any) -> None:
    run = NewRun(
        id=id,
        stage="critique",
        name="a",
        config={**as_json(Drawing()), **config},
        constitution="c1",
        constitution_name="test",
        total=1,
        author="ann",
    )
    with store.tx() as tx:
        runs.add(tx, run, state)
        runs.put(tx, id)


def taken(store: Store, home: Path) -> Path:
    """The same session here: out as a file, and in again."""
    return import_session(export_session(store, home.parent / "a.cai.zip"), home)


def refused(store: Store, home: Path, match: str) -> None:
    with pytest.raises(UserError, match=match):
        taken(store, home)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("state", ["waiting", "starting", "running", "stopping"])
def test_nothing_begins_that_began_or_waited_elsewhere(theirs: Store, home: Path, state: State) -> None:
    put(theirs, state)
    studio = Studio.open(taken(theirs, home), "alpha")
    time.sleep(1.2)  # two rounds of its jobs
    run = runs.load(studio.store, "r1")
    studio.close()
    assert run
    assert (run.state, run.detail) == ("cancelled", "imported: Resume runs it here")
    assert not list(home.rglob("worker.log"))


def test_what_has_ended_stays_as_it_ended(theirs: Store, home: Path) -> None:
    put(theirs, "done")
    copy = Store.open(taken(theirs, home))
    run = runs.load(copy, "r1")
    copy.close()
    assert run
    assert run.state == "done"


def test_two_states_of_one_number_are_refused(theirs: Store, home: Path) -> None:
    """Which of them counts could change from one look to the next."""
    put(theirs, "done")
    with theirs.tx() as tx:
        tx.query(
            "INSERT INTO run_states (seq, run, state, detail) SELECT seq, run, 'waiting', '' FROM run_states"
        )
    refused(theirs, home, "run_states: a number occurs twice")


def test_no_process_is_taken_over(theirs: Store, home: Path) -> None:
    """A stop in the copy must not reach the original's worker, nor another process of that number."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as worker:
        put(theirs, "stopping")
        with theirs.tx() as tx:
            runs.add_process(tx, "r1", Holder.of(worker.pid), "")
        studio = Studio.open(taken(theirs, home), "alpha")
        time.sleep(1.2)
        studio.close()
        assert runs.process(theirs, "r1")
        assert worker.poll() is None
        assert psutil.Process(worker.pid).is_running()
        worker.kill()
    copy = Store.open(home / "alpha")
    assert runs.process(copy, "r1") is None
    copy.close()


def test_a_tour_goes_on_here_with_one_resume(theirs: Store, home: Path) -> None:
    recipes.enqueue(theirs, theirs.folder / "runs", "tour-quick", "ann")
    studio = Studio.open(taken(theirs, home), "alpha")
    studio.jobs.close()
    overview.resume_tour(studio)
    tour = overview.newest(studio)
    studio.close()
    assert tour
    assert {run.state for run in tour.runs} == {"waiting"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"name": "/tmp/mine.yaml"}, "no recipe of this studio"),
        ({"step": "dream"}, "no recipe of this studio"),
        ({"options": {"prompts": "/etc/passwd", "model": "http://evil/v1#m"}}, "not as this studio has it"),
    ],
)
def test_a_recipe_s_run_has_the_words_of_the_shipped_one_or_none(
    theirs: Store, change: dict[str, Any], why: str
) -> None:
    recipes.enqueue(theirs, theirs.folder / "runs", "tour-quick", "ann")
    run = recipes.queued(theirs)[0].runs[0]
    assert stages.words(run, theirs.folder)
    changed = {**run.config, "recipe": {**run.config["recipe"], **change}}
    with pytest.raises(UserError, match=why):
        stages.words(replace(run, config=changed), theirs.folder)


def first_of_a_tour(store: Store) -> Run:
    recipes.enqueue(store, store.folder / "runs", "tour-quick", "ann")
    return recipes.queued(store)[0].runs[0]


def with_options(run: Run, /, **change: Any) -> Run:
    known = run.config["recipe"]
    options = {name: value for name, value in {**known["options"], **change}.items() if value is not None}
    return replace(run, config={**run.config, "recipe": {**known, "options": options}})


def test_a_tour_of_before_its_recipe_was_edited_goes_on_with_its_own_numbers(theirs: Store) -> None:
    run = first_of_a_tour(theirs)
    words = stages.words(with_options(run, top_p=1.0, revisions=None, critiques=False), theirs.folder)
    assert words[words.index("--top-p") + 1] == "1.0"
    assert words[words.index("--critiques") + 1] == "false"
    assert "--revisions" not in words


@pytest.mark.parametrize(
    "change",
    [
        *({"prompts": "/etc/passwd"}, {"model": "http://evil/v1#m"}, {"critic": "http://evil/v1#m"}),
        *({"run": 5}, {"top_p": [1.0, "--run", "/x"]}, {"form": "other"}, {"prompts": None}),
    ],
)
def test_nothing_else_of_a_recipe_s_run_is_its_own(theirs: Store, change: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        stages.words(with_options(first_of_a_tour(theirs), **change), theirs.folder)


def test_no_value_of_a_setting_is_taken_for_an_option(theirs: Store) -> None:
    with pytest.raises(UserError, match="models: '--prompts=/etc/passwd' looks like an option"):
        stages._option("models", ["a", "--prompts=/etc/passwd"])


@pytest.mark.parametrize("id", ["..", "../../up", "/tmp/mine", "", "a/b", ".hidden", "nul"])
def test_an_id_that_leads_elsewhere_is_refused(theirs: Store, home: Path, id: str) -> None:
    put(theirs, "done", id)
    refused(theirs, home, "can't be the id of a run")


def test_a_run_that_is_there_twice_is_refused(theirs: Store, home: Path) -> None:
    put(theirs, "done")
    put(theirs, "done")
    refused(theirs, home, "two runs")


def test_a_run_that_was_imported_twice_at_once_comes_once(theirs: Store, home: Path) -> None:
    put(theirs, "done")
    put(theirs, "done")
    with theirs.tx() as tx:
        tx.query("UPDATE runs SET origin = 'imported', content = 'c'")
    store = Store.open(taken(theirs, home))
    assert store.query("SELECT id FROM runs") == [("r1",)]
    store.close()
    with theirs.tx() as tx:
        tx.query("UPDATE runs SET config = replace(config, '}', ' }') WHERE seq = 1")
    with pytest.raises(UserError, match="two runs"):
        import_session(export_session(theirs, home.parent / "a.cai.zip"), home, "other")


def test_rows_of_a_run_that_leads_elsewhere_are_refused(theirs: Store, home: Path) -> None:
    with theirs.tx() as tx:
        runs.add_events(tx, "../up", [Event(1, 1, "started", "t", {})])
    refused(theirs, home, "can't be the id of a run")


@pytest.mark.parametrize(
    "config",
    ["[]", "{", '{"recipe": 1}', json.dumps({"recipe": {"of": "o", "name": "tour", "after": "", "step": "sl",
     "says": "", "options": {}, "places": {"sl": "../up"}}})],
)  # fmt: skip
def test_a_config_that_is_none_is_refused(theirs: Store, home: Path, config: str) -> None:
    put(theirs, "done")
    with theirs.tx() as tx:
        tx.query("UPDATE runs SET config = ?", [config])
    refused(theirs, home, r"runs\.jsonl line 1: config")


def fill(store: Store, table: str, **given: Any) -> None:
    """A row of a table with these values, and something in each other column that may not be empty."""
    columns = store.query(
        "SELECT column_name, data_type FROM duckdb_columns() "
        "WHERE table_name = ? AND NOT is_nullable AND column_default IS NULL",
        [table],
    )
    values = {name: {"VARCHAR": "a", "BOOLEAN": False}.get(kind, 1) for name, kind in columns} | given
    marks = ", ".join("?" for _ in values)
    with store.tx() as tx:
        tx.query(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))  # noqa: S608


@pytest.mark.parametrize(
    ("table", "column", "more"),
    [
        ("constitution_versions", "body", {}),
        ("drafts", "body", {}),
        ("chains", "messages", {}),
        ("turns", "chatting", {"role": "user"}),
        ("matchup_prompts", "messages", {}),
    ],
)
@pytest.mark.parametrize("body", ["[1]", "{", "7"])
def test_what_no_page_could_read_is_refused(
    theirs: Store, home: Path, table: str, column: str, more: dict[str, str], body: str
) -> None:
    fill(theirs, table, **{column: body}, **more)
    refused(theirs, home, rf"{table}\.jsonl line 1: {column}: ")


def test_an_event_that_is_none_stays_behind_as_where_it_is_read(theirs: Store, home: Path) -> None:
    put(theirs, "done")
    for seq, data in enumerate(('{"done": 1}', '{"done": "<b>"}', "{", "[]", '{"ratings": [{}]}'), 1):
        fill(theirs, "run_events", run="r1", seq=seq, kind="progress", data=data)
    copy = Store.open(taken(theirs, home))
    assert copy.query("SELECT seq, data FROM run_events") == [(1, '{"done": 1}')]
    copy.close()


def test_what_an_event_computes_with_is_no_name_for_a_set_of_pairs_to_measure_on() -> None:
    assert {*event_rows.COUNTS, *event_rows.MEASURES, *event_rows.WORDS} <= FIELDS
