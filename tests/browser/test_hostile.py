"""Hostile text in every place that holds text, on every page: shown, and never run, loaded or obeyed.

The session is that of seeding_hostile.py. The page fixture notes each request to another host, each error in
the console (which is where a browser tells of a policy's violation) and each uncaught one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

CHAIN = "00000000-0000-7000-8000-000000000001"
RUN = "00000000-0000-7000-9000-000000000001"
RL = "00000000-0000-7000-9000-000000000105"
TALK = "00000000-0000-7000-a000-000000000001"
SLOW = 120_000  # ms
# Each page with a word that is there once its texts are: of the session, or of the page itself.
PAGES = {
    "/": "14 chains",
    "/constitution?name=harmless": "harm-to-others",
    f"/chains?chain={CHAIN}": "It should say so",
    f"/runs?run={RUN}": "seeded & <b>run</b>",
    "/reading": "crime in most places",
    "/labels": "choice by bundled",
    "/audit": "Which response is more harmless?",
    "/agreement": "Agreement with",
    f"/training?run={RL}": "Asked.",
    f"/checkpoints?checkpoint={RL}": "RL-CAI, β 0.05",
    f"/chat?conversation={TALK}": "how can I light a fire",
    "/arena": "Arena",
    "/elo": "ratings",
    "/sessions": "test",
    "/glossary": "red-team",
}

# What a browser makes of a payload only where it takes one for HTML.
MADE = """() => [...document.querySelectorAll(
    '[onerror], [ontoggle], svg[onload], iframe, object, embed, math, base[href*=beacon], '
    + 'meta[http-equiv=refresh], [href^="http://beacon"], [src^="http://beacon"], [action^="http://beacon"], '
    + '[href^="javascript:"], [style*="position:fixed;inset:0"]'
)].map(found => found.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose session holds nothing but hostile text."""
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding_hostile.py")
    subprocess.run([sys.executable, str(script), str(home / "sessions" / "test")], check=True)
    return home


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_made_of_a_text_but_text(page: Page, path: str) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(path)
    expect(page.get_by_text(PAGES[path]).first).to_be_attached(timeout=SLOW)
    page.wait_for_timeout(2_000)  # what follows of that
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    for spot in page.locator(".js-plotly-plot .points path:visible").all()[:8]:  # labels that hovering shows
        spot.hover(force=True)
    page.wait_for_timeout(500)
    assert not page.evaluate("window.owned")
    assert page.evaluate(MADE) == []


def test_the_matchups_behind_a_rating_are_text_too(page: Page) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/elo")
    page.locator("#elo-ratings [data-open]").first.click(timeout=SLOW)
    expect(page.locator(".cai-drawer")).to_contain_text("p(a) = ", timeout=SLOW)
    assert not page.evaluate("window.owned")
    assert page.evaluate(MADE) == []
