"""Sessions by hand: make, open, back up, restore, rename, export and import them, with the data in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

MOVE = 20_000  # ms, for a session to close and another to open, on a busy machine
WHILE_MOVING = re.compile(r"Connection errored out|Failed to load resource|AbortError")
LOOKS = [{"scheme": scheme, "width": width} for scheme in ("light", "dark") for width in (1280, 1920)]


@pytest.fixture(autouse=True)
def moved(problems: list[str], page: Page) -> Iterator[None]:
    """While one session closes and the next opens, what the page asks of the studio may fail."""
    yield
    problems[:] = [problem for problem in problems if not WHILE_MOVING.search(problem)]


def in_header(page: Page, name: str) -> None:
    """The studio has that session open, and the page is ready."""
    expect(page.locator(".cai-session b")).to_have_text(name, timeout=MOVE)
    expect(page.locator("#chosen")).to_contain_text(name)


def go_to(page: Page) -> str:
    """The sessions page; returns the name of the open session."""
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto("/")
    page.get_by_role("link", name=re.compile("^session")).click()
    expect(page.locator("#chosen")).to_contain_text("open here")
    return page.locator(".cai-session b").inner_text()


def create(page: Page, name: str) -> None:
    page.get_by_label("New session").fill(name)
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#chosen")).to_contain_text(name)


def open_(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    expect(page.locator("#chosen")).to_contain_text(name)
    page.get_by_role("button", name="Open", exact=True).click()
    in_header(page, name)


def run_a_chain(page: Page) -> None:
    page.goto("/chains")
    page.get_by_role("button", name="Show it").click()
    page.locator("#prompt textarea").fill("Why is the sky blue?")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#chains")).to_contain_text("Why is the sky blue?")


@pytest.mark.parametrize("page", LOOKS, indirect=True)
def test_light_and_dark_narrow_and_wide(page: Page, shot: Callable[[str], None]) -> None:
    go_to(page)
    page.wait_for_function("document.fonts.status === 'loaded'")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator("header [aria-current=page]")).to_have_count(1)
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    width = page.viewport_size["width"] if page.viewport_size else 0
    shot(f"sessions-{'dark' if dark else 'light'}-{width}")


def test_a_session_is_made_opened_and_left_again(page: Page) -> None:
    first = go_to(page)
    create(page, "second")
    other = page.context.new_page()
    other.goto("/chains")
    expect(other.locator(".cai-session b")).to_have_text(first)
    open_(page, "second")
    # The tab that looks at the session of before comes along by itself.
    expect(other.locator(".cai-session b")).to_have_text("second")
    expect(other).to_have_title("Chains · second · CAI Studio", timeout=MOVE)
    other.close()
    open_(page, first)
    expect(page.get_by_role("row", name="second")).to_contain_text("3 versions")


def test_what_was_typed_while_a_session_was_left_is_no_draft_of_the_next(page: Page) -> None:
    first = go_to(page)
    create(page, "third")
    other = page.context.new_page()
    other.goto("/constitution?name=minimal")
    title = other.locator(".cai-pc").first.get_by_label("Title", exact=True)
    other.locator(".cai-pc-toggle").first.click()
    other.route("**/component_server**", lambda route: route.abort())
    title.fill("Typed in the first")
    expect(other.locator(".cai-kept")).to_contain_text("does not answer")
    open_(page, "third")
    expect(other).to_have_title("Constitution · third · CAI Studio", timeout=MOVE)
    other.unroute("**/component_server**")
    other.goto("/constitution?name=minimal")
    expect(other.locator(".cai-draft-what")).to_contain_text("saved version")
    expect(other.locator(".cai-pc-title")).not_to_have_text("Typed in the first")
    expect(other.locator(".cai-draft-what")).not_to_contain_text("not saved")
    open_(page, first)
    expect(other).to_have_title(f"Constitution · {first} · CAI Studio", timeout=MOVE)
    other.goto("/constitution?name=minimal")
    expect(other.locator(".cai-pc-title")).to_have_text("Typed in the first")
    other.close()


def test_declined_is_nothing_done(page: Page) -> None:
    page.goto("/sessions")
    expect(page.locator("#chosen")).to_contain_text("open here")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    name = page.locator(".cai-session b").inner_text()
    page.get_by_label("Name", exact=True).fill("not-this")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator("#problem")).to_be_empty()
    assert asked[0].startswith(f"Rename “{name}” to “not-this”? It is closed for a moment. Chains")
    page.wait_for_timeout(1000)
    page.reload()
    in_header(page, name)


def test_what_is_backed_up_can_be_put_back_and_what_was_exported_imported(page: Page, tmp_path: Path) -> None:
    go_to(page)
    create(page, "work")
    open_(page, "work")
    page.get_by_role("button", name="Back up now").click()
    expect(page.locator("#news")).to_contain_text("Backed up")
    run_a_chain(page)
    page.goto("/sessions")
    in_header(page, "work")
    expect(page.get_by_role("row", name="work")).to_contain_text("1 chain")

    page.get_by_role("button", name="Export to a file").click()
    with page.expect_download() as download:
        page.locator("#download").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "work.cai.zip"

    page.get_by_role("button", name="Restore").click()
    expect(page.locator("#news")).to_contain_text("Restored", timeout=MOVE)
    in_header(page, "work")
    expect(page.get_by_role("row", name="work")).to_contain_text("0 chains")

    page.get_by_label("Name", exact=True).fill("play")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator("#news")).to_contain_text("Renamed “work” to “play”", timeout=MOVE)
    in_header(page, "play")

    page.locator("#file input[type=file]").set_input_files(file)
    page.get_by_label("Name of the imported session").fill("copy")
    expect(page.locator("#file")).to_contain_text("work.cai")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator("#chosen")).to_contain_text("copy")
    open_(page, "copy")
    expect(page.get_by_role("row", name="copy")).to_contain_text("1 chain")
    page.goto("/chains")
    expect(page.locator("#chains")).to_contain_text("Why is the sky blue?")


def test_mistakes_are_told_in_the_page(page: Page, tmp_path: Path) -> None:
    name = go_to(page)
    page.get_by_label("New session").fill("../up")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("can't be the name of a session")
    page.get_by_label("New session").fill(name)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("is taken")
    page.reload()
    (tmp_path / "cats.zip").write_bytes(b"cats")
    page.locator("#file input[type=file]").set_input_files(tmp_path / "cats.zip")
    expect(page.locator("#file")).to_contain_text("cats")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("cats.zip is damaged, or no archive")
