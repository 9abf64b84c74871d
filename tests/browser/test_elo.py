"""The Elo page in a real browser: every plot drawn, a point opens its matchups, exports that open."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SLOW = 180_000  # ms: the first rating loads scipy and pandas
PLOTS = ("frontier", "evasive", "steps", "sizes", "wins-harmless", "wins-helpful", "judges")


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose session `test` holds checkpoints and their matchups."""
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding_elo.py")
    subprocess.run([sys.executable, str(script), str(home / "sessions" / "test"), "30"], check=True)
    return home


@pytest.fixture
def open_page(page: Page) -> Callable[..., Page]:
    """Open the page past the notice, with its figures drawn."""

    def open(query: str = "") -> Page:
        page.add_init_script("localStorage.setItem('cai-notice', 'read')")
        page.goto(f"/elo{query}")
        expect(page.locator("#frontier .points path, #elo-empty h2").first).to_be_visible(timeout=SLOW)
        return page

    return open


@pytest.mark.parametrize(
    "page",
    [
        {"scheme": scheme, "width": width}
        for scheme, width in (("light", 1280), ("dark", 1280), ("light", 1920), ("dark", 1920))
    ],
    indirect=True,
)
def test_every_plot_is_drawn_and_fits(
    open_page: Callable[..., Page], shot: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    page = open_page()
    for name in PLOTS:
        expect(page.locator(f"#{name} .main-svg").first).to_be_visible(timeout=SLOW)
        expect(page.locator(f"#{name} :is(.points path, .heatmaplayer image)").first).to_be_visible()
    given = request.node.callspec.params["page"]
    shot(f"elo-{given['scheme']}-{given['width']}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not page.evaluate("document.querySelector('.gradio-container img[src=x]')")


def test_a_click_on_a_point_opens_the_matchups_behind_it(
    open_page: Callable[..., Page], shot: Callable[[str], None]
) -> None:
    page = open_page()
    spot = page.locator("#frontier .points path").last
    spot.scroll_into_view_if_needed()
    box = spot.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    drawer = page.locator(".cai-drawer")
    expect(drawer).to_contain_text("bundled", timeout=SLOW)
    expect(drawer).to_contain_text("210 matchups, the newest 40 of them")
    expect(drawer).to_contain_text("<script>alert(3)</script>")
    expect(drawer).to_contain_text("p(a) = ")
    shot("elo-drawer")
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)


def test_a_cell_and_a_rating_open_theirs(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.locator("#wins-harmless-below summary").click()
    page.locator("#wins-harmless-below [data-open]").first.click()
    expect(page.locator(".cai-drawer")).to_contain_text("30 matchups.", timeout=SLOW)
    page.keyboard.press("Escape")
    page.locator("#elo-ratings [data-open]").first.click()
    expect(page.locator(".cai-drawer")).to_contain_text("210 matchups", timeout=SLOW)


def test_figures_are_saved_as_png_svg_and_csv(open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page()

    def saved(name: str, form: str) -> Path:
        button = page.locator(f"#{name}-below").get_by_role("button", name=re.compile(f"as {form}$"))
        with page.expect_download(timeout=SLOW) as download:
            button.click()
        assert download.value.suggested_filename == f"elo-{name}.{form.lower()}"
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        return path

    for name in ("frontier", "wins-harmless", "judges"):
        assert saved(name, "PNG").read_bytes().startswith(b"\x89PNG")
        svg = saved(name, "SVG").read_text("utf-8")
        assert svg.startswith("<svg")
        assert svg.rstrip().endswith("</svg>")
        assert "<img" not in svg
    rows = list(csv.DictReader(saved("frontier", "CSV").read_text("utf-8").splitlines()))
    assert len(rows) == 10
    assert {row["harmless_judge_kind"] for row in rows} == {"model"}


def test_filters_say_whose_ratings_are_drawn_and_are_in_the_address(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.get_by_label("Judges", exact=True).click()
    page.get_by_role("option", name="People").click()
    expect(page.locator("#frontier-below")).to_contain_text("arena (people)", timeout=SLOW)
    expect(page.locator("#elo-warnings")).to_contain_text("too few prompts")
    expect(page).to_have_url(re.compile("who=person"))
    page.get_by_label("From day").fill("soon")
    page.get_by_label("From day").press("Enter")
    expect(page.locator("#elo-problem")).to_contain_text("is no day: write it as 2026-01-31", timeout=SLOW)
    page = open_page("?since=2999-01-01")
    expect(page.locator("#elo-empty")).to_contain_text("No matchups match")


@pytest.mark.parametrize(
    "page", [{"scheme": "light"}, {"scheme": "dark"}], indirect=True, ids=["light", "dark"]
)
def test_the_page_has_no_serious_fault(
    open_page: Callable[..., Page], faults: Callable[[Page], list[str]]
) -> None:
    found = faults(open_page())
    assert not found, "\n".join(found)
