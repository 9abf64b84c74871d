"""The Labels page with the real bundled model in a real browser: pairs in, pairs sampled, pairs labelled."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.model,
    pytest.mark.usefixtures("bundled_folder"),
    pytest.mark.timeout(400),
]

SLOW = 180_000  # ms: a run loads its model
BAD = "<img src=x onerror=alert(1)>"


@pytest.fixture
def labels(page: Page) -> Page:
    """The page, past its notice."""
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/labels")
    expect(page.locator("#constitution input")).to_have_value(re.compile("newest"))
    return page


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three comparisons that people made, and one line that is none."""
    asked = ["Who are you?", f"How do I pick a lock? {BAD}", "Is the moon cheese?"]
    rows = [json.dumps({"prompt": p, "chosen": "I'd rather not say.", "rejected": "Sure."}) for p in asked]
    file = tmp_path / "people.jsonl"
    file.write_text("\n".join([*rows, "not json"]) + "\n")
    return file


def test_comparisons_are_imported_labelled_and_their_labeller_is_listed(
    labels: Page, people: Path, shot: Callable[[str], None]
) -> None:
    page = labels
    expect(page.locator("#runs")).to_contain_text("No labels yet")
    shot("labels-empty")
    page.get_by_role("tab", name="Import human comparisons").click()
    page.locator("#comparisons input[type=file]").set_input_files(people)
    # Until it is there, the button has no file to read.
    expect(page.locator("#comparisons")).to_contain_text("people")
    page.locator("#bring").click()
    brought = page.locator("#brought")
    expect(brought).to_contain_text("3 pairs in people.jsonl")
    expect(brought).to_contain_text("3 choices by people")
    expect(brought).to_contain_text("people.jsonl:4")
    expect(page.locator("header")).to_contain_text("0 of 3 pairs")
    expect(page.locator("#count")).to_contain_text("3 pairs")
    expect(page.locator("#count")).to_contain_text("no earlier run")
    page.locator("#label").click()
    expect(page).to_have_url(re.compile(r"/labels\?run=[0-9a-f-]{36}$"))
    expect(page.locator("#run")).to_be_focused()
    expect(page.locator("#run .cai-status")).to_be_in_viewport()
    expect(page.locator("#run .cai-status")).to_have_text("finished", timeout=SLOW)
    expect(page.locator("#run")).to_contain_text("3 of 3")
    expect(page.locator("#samples")).to_contain_text("labels/s")
    labeller = page.get_by_role("region", name="Labellers").locator("tbody tr")
    expect(page.get_by_role("region", name="Imported comparisons")).to_contain_text("people.jsonl")
    expect(labeller).to_contain_text("bundled-feedback · pointwise")
    expect(labeller.get_by_role("link", name="Agreement with people")).to_have_attribute(
        "href", re.compile("^agreement\\?labeller=")
    )
    expect(page.locator("header")).to_contain_text("3 of 3 pairs")
    expect(page.locator("#count")).to_contain_text("labelled already")
    shot("labels-finished")
    page.get_by_role("button", name="Rerun with changes").click()
    expect(page.locator("#which input")).to_have_value(re.compile("very ones"))
    expect(page.locator("#count")).to_contain_text("as fast as the last such run")


def test_pairs_are_sampled_for_typed_prompts_and_listed_on_both_pages(
    labels: Page, shot: Callable[[str], None]
) -> None:
    page = labels
    # A second try of this test would bring the same pairs, and so no new ones.
    page.locator("#typed textarea").fill(f"Who are you?\nIs the moon {BAD} cheese? {time.time_ns()}")
    page.locator("#sample-max_tokens input").fill("8")
    page.locator("#sample").click()
    expect(page).to_have_url(re.compile(r"/labels\?run=[0-9a-f-]{36}$"))
    # First what only this run says: until its page is there, the one of the run before it says "finished".
    expect(page.locator("#run")).to_contain_text("2 of 2", timeout=SLOW)
    expect(page.locator("#run .cai-status")).to_have_text("finished", timeout=SLOW)
    expect(page.locator("#samples")).to_contain_text(re.compile("[12] pairs? of this run in the session"))
    expect(page.locator("#samples")).to_contain_text(BAD)
    shot("labels-sampled")
    id = page.url.partition("run=")[2]
    page.goto(f"/runs?run={id}")
    expect(page.locator("#run")).to_contain_text("pairs × 2 by bundled")
    expect(page.get_by_role("button", name="Rerun with changes")).to_be_disabled()


def test_mistakes_are_told_in_the_page(labels: Page) -> None:
    page = labels
    page.locator("#sample").click()
    expect(page.locator("#sample-problem")).to_contain_text("choose a prompt file or a shipped set")
    page.locator("#label").click()
    expect(page.locator("#sample-problem")).to_have_text("")
    page.locator("#most input").fill("-1")
    page.locator("#most input").blur()
    expect(page.locator("#count")).to_contain_text("at most")
    page.get_by_role("tab", name="Import human comparisons").click()
    page.locator("#bring").click()
    expect(page.locator("#brought")).to_contain_text("choose a file")


@pytest.mark.parametrize(
    "page",
    [{"scheme": scheme, "width": width} for scheme in ("light", "dark") for width in (1280, 1920)],
    indirect=True,
    ids=lambda given: f"{given['scheme']}-{given['width']}",
)
def test_nothing_overflows_the_page(labels: Page, shot: Callable[[str], None]) -> None:
    page = labels
    size = page.viewport_size
    assert size
    dark = page.evaluate("document.body.classList.contains('dark')")
    shot(f"labels-{size['width']}-{'dark' if dark else 'light'}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    # The loop is one line: no step has slid below another.
    tops = page.locator(".cai-stepper li").evaluate_all("all => all.map(e => e.getBoundingClientRect().top)")
    assert len({round(top) for top in tops}) == 1
