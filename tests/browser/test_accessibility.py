"""axe-core on every page, filled and in both schemes: nothing that it calls serious or critical."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

PATHS = [
    "/",
    "/constitution",
    "/chains",
    "/runs",
    "/reading",
    "/labels",
    "/audit",
    "/agreement",
    "/training",
    "/checkpoints",
    "/chat",
    "/sessions",
]
FILLED_BY = [("seeding.py", "6"), ("seeding_agreement.py",), ("seeding_chat.py",)]


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose session has chains, labelled and judged pairs, checkpoints and a conversation."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "sessions" / "test"
    for script, *words in FILLED_BY:
        subprocess.run([sys.executable, Path(__file__).with_name(script), folder, *words], check=True)
    return home


@pytest.fixture(scope="module")
def axe() -> str:
    """The text of axe.min.js (MPL-2.0), from a package: nothing is fetched."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python is not installed")
    return Path(found.origin).with_name("axe.min.js").read_text("utf-8")


def faults(page: Page, axe: str) -> list[str]:
    """What axe calls serious or critical on this page, a line for each element."""
    page.evaluate(axe)
    # Gradio's own label of a plot that is not there yet is on a div without a role.
    looked_at = "{exclude: [['.empty[aria-label=\"Empty value\"]']]}"
    found: dict[str, Any] = page.evaluate(f"axe.run({looked_at}, {{resultTypes: ['violations']}})")
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:200]}: {node['failureSummary'][:300]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(
    "page", [{"scheme": "light"}, {"scheme": "dark"}], indirect=True, ids=["light", "dark"]
)
@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_no_serious_fault(page: Page, axe: str, path: str) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=60_000)
    page.wait_for_timeout(1_500)  # what a page loads by itself comes after its frame
    found = faults(page, axe)
    assert not found, "\n".join(found)
