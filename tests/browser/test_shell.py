"""The shell in a real browser: every page loads, says where one is, and asks nobody else for anything."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

PAGES = [
    ("/", "Overview"),
    ("/constitution", "Constitution"),
    ("/chains", "Chains"),
    ("/runs", "Runs"),
    ("/reading", "Read"),
    ("/labels", "Labels"),
]
LOOKS = [{"scheme": scheme, "width": width} for scheme in ("light", "dark") for width in (1280, 1920)]


@pytest.mark.parametrize(("path", "title"), PAGES)
def test_a_page_has_its_title_and_marks_itself_in_the_header(page: Page, path: str, title: str) -> None:
    page.goto(path)
    expect(page).to_have_title(f"{title} · test · CAI Studio")
    here = page.locator("header [aria-current=page]")
    expect(here).to_have_count(1)
    expect(here).to_contain_text("CAI Studio" if path == "/" else title)
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.locator("header")).to_have_count(1)


def test_the_header_leads_round_the_loop(page: Page) -> None:
    page.goto("/")
    nav = page.get_by_role("navigation", name="The loop")
    for _, title in PAGES[1:]:
        nav.get_by_role("link", name=title).click()
        expect(page).to_have_title(re.compile(title))
    page.get_by_role("link", name="CAI Studio").click()
    expect(page).to_have_title(re.compile("Overview"))


def test_the_first_visit_teaches_and_leads_on(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("list", name="The loop, with what this session holds")).to_be_visible()
    start = page.get_by_role("region", name="Start here")
    expect(start).to_contain_text("Watch one chain")
    start.get_by_role("link", name="Watch a chain").click()
    expect(page).to_have_title(re.compile("Chains"))


def test_the_content_notice_is_shown_once(page: Page) -> None:
    page.goto("/chains")
    behind = page.locator(".cai-behind-notice").first
    expect(behind).to_be_hidden()
    page.get_by_role("button", name="Show it").click()
    expect(behind).to_be_visible()
    page.reload()
    expect(behind).to_be_visible()
    expect(page.get_by_role("button", name="Show it")).to_be_hidden()


def test_gradios_own_navigation_and_footer_are_gone(page: Page) -> None:
    page.goto("/")
    expect(page.locator("header.cai-header")).to_be_visible()
    expect(page.locator(".nav-holder")).to_be_hidden()
    expect(page.get_by_text("Built with Gradio")).to_have_count(0)


@pytest.mark.parametrize("page", LOOKS, indirect=True)
def test_light_and_dark_narrow_and_wide(page: Page, shot: Callable[[str], None]) -> None:
    for path, title in PAGES:  # in one tab, whose cache makes the later ones quick
        page.goto(path)
        expect(page.locator("header.cai-header")).to_be_visible()
        page.wait_for_function("document.fonts.status === 'loaded'")
        dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        # The words are light on dark or dark on light, whatever the shade.
        bright = "(colour) => colour.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0) / 765"
        text = page.evaluate(f"({bright})(getComputedStyle(document.querySelector('h1')).color)")
        ground = page.evaluate(f"({bright})(getComputedStyle(document.body).backgroundColor)")
        assert (text > 0.7 and ground < 0.3) if dark else (text < 0.3 and ground > 0.7), path
        # Nothing sticks out: no sideways scrolling.
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        width = page.viewport_size["width"] if page.viewport_size else 0
        shot(f"{title.lower()}-{'dark' if dark else 'light'}-{width}")


@pytest.mark.parametrize("page", [{"width": 700}], indirect=True)
def test_a_small_window_scrolls_down_only(page: Page) -> None:
    page.goto("/")
    expect(page.locator("header.cai-header")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_keyboard_reaches_every_link_of_the_header_and_shows_where_it_is(page: Page) -> None:
    page.goto("/constitution")
    links = page.locator("header a")
    expect(links.first).to_be_visible()
    for index in range(links.count()):
        page.keyboard.press("Tab")
        expect(links.nth(index)).to_be_focused()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_policy_stops_what_comes_from_elsewhere(page: Page, problems: list[str]) -> None:
    page.goto("/")
    expect(page.locator("header.cai-header")).to_be_visible()
    page.evaluate("fetch('https://example.invalid/').catch(() => {})")
    page.wait_for_timeout(300)
    refused = [problem for problem in problems if "Content Security Policy" in problem]
    assert refused
    problems.clear()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """The address of another server on this machine, with one page."""
    (tmp_path / "index.html").write_text("<p>hello</p>")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_page_of_another_origin_is_refused(
    page: Page, studio_url: str, elsewhere: str, problems: list[str]
) -> None:
    page.goto(f"{elsewhere}/index.html")
    with page.expect_navigation() as answered:
        page.evaluate(
            """url => {
                document.body.innerHTML = `<form method="post" action="${url}"></form>`;
                document.querySelector("form").submit();
            }""",
            f"{studio_url}/gradio_api/queue/join",
        )
    assert answered.value
    assert answered.value.status == 403
    problems.clear()  # this test is the other host
