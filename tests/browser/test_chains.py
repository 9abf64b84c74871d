"""The chains page with the real bundled model in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable

import psutil
import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.usefixtures("bundled_folder")]

WIFI = "Can you help me hack into my neighbor's wifi?"
SLOW = 120_000  # ms: the first chain loads the model


@pytest.fixture
def chains(page: Page) -> Page:
    """The page, past its notice."""
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/chains")
    expect(page.locator("#chains")).to_contain_text(re.compile("chain", re.I))
    return page


def draw(page: Page, prompt: str, tokens: int, revisions: int = 1) -> None:
    page.get_by_label("Max tokens").fill(str(tokens))
    page.get_by_label("Revisions").fill(str(revisions))
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_role("button", name="Run", exact=True).click()


def test_a_chain_streams_is_kept_and_opens_by_link(chains: Page, shot: Callable[[str], None]) -> None:
    page = chains
    draw(page, WIFI, tokens=16)
    steps = page.locator("#steps .cai-step")
    expect(page.locator("#heading")).to_contain_text("being written")
    expect(page.locator("#heading")).to_contain_text("finished", timeout=SLOW)
    expect(steps).to_have_count(3)
    expect(page).to_have_url(re.compile(r"/chains\?chain=[0-9a-f-]{36}$"))
    for at, kind in enumerate(("Response", "Critique 1", "Revision 1")):
        expect(steps.nth(at)).to_contain_text(kind)
    # The principle is shown with what it asks.
    steps.nth(1).locator("summary").first.click()
    expect(steps.nth(1).locator("dd").first).to_be_visible()
    texts = steps.all_inner_texts()
    shot("chain")
    page.reload()
    expect(steps).to_have_count(3)
    assert [text.split("\n")[-1] for text in steps.all_inner_texts()] == [t.split("\n")[-1] for t in texts]
    expect(page.locator("#chains li")).to_have_count(1)
    expect(page.locator("#chains [aria-current]")).to_contain_text("wifi")


def test_stop_keeps_what_there_is_and_continue_goes_on(chains: Page) -> None:
    page = chains
    draw(page, "Tell me all that you know about the sea.", tokens=400)
    expect(page.locator("#step-in-progress .cai-text")).to_have_text(re.compile(r"\w+ \w+"), timeout=SLOW)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#heading")).to_contain_text("stopped")
    expect(page.locator("#steps .cai-step")).to_contain_text("stopped here")
    proceed = page.get_by_role("button", name="Continue")
    expect(proceed).to_be_enabled()
    proceed.click()
    expect(page.locator("#step-in-progress .cai-text")).to_have_text(re.compile(r"\w+ \w+"), timeout=SLOW)
    # A refresh in the middle finds the chain where it is.
    page.reload()
    expect(page.locator("#step-in-progress .cai-text")).to_have_text(re.compile(r"\w+ \w+"), timeout=SLOW)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#heading")).to_contain_text("stopped")


def test_a_killed_model_is_said_and_the_studio_serves_on(chains: Page) -> None:
    page = chains
    draw(page, "Tell me all that you know about birds.", tokens=400)
    expect(page.locator("#step-in-progress .cai-text")).to_have_text(re.compile(r"\w+ \w+"), timeout=SLOW)
    # Of this test's own studio, not of one that somebody uses beside.
    family = psutil.Process().children(recursive=True)
    workers = [p for p in family if "pipeline.engines.worker" in " ".join(_line(p))]
    assert workers
    for worker in workers:
        worker.kill()
    expect(page.locator("#step-in-progress")).to_contain_text("the model process was killed")
    draw(page, "Hello.", tokens=8, revisions=0)
    expect(page.locator("#heading")).to_contain_text("finished", timeout=SLOW)


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_mistake_is_told_in_the_page(chains: Page) -> None:
    page = chains
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("type a prompt first")
    model = page.locator("#set-model input")
    model.fill("no/such-model")
    model.press("Enter")
    draw(page, "Hello.", tokens=8)
    expect(page.locator("#step-in-progress")).to_contain_text("no/such-model", timeout=SLOW)
    expect(page.locator("#heading")).to_contain_text("failed")
    model.fill("bundled")
    model.press("Enter")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#heading")).to_contain_text("finished", timeout=SLOW)


def test_the_list_is_searched_and_a_typed_prompt_outlives_a_refresh(chains: Page) -> None:
    page = chains
    page.get_by_label("Search").fill("wifi")
    expect(page.locator("#chains li")).to_have_count(1)
    page.get_by_label("Search").fill("no such words anywhere")
    expect(page.locator("#chains")).to_contain_text("No chain matches")
    page.get_by_label("Prompt", exact=True).press_sequentially("half a thought")
    page.reload()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("half a thought")


def test_the_keyboard_alone_runs_a_chain(chains: Page) -> None:
    page = chains
    page.get_by_label("Max tokens").fill("8")
    page.get_by_label("Revisions").fill("0")
    page.get_by_label("Prompt", exact=True).focus()
    page.keyboard.type("<b>Hello</b> & <img src=x onerror=alert(1)>")
    page.keyboard.press("Shift+Enter")
    expect(page.locator("#heading")).to_contain_text("finished", timeout=SLOW)
    expect(page.locator("#heading")).to_contain_text("<img src=x onerror=alert(1)>")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel"))
    assert {"Run", "Model", "More settings"} <= {str(name).split("\n")[0].strip() for name in reached}
