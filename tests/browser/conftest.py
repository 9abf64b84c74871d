"""A real studio in a process of its own, and a real Chromium that tattles."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# A test waits as long as it must and no longer, so patience costs nothing where the machine is fast; on a
# busy one the 5 s that expect() would give are less than the page needs. How fast it is, benchmarks measure.
PATIENCE = 30_000  # ms
expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser on a busy machine can miss a deadline: once more, and the report says so (R).

    Not the long ones: their deadlines are long too, and what fails there once is a finding.
    """
    for item in items:
        if item.get_closest_marker("browser") and not item.get_closest_marker("soak"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The studio's home, empty; a module that wants more in it has a fixture of this name."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def studio_url(studio_home: Path) -> Iterator[str]:
    """The address of a studio with the session `test`, shared by a module's tests."""
    environment = {**os.environ, "CAI_HOME": str(studio_home)}
    environment.pop("CAI_AUTH", None)
    command = [sys.executable, "-m", "studio", "--no-browser", "--port", "0", "--session", "test"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as studio:
        try:
            assert studio.stdout is not None
            found = re.search(r"http://\S+", studio.stdout.readline())  # said once it answers
            assert found, "the studio did not start"
            yield found[0]
        finally:
            studio.terminate()
            try:
                studio.wait(timeout=15)
            except subprocess.TimeoutExpired:
                studio.kill()


# Not for the whole session: while Playwright runs, no other test of this thread could use asyncio.run.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium; without one the test is skipped, or fails where REQUIRE_BROWSER is set."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        reason = f"none of {', '.join(BROWSERS)} is installed"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found)
        yield browser
        browser.close()


@pytest.fixture
def problems() -> list[str]:
    """What the page did that it should not have. A test may take out what it provoked itself."""
    return []


def _watch(page: Page, host: str, problems: list[str]) -> None:
    """Note requests to other hosts, errors in the console (policy violations are there) and crashes."""

    def requested(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != host:
            problems.append(f"request to {url}")

    def said(kind: str, text: str) -> None:
        # A reload cuts the streams of the page, and Gradio's client says so here.
        cut = "AbortError" in text or "Connection errored out" in text
        if kind == "error" and not cut:
            problems.append(f"console: {text}")

    page.on("request", lambda request: requested(request.url))
    page.on("console", lambda message: said(message.type, message.text))
    page.on("pageerror", lambda error: problems.append(f"uncaught {error}"))
    page.on("crash", lambda _: problems.append("the page crashed"))


@pytest.fixture
def page(
    browser: Browser, studio_url: str, problems: list[str], request: pytest.FixtureRequest
) -> Iterator[Page]:
    """A fresh tab of 1280 × 800, light unless the test is given `scheme` or `width` by parameter."""
    given = getattr(request, "param", None) or {}
    scheme, width = given.get("scheme", "light"), given.get("width", 1280)
    context = browser.new_context(
        base_url=studio_url,
        color_scheme=scheme,
        reduced_motion="reduce",
        viewport={"width": width, "height": {1920: 1080}.get(width, 800)},
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    _watch(page, urlsplit(studio_url).netloc, problems)
    yield page
    context.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def shot(page: Page) -> Callable[[str], None]:
    """Takes a named screenshot into the folder that SCREENSHOTS names; none where it names none."""

    def take(name: str) -> None:
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return take


@pytest.fixture(scope="session")
def faults() -> Callable[[Page], list[str]]:
    """What axe calls serious or critical on a page, a line for each element."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python is not installed")
    axe = Path(found.origin).with_name("axe.min.js").read_text("utf-8")  # MPL-2.0; nothing is fetched

    def look(page: Page) -> list[str]:
        page.evaluate(axe)
        # Gradio's own label of a plot that is not there yet is on a div without a role.
        looked_at = "{exclude: [['.empty[aria-label=\"Empty value\"]']]}"
        report: dict[str, Any] = page.evaluate(f"axe.run({looked_at}, {{resultTypes: ['violations']}})")
        return [
            f"{one['id']} ({one['impact']}): {node['html'][:200]}: {node['failureSummary'][:300]}"
            for one in report["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    return look
