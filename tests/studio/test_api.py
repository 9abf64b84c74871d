"""The endpoints, called as a script calls them, on a studio that is really served."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
import uvicorn
from gradio_client import Client
from gradio_client.exceptions import AppError

from pipeline.pairs import make_pair
from pipeline.records import Judgment, Label, Message, Source
from studio.api import Api
from studio.app import build
from studio.auth import Accounts
from studio.context import Studio
from studio.jobs import recipes
from studio.serving import bind
from studio.store import constitutions, judgments, labels, pairs, runs
from studio.store.labels import Labeller

NAMES = {
    *("/list_runs", "/run_state", "/start_critique", "/stop_run", "/resume_run"),
    *("/list_labellers", "/agreement", "/list_checkpoints", "/elo_rows"),
}


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    opened = Studio.open(tmp_path / "session", "test")
    opened.jobs.close()  # nothing is started: what is prepared stays in the queue
    yield opened
    opened.close()


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an app, served until the end of the block."""
    sock = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def call(studio: Studio) -> Iterator[Callable[..., Any]]:
    """Call an endpoint: `call("run_state", id)`."""
    with served(build(studio)) as address:
        client = Client(address, verbose=False)
        yield lambda name, *given: client.predict(*given, api_name=f"/{name}")


def test_a_batch_is_started_watched_stopped_and_resumed(studio: Studio, call: Callable[..., Any]) -> None:
    id = call("start_critique", ["One?", "Two?"], "red-team:train:2", "minimal", "bundled", 1, 8, 3)
    [row] = call("list_runs")
    assert (row["id"], row["state"], row["total"], row["author"]) == (id, "waiting", 4, "local")
    assert call("stop_run", id)["state"] == "cancelled"
    assert call("resume_run", id)["state"] == "waiting"
    run = runs.load(studio.store, id)
    assert run
    assert (run.config["seed"], run.constitution_name) == (3, "minimal")


def test_a_mistake_comes_back_in_words(call: Callable[..., Any]) -> None:
    with pytest.raises(AppError, match="no run x"):
        call("run_state", "x")
    with pytest.raises(AppError, match="no prompts"):
        call("start_critique", [" "], "", "minimal", "bundled", 1, 8, 0)
    with pytest.raises(AppError, match="revisions: 99 is not between"):
        call("start_critique", ["?"], "", "minimal", "bundled", 99, 8, 0)
    with pytest.raises(AppError, match="names no labeller"):
        call("agreement", "x", "harmless", "person")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("asked", value) for value in ("Hello?", None, [1])),
        *(("revisions", value) for value in ("2", 1.5, True, None)),
        ("seed", "0"),
        ("model", 3),
    ],
)
def test_an_argument_of_another_type_is_told_and_starts_nothing(
    studio: Studio, name: str, value: Any
) -> None:
    given = {"asked": ["?"], "prompt_set": "", "constitution": "minimal", "model": "bundled"}
    given |= {"revisions": 1, "max_tokens": 8, "seed": 0, "request": gr.Request(username="ann")}
    with pytest.raises(gr.Error, match=f"{name}: must be a valid"):
        Api(studio).start_critique(**(given | {name: value}))
    assert not runs.listed(studio.store)


def test_a_labeller_an_axis_or_a_kind_that_is_none_is_told(studio: Studio) -> None:
    key = Labeller("m", "choice", "v1").key
    for given, told in (
        ((key, "harmlss", "person"), "axis: must be 'harmless' or 'helpful'"),
        ((key, "harmless", "persn"), "annotators: must be 'person'"),
        ((key, "harmless", "person"), "nobody of that name has labelled pairs here: list_labellers"),
    ):
        with pytest.raises(gr.Error, match=told):
            Api(studio).agreement(*given)


def test_a_prompt_set_is_a_shipped_one_and_no_file_of_the_machine(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("private")
    for name in (str(tmp_path / "notes.txt"), "written"):
        with pytest.raises(AppError, match="no shipped prompt set: name one of red-team"):
            call("start_critique", [], name, "minimal", "bundled", 1, 8, 0)


def test_labellers_and_how_far_they_agree(studio: Studio, call: Callable[..., Any]) -> None:
    [version, *_] = constitutions.versions(studio.store, "harmless")
    said, asked = Source("x"), (Message("user", "?"),)
    some = [make_pair(f"p{n}", asked, f"{n}", "no", said, said, "red_team") for n in range(4)]
    with studio.store.tx() as tx:
        pairs.add(tx, some, None)
        kept = [Label(p.id, "h", "choice", "m", version.version, 0, 1.0, 1.0, 0.7, 0.7, 0.7) for p in some]
        labels.add(tx, kept, "r")
    for pair, choice in zip(some, "aaab", strict=True):
        judgments.judge(studio.store, Judgment(pair.id, "harmless", "ann", "person", choice, blind=True))
    [row] = call("list_labellers")
    assert (row["key"], row["pairs"]) == (Labeller("m", "choice", version.version).key, 4)
    found = call("agreement", row["key"], "harmless", "person")
    assert (found["accuracy"]["value"], found["accuracy"]["n"], found["judgments"]) == (0.75, 4, 4)
    assert found["gate"]["state"] == "not shown yet"
    assert call("agreement", row["key"], "harmless", "imported")["accuracy"]["value"] is None


def test_checkpoints_and_ratings(studio: Studio, call: Callable[..., Any]) -> None:
    recipes.enqueue(studio.store, studio.jobs.folder, "tour-quick", "ann")
    [tour] = recipes.queued(studio.store)
    sl, harmless = studio.jobs.of(tour.runs[1].id), studio.jobs.of(tour.runs[8].id)
    (sl / "checkpoint").mkdir(parents=True)
    (sl / "checkpoint" / "checkpoint.json").write_text('{"method": "sft", "base": "bundled", "step": 3}')
    (harmless / "outputs").mkdir(parents=True)
    (harmless / "outputs" / "ratings.json").write_text(json.dumps([{"model": "bundled", "elo": 0.0}]))
    [checkpoint] = call("list_checkpoints")
    assert (checkpoint["run"], checkpoint["method"], checkpoint["step"]) == (tour.runs[1].id, "sft", 3)
    assert call("elo_rows") == [{"run": tour.runs[8].id, "model": "bundled", "elo": 0.0}]


def test_ratings_that_cannot_be_read_are_none(studio: Studio) -> None:
    recipes.enqueue(studio.store, studio.jobs.folder, "tour-quick", "ann")
    [tour] = recipes.queued(studio.store)
    ratings = studio.jobs.of(tour.runs[8].id) / "outputs" / "ratings.json"
    ratings.parent.mkdir(parents=True)
    for text in ("[{", "{}", "[1]"):
        ratings.write_text(text)
        assert Api(studio).elo_rows() == []


def test_these_are_all_the_endpoints_and_each_is_documented(studio: Studio) -> None:
    with served(build(studio)) as address:
        api = Client(address, verbose=False).view_api(return_format="dict")
    assert set(api["named_endpoints"]) == NAMES
    assert not api["unnamed_endpoints"]
    for endpoint in api["named_endpoints"].values():
        assert endpoint["description"]
        assert all(parameter["type"] for parameter in endpoint["parameters"])


def test_without_a_login_nothing_is_told(studio: Studio) -> None:
    with served(build(studio, Accounts({"ana": "open sesame"}))) as address:
        answer = httpx.post(f"{address}/gradio_api/call/list_runs", json={"data": []})
    assert answer.status_code == 401


def test_who_has_logged_in_is_known_by_name(studio: Studio) -> None:
    with served(build(studio, Accounts({"ana": "open sesame"}))) as address:
        form = {"username": "ana", "password": "open sesame", "next": "/"}
        answer = httpx.post(f"{address}/login", data=form, headers={"Origin": address})
        cookie = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
        client = Client(address, headers={"Cookie": cookie}, verbose=False)
        client.predict(["?"], "", "minimal", "bundled", 1, 8, 0, api_name="/start_critique")
    assert [run.author for run in runs.listed(studio.store)] == ["ana"]


def test_another_site_is_refused(studio: Studio) -> None:
    with served(build(studio)) as address:
        there = {"Origin": "http://evil.example"}
        answer = httpx.post(f"{address}/gradio_api/call/list_runs", json={"data": []}, headers=there)
    assert answer.status_code == 403
