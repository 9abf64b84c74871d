"""200 real prompts in one batch, while the tab closes, the studio is killed and so is the worker.

`make soak`: a quarter of an hour on two cores that do nothing else. The model is the bundled one, and nothing
is scripted.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.records import as_json
from pipeline.rundir import read_rows
from studio.jobs import launcher
from studio.store import chains
from studio.store.chains import ChainFilter
from studio.store.database import Store

PROMPTS = 200
LONG = 2 * 60 * 60  # seconds that all of it may take, on a machine that others use too

pytestmark = [
    pytest.mark.browser,
    pytest.mark.model,
    pytest.mark.soak,
    pytest.mark.timeout(LONG),
    pytest.mark.usefixtures("bundled_folder"),
]


def test_no_chain_is_lost_doubled_or_redone(browser: Browser, tmp_path: Path, asked: Path) -> None:
    began = time.monotonic()
    with studio(tmp_path) as (first, url):
        page = opened(browser, f"{url}/runs")
        start(page, asked)
        id = page.url.partition("run=")[2]
        run = tmp_path / "sessions" / "soak" / "runs" / id
        part = run / "outputs" / "chains.jsonl.part"
        page.close()
        tell(began, "the tab is closed; the batch goes on")
        wait(lambda: len(whole(part)) >= PROMPTS // 5)
        first.kill()
    before = whole(part)
    tell(began, f"the studio was killed at {len(before)} chains")
    wait(lambda: len(whole(part)) > len(before))  # with no studio at all

    with studio(tmp_path) as (second, url):
        wait(lambda: len(whole(part)) >= PROMPTS // 2)
        worker = launcher.find(run)
        assert worker, "the run's process is gone"
        os.kill(worker.pid, signal.SIGKILL)
        kept = whole(part)
        tell(began, f"the worker was killed at {len(kept)} chains")
        page = opened(browser, f"{url}/runs?run={id}")
        state = page.locator("#run .cai-status")
        expect(state).to_have_text("lost", timeout=60_000)
        expect(page.locator("#run")).to_contain_text(f"{len(kept)} of {PROMPTS}")
        page.get_by_role("button", name="Resume", exact=True).click()
        expect(state).to_have_text("finished", timeout=LONG * 1000)
        expect(page.locator("#run")).to_contain_text(f"{PROMPTS} of {PROMPTS}")
        page.close()
        second.terminate()
        second.wait(timeout=30)
    tell(began, "finished")
    assert_whole(run, before, kept)


def assert_whole(run: Path, before: dict[str, dict[str, Any]], kept: dict[str, dict[str, Any]]) -> None:
    """Every prompt has its one chain, and what was on the disk at the two kills is as it was."""
    rows = {row["id"]: row for row in read_rows(run / "outputs" / "chains.jsonl")}
    written = (run / "outputs" / "chains.jsonl").read_bytes().count(b"\n")
    assert len(rows) == written == PROMPTS  # none lost, none doubled
    assert len({row["prompt_id"] for row in rows.values()}) == PROMPTS
    # None redone: down to the seconds that each step took.
    assert [rows[id] for id in before] == list(before.values())
    assert [rows[id] for id in kept] == list(kept.values())
    events = read_rows(run / "events.jsonl")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["done"] for event in events if event["kind"] == "started"] == [0, len(kept)]
    assert_stored(run.parents[1], run.name, rows)


def assert_stored(session: Path, run: str, rows: dict[str, dict[str, Any]]) -> None:
    """The session holds the very chains of the run, each once, with each of their steps once."""
    store = Store.open(session)
    try:
        finished = ChainFilter(run=run, status="finished")
        assert chains.count_chains(store, ChainFilter()) == chains.count_chains(store, finished) == PROMPTS
        assert sorted(store.query("SELECT id FROM chains")) == sorted((id,) for id in rows)
        steps = store.query("SELECT chain, position FROM steps")
        assert len(set(steps)) == len(steps) == sum(len(row["steps"]) for row in rows.values())
        for id, row in rows.items():
            chain = chains.load_chain(store, id)
            assert chain
            assert [as_json(step) for step in chain.steps] == row["steps"]
    finally:
        store.close()


@pytest.fixture(autouse=True)
def nobody_left_at_work(tmp_path: Path) -> Iterator[None]:
    """A run outlives its studio by design, so a test that fails has to end it."""
    yield
    for run in (tmp_path / "sessions" / "soak" / "runs").glob("*"):
        if worker := launcher.find(run):
            os.kill(worker.pid, signal.SIGKILL)


@pytest.fixture
def asked(shared_data: Path, tmp_path: Path) -> Path:
    """hh-rlhf transcripts, each cut after its first prompt and answer, one for each of 200 prompts."""
    found: dict[str, str] = {}
    for source in sorted(shared_data.glob("hh-harmless-*.jsonl.gz")):
        with gzip.open(source, "rt", encoding="utf-8") as file:
            for line in file:
                turns = re.split(r"(?=\n\n(?:Human|Assistant):)", json.loads(line)["chosen"])
                found.setdefault(turns[1].strip(), "".join(turns[1:3]))
    path = tmp_path / "hh-first-200.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"chosen": text}) + "\n" for text in islice(found.values(), PROMPTS))
    return path


@contextmanager
def studio(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A studio of the session `soak`, and its address."""
    command = [sys.executable, "-m", "studio", "--no-browser", "--port", "0", "--session", "soak"]
    environment = {**os.environ, "CAI_HOME": str(home)}
    environment.pop("CAI_AUTH", None)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, "the studio did not start"
            yield process, found[0]
        finally:
            process.kill()


def opened(browser: Browser, url: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(60_000)
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(url)
    expect(page.locator("#constitution input")).to_have_value(re.compile("newest"), timeout=60_000)
    return page


def start(page: Page, file: Path) -> None:
    page.locator("#prompt-file input[type=file]").set_input_files(file)
    expect(page.locator("#found")).to_contain_text(f"{PROMPTS} prompts found", timeout=60_000)
    page.get_by_label("Max tokens").fill("24")
    page.get_by_label("Revisions").fill("1")
    page.get_by_role("button", name="Start the batch").click()
    expect(page).to_have_url(re.compile(r"/runs\?run=[0-9a-f-]{36}$"), timeout=60_000)


def whole(part: Path) -> dict[str, dict[str, Any]]:
    """The chains that are on the disk, by id; a last line that is not whole yet is none."""
    lines = part.read_bytes().splitlines(keepends=True) if part.exists() else []
    return {row["id"]: row for row in (json.loads(line) for line in lines if line.endswith(b"\n"))}


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def tell(began: float, what: str) -> None:
    print(f"{time.monotonic() - began:6.0f} s  {what}")  # noqa: T201
