"""The arena by keys in a real browser: two real models blind until the vote, and a tournament's queue."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Response, expect

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.usefixtures("bundled_folder")]

SLOW = 120_000  # ms: the first battle loads both models
UNREAD = 450  # ms: the page takes no vote on what came just now
SECRETS = re.compile(r"zebra|bundled|seed \d|SmolLM|tokens, ", re.IGNORECASE)


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with the bundled model and an adapter on it: they are two models, of one voice."""
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding_adapter.py")
    subprocess.run([sys.executable, script, home / "sessions" / "test"], check=True)
    return home


def battle(page: Page) -> Locator:
    return page.locator("#battle article")


def state(page: Page, wanted: str) -> None:
    expect(battle(page)).to_have_attribute("data-state", wanted, timeout=SLOW)


def test_a_battle_is_voted_on_by_keys_blind_until_then(page: Page, shot: Callable[[str], None]) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/arena")
    expect(battle(page)).to_contain_text("Which of two models do you prefer?", timeout=SLOW)
    page.get_by_role("button", name="Sampling").click()
    page.get_by_label("Max tokens").fill("6")
    page.get_by_role("button", name="Sampling").click()

    came: list[Response] = []
    page.on("response", lambda response: came.append(response) if "/gradio_api/" in response.url else None)
    page.locator("#arena-prompt textarea").fill("Say hello. <b>Now</b>")
    page.keyboard.press("Enter")
    state(page, "open")
    expect(battle(page).locator(".cai-answer")).to_have_count(2)
    assert battle(page).locator(".cai-said b").count() == 0
    assert re.search(r"\?battle=[0-9a-f-]{36}$", page.url)
    bodies = [response.text() for response in came if response.request.resource_type != "eventsource"]
    assert any("cai-answers" in body for body in bodies), "what was shown was not caught"
    seen = [battle(page).inner_html(), page.locator("#battle-figures").inner_html(), *bodies]
    assert [match[0] for match in map(SECRETS.search, seen) if match] == []
    shot("arena-open")

    page.reload()
    state(page, "open")
    page.wait_for_timeout(UNREAD)
    page.keyboard.press("1")
    state(page, "voted")
    expect(battle(page).locator(".cai-answer h3").first).to_contain_text("your vote")
    expect(battle(page)).to_contain_text("zebra-7")
    expect(battle(page)).to_contain_text("bundled")
    expect(page.locator("#battle-figures")).to_contain_text("1 vote on “harmless” by local")
    shot("arena-voted")
    page.keyboard.press("u")
    state(page, "taken back")
    expect(page.locator("#battle-figures")).not_to_contain_text("1 vote")

    page.keyboard.press("n")
    state(page, "open")
    page.wait_for_timeout(UNREAD)
    page.keyboard.press("b")
    state(page, "voted")
    expect(battle(page)).to_contain_text("both bad, which is a tie to a rating")
    page.keyboard.press("?")
    expect(page.locator("#battle-keys")).to_be_visible()


def test_escape_stops_a_battle_and_no_vote_comes_of_it(page: Page) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/arena")
    expect(battle(page)).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Sampling").click()
    page.get_by_label("Max tokens").fill("400")
    page.locator("#arena-prompt textarea").fill("Tell me all that you know about the sea.")
    page.locator("#arena-prompt textarea").press("Enter")
    state(page, "writing")
    expect(battle(page).locator(".cai-answer .cai-said").first).to_have_text(
        re.compile(r"^(?!getting ready).*\w\W+\w"), timeout=SLOW
    )
    page.keyboard.press("Escape")
    state(page, "over")
    expect(battle(page)).to_contain_text("No vote: an answer is not whole")
