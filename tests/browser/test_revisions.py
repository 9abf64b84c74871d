"""The Elo page's tab of revisions in a real browser: both figures drawn, exports that open, the form."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SLOW = 180_000  # ms: the first figure loads scipy and pandas


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose session `test` holds chains that two preference models have scored."""
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding_scores.py")
    subprocess.run([sys.executable, str(script), str(home / "sessions" / "test")], check=True)
    return home


@pytest.fixture
def opened(page: Page) -> Page:
    """The tab, past the notice."""
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/elo?view=revisions")
    expect(page.locator("#revisions .points path").first).to_be_visible(timeout=SLOW)
    return page


@pytest.mark.parametrize(
    "page",
    [{"scheme": scheme, "width": width} for scheme in ("light", "dark") for width in (1280, 1920)],
    indirect=True,
)
def test_both_figures_are_drawn_and_fit(
    opened: Page, shot: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    for name, points in (("revisions", 5), ("gains", 4)):
        # Three runs of chains by two preference models.
        expect(opened.locator(f"#{name} .points path")).to_have_count(3 * 2 * points)
        assert opened.locator(f"#{name} .js-line[style*='dasharray']").count() >= 2
    given = request.node.callspec.params["page"]
    shot(f"revisions-{given['scheme']}-{given['width']}")
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not opened.evaluate("document.querySelector('.gradio-container img[src=x]')")


def test_one_preference_model_can_be_chosen_and_its_table_saved(opened: Page) -> None:
    opened.locator("#revisions-pm input").click()
    opened.get_by_role("option", name="harmlessness PM").click()
    expect(opened.locator("#revisions .points path")).to_have_count(3 * 5, timeout=SLOW)
    with opened.expect_download() as file:
        opened.locator("#revisions-below [data-csv]").click()
    rows = list(csv.DictReader(file.value.path().read_text("utf-8").splitlines()))
    assert len(rows) == 3 * 5
    assert {row["scored_by"] for row in rows} == {"harmlessness PM × 800"}


def test_the_form_says_what_it_needs_and_shows_the_command(opened: Page) -> None:
    expect(opened.locator("#score-runs")).to_contain_text("1,200 of")
    opened.locator("#score-chains input").click()
    opened.get_by_role("option", name="80 prompts, at once").click()
    opened.keyboard.press("Escape")
    # The seeded model has a card and no weights.
    expect(opened.locator("#score-goes")).to_contain_text("PM × 800", timeout=SLOW)
    expect(opened.locator("#score-command")).to_contain_text("cai score --chains CHAINS --pm PM --run DIR")
