"""The studio: from the command to a page, its memory when nobody asks, and each page of a very large session.

python tests/benchmarks/bench_studio.py [LABELS] [MATCHUPS]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from bench_audit import fill_pairs
from bench_elo_page import fill as fill_matchups

from studio.app import PAGES
from studio.store.database import Store

PRINCIPLES = 16
QUIET = 1.0
"""Seconds without a request, after which a page is taken for whole."""
LABELS = """
INSERT INTO labels
    (pair, principle, method, model, constitution, seed, logit_ab, logit_ba, p_ab, p_ba, p_a, run)
SELECT id, 'principle-' || p, 'choice', 'bundled', '0123456789abcdef', 0, x, y, 1 / (1 + exp(-x)),
    1 / (1 + exp(-y)), 1 / (1 + exp(-(x + y) / 2)), 'run'
FROM (SELECT id, p, 4 * random() - 2 AS x, 4 * random() - 2 AS y FROM pairs, range($principles) t(p))
"""


def main(labels: int = 1_000_000, matchups: int = 1_000_000) -> None:
    """Print the seconds of each."""
    for name, value in (*starting().items(), *pages(labels, matchups).items()):
        print(f"{name:>24} {value:8.2f}", flush=True)  # noqa: T201


def starting() -> dict[str, float]:
    """Seconds until the command's page can be used, and megabytes that the idle process holds by itself."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as home, sync_playwright() as driver:
        browser = _chromium(driver)
        page = browser.new_page()
        began = time.perf_counter()
        with _studio(Path(home)) as (process, url):
            page.goto(url)
            page.get_by_role("heading").first.wait_for()
            page.wait_for_load_state("load")
            seconds = time.perf_counter() - began
            page.close()
            time.sleep(5)
            memory = psutil.Process(process.pid).memory_full_info().uss / 1e6
        browser.close()
    return {"start": seconds, "idle memory": memory}


def pages(labels: int = 1_000_000, matchups: int = 1_000_000) -> dict[str, float]:
    """Seconds of each page, from its address to the end of its last request; the scripts are there."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as home, sync_playwright() as driver:
        store = Store.open(Path(home) / "sessions" / "test")
        fill(store, labels, matchups)
        store.close()
        browser = _chromium(driver)
        with _studio(Path(home)) as (_, url):
            page = browser.new_page()
            components = page.request.get(f"{url}/config").json()["components"]
            timers = {one["id"] for one in components if one["type"] == "timer"}
            _visit(page, url, timers)  # the scripts that all pages share
            took = {one.title: _visit(page, f"{url}/{one.path}".rstrip("/"), timers) for one in PAGES}
        browser.close()
    return took


def fill(store: Store, labels: int, matchups: int) -> None:
    """Pairs under 16 principles each, up to 2,000 of them judged by a person, and matchups of ten models."""
    many = labels // PRINCIPLES
    fill_pairs(store, many, min(2000, many))
    with store.tx() as tx:
        tx.query(LABELS, {"principles": PRINCIPLES})
    fill_matchups(store, matchups, 10, 20_000)


def _visit(page: Any, url: str, timers: set[int]) -> float:
    """Seconds from the address to the end of the last request that is no timer's.

    A page's first tick may come within QUIET of the end of its loading, which it is no part of.
    """
    ended = began = time.perf_counter()

    def heard(request: Any) -> None:
        nonlocal ended
        if "/run/" not in request.url or request.post_data_json.get("trigger_id") not in timers:
            ended = time.perf_counter()

    page.on("requestfinished", heard)
    page.goto(url)
    while time.perf_counter() - ended < QUIET:
        page.wait_for_timeout(50)
    page.remove_listener("requestfinished", heard)
    return ended - began


def _chromium(driver: Any) -> Any:
    return driver.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"))


@contextmanager
def _studio(home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {**os.environ, "CAI_HOME": str(home)}
    command = [sys.executable, "-m", "studio", "--no-browser", "--port", "0", "--session", "test"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as studio:
        assert studio.stdout is not None
        found = re.search(r"http://\S+", studio.stdout.readline())
        if not found:
            raise RuntimeError("the studio did not start")
        try:
            yield studio, found[0]
        finally:
            studio.terminate()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
