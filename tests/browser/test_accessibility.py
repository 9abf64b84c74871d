"""axe-core on every page, filled and in both schemes: nothing that it calls serious or critical.

The Elo page, which other rows fill, is looked at in `test_elo.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
    "/arena",
    "/glossary",
    "/sessions",
]
FILLED_BY = [("seeding.py", "6"), ("seeding_agreement.py",), ("seeding_arena.py",)]


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose session has chains, labelled and judged pairs, checkpoints, chats and battles."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "sessions" / "test"
    for script, *words in FILLED_BY:
        subprocess.run([sys.executable, Path(__file__).with_name(script), folder, *words], check=True)
    return home


@pytest.mark.parametrize(
    "page", [{"scheme": "light"}, {"scheme": "dark"}], indirect=True, ids=["light", "dark"]
)
@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_no_serious_fault(page: Page, faults: Callable[[Page], list[str]], path: str) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=60_000)
    page.wait_for_timeout(1_500)  # what a page loads by itself comes after its frame
    found = faults(page)
    assert not found, "\n".join(found)
