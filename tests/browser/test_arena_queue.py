"""A tournament's pairs that wait for people, judged by keys in a real browser; and battles as they look."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

UNREAD = 450  # ms: the page takes no vote on what came just now


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with battles, and with three pairs that wait for people."""
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding_arena.py")
    subprocess.run([sys.executable, script, home / "sessions" / "test"], check=True)
    return home


def article(page: Page, view: str) -> Locator:
    return page.locator(f"#{view} article")


def goto(page: Page, address: str, view: str) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(address)
    expect(article(page, view)).to_be_visible()


def press(page: Page, key: str, shown: str) -> None:
    """Press a key, and wait for the pair that comes then; empty: for the end."""
    page.wait_for_timeout(UNREAD)
    page.keyboard.press(key)
    expect(article(page, "queue")).to_have_attribute("data-item", re.compile(f"{shown}$"))


@pytest.mark.parametrize(
    "page",
    [{"scheme": scheme, "width": width} for scheme in ("light", "dark") for width in (1280, 1920)],
    indirect=True,
    ids=["light-1280", "light-1920", "dark-1280", "dark-1920"],
)
def test_a_battle_opens_by_link_and_nothing_in_it_is_live(
    page: Page, shot: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    for name, state in (("open", "open"), ("voted", "voted"), ("void", "void")):
        goto(page, f"/arena?battle={name}", "battle")
        expect(article(page, "battle")).to_have_attribute("data-state", state)
        assert ("RL-CAI" in article(page, "battle").inner_text()) == (name != "open")
        assert article(page, "battle").locator("img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shot(f"arena-{name}-{request.node.callspec.id}")


def test_pairs_are_judged_by_keys_each_once(page: Page, shot: Callable[[str], None]) -> None:
    goto(page, "/arena", "battle")
    page.get_by_role("tab", name="Queue").click()
    expect(article(page, "queue")).to_have_attribute("data-item", re.compile("/0$"))
    expect(page).to_have_url(re.compile("tab=queue&run=.*&pair=0$"))
    press(page, "s", "/1")
    press(page, "1", "/2")
    expect(page.locator("#queue-said")).to_contain_text("Kept: the left answer is better")
    expect(page.locator("#queue-figures")).to_contain_text("1 of 3 judged by local")
    press(page, "u", "/1")
    expect(page.locator("#queue-figures")).to_contain_text("0 of 3 judged by local")
    press(page, "b", "/2")
    shot("arena-queue")
    press(page, "2", "/0")
    expect(page.locator("#queue-said")).to_contain_text("Void: an answer tells who wrote it")
    page.wait_for_timeout(UNREAD)
    for _ in range(2):  # pressed twice: the vote before it stays
        page.keyboard.press("u")
    expect(article(page, "queue")).to_have_attribute("data-item", re.compile("/2$"))
    expect(page.locator("#queue-figures")).to_contain_text("1 of 3 judged by local")
    press(page, "2", "/0")
    page.reload()
    expect(article(page, "queue")).to_have_attribute("data-item", re.compile("/0$"))
    press(page, "t", "")
    expect(page.locator("#queue")).to_contain_text("You have judged every pair of this tournament")
    assert "RL-CAI" not in page.locator("#queue").inner_text()
