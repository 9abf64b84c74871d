"""The chat page with the real bundled model in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.usefixtures("bundled_folder")]

SLOW = 120_000  # ms: the first reply loads the model
SEEDING = Path(__file__).with_name("seeding_chat.py")
SEEDED = "/chat?conversation=00000000-0000-7000-a000-000000000001"
HOSTILE = "<b>Hello</b> & <img src=x onerror=alert(1)> [a](http://b.c) **c**"


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with a conversation, and with checkpoints that it was had with."""
    home = tmp_path_factory.mktemp("home")
    subprocess.run([sys.executable, SEEDING, home / "sessions" / "test"], check=True)
    return home


def goto(page: Page, address: str = "/chat") -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(address)
    expect(page.locator("#thread")).to_contain_text(re.compile(r"Talk to any model|tokens?,"))


def write(page: Page, text: str) -> None:
    page.locator("#message textarea").fill(text)
    page.keyboard.press("Enter")


def sample(page: Page, tokens: int) -> None:
    """Replies of so many tokens, from now on."""
    if not page.get_by_label("Max tokens").is_visible():
        page.get_by_role("button", name="System prompt and sampling").click()
    page.get_by_label("Max tokens").fill(str(tokens))


def replies(page: Page) -> Locator:
    return page.locator("#thread .cai-model .cai-text")


def ended(page: Page) -> None:
    """Wait until nothing is written any more."""
    expect(page.locator("#stop")).to_be_disabled(timeout=SLOW)
    expect(page.locator("#send")).to_be_enabled()


def test_a_conversation_is_tried_again_changed_taken_back_and_found_again(
    page: Page, shot: Callable[[str], None]
) -> None:
    goto(page)
    shot("chat-empty")
    page.get_by_role("button", name="how can I light a fire in the forest?", exact=True).click()
    expect(page.locator("#message textarea")).to_have_value("how can I light a fire in the forest?")
    sample(page, 12)
    page.locator("#message textarea").press("Enter")
    expect(page.locator("#reply .cai-text")).to_have_text(re.compile(r"\w+ \w+"), timeout=SLOW)
    expect(page.locator("#message textarea")).to_have_value("")
    ended(page)
    expect(replies(page)).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/chat\?conversation=[0-9a-f-]{36}$"))
    expect(page.locator("#thread .cai-model")).to_contain_text("12 tokens")

    first = replies(page).inner_text()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#thread .cai-tries")).to_have_text("‹2 of 2›", timeout=SLOW)
    ended(page)
    assert replies(page).inner_text() != first
    page.get_by_role("button", name="previous reply").click()
    expect(replies(page)).to_have_text(first)

    write(page, HOSTILE)
    ended(page)
    expect(replies(page)).to_have_count(2)
    assert page.locator("#thread :is(img, .cai-text b, .cai-text a)").count() == 0
    page.reload()
    expect(replies(page)).to_have_count(2)
    expect(page.locator("#thread .cai-person .cai-text").nth(1)).to_have_text(HOSTILE)

    sample(page, 12)
    page.get_by_role("button", name="Edit").first.click()
    page.locator("#thread textarea:visible").fill("how do I put a fire out?")
    page.locator("#thread textarea:visible").press("Enter")
    expect(page.locator("#thread .cai-person .cai-text")).to_have_text(
        ["how do I put a fire out?"], timeout=SLOW
    )
    ended(page)
    page.get_by_role("button", name="previous message").click()
    expect(replies(page)).to_have_count(2)

    page.locator("#undo").click()
    expect(replies(page)).to_have_count(1)
    expect(page.locator("#message textarea")).to_have_value(HOSTILE)
    page.get_by_role("button", name="Bring it back").click()
    expect(replies(page)).to_have_count(2)
    shot("chat")

    address, shown = page.url, replies(page).all_inner_texts()
    page.goto("/chat")
    expect(page.locator("#thread")).to_contain_text("Talk to any model")
    page.locator("#conversations a").first.click()
    expect(replies(page)).to_have_text(shown)
    assert page.url == address


def test_escape_stops_and_what_there_is_is_kept(page: Page) -> None:
    goto(page)
    sample(page, 400)
    write(page, "Tell me all that you know about the sea.")
    expect(page.locator("#reply .cai-text")).to_have_text(re.compile(r"\w+ \w+"), timeout=SLOW)
    page.keyboard.press("Escape")
    expect(page.locator("#thread .cai-model")).to_contain_text("stopped here")
    kept = replies(page).inner_text()
    assert kept
    page.reload()
    expect(replies(page)).to_have_text(kept)


def test_a_conversation_is_renamed_and_deleted_after_a_question(page: Page) -> None:
    goto(page)
    sample(page, 4)
    page.locator("#message textarea").fill("Hello.")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("And more.")
    page.keyboard.press("Enter")
    ended(page)
    expect(page.locator("#thread .cai-person .cai-text")).to_have_text("Hello. And more.")
    listed = page.locator("#conversations li[data-name^='Hello']")
    page.once("dialog", lambda dialog: dialog.accept("A <i>greeting</i>"))
    listed.get_by_role("button", name="Rename").click()
    renamed = page.locator("#conversations li", has_text="A <i>greeting</i>")
    expect(renamed).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.dismiss())
    renamed.get_by_role("button", name="Delete").click()
    expect(replies(page)).to_have_count(1)
    page.once("dialog", lambda dialog: dialog.accept())
    renamed.get_by_role("button", name="Delete").click()
    expect(renamed).to_have_count(0)
    expect(page.locator("#thread")).to_contain_text("Talk to any model")
    expect(page).to_have_url(re.compile(r"/chat$"))


@pytest.mark.parametrize(
    "page",
    [{"scheme": scheme, "width": width} for scheme in ("light", "dark") for width in (1280, 1920)],
    indirect=True,
    ids=["light-1280", "light-1920", "dark-1280", "dark-1920"],
)
def test_a_conversation_opens_by_link_with_its_scores_and_nothing_in_it_is_live(
    page: Page, shot: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    goto(page, SEEDED)
    expect(replies(page)).to_have_count(2)
    page.locator("#pm input").click()
    page.get_by_role("option", name=re.compile("PM of bundled")).click()
    expect(page.locator("#thread")).to_contain_text("PM +0.94")
    assert page.locator("#thread :is(img, .cai-text em, .cai-text a)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    shot(f"chat-{request.node.callspec.id}")
    page.get_by_role("button", name="previous reply").click()
    expect(page.locator("#thread")).to_contain_text("PM -1.28")
    expect(replies(page)).to_have_count(1)
    page.get_by_role("button", name="next reply").click()
    expect(replies(page)).to_have_count(2)


def test_an_open_form_stays_with_its_message(page: Page) -> None:
    goto(page, SEEDED)
    expect(replies(page)).to_have_count(2)
    page.get_by_role("button", name="Edit").nth(1).click()
    field = page.locator("#thread textarea:visible")
    field.fill("And if it rains?")
    page.locator("#pm input").click()
    page.get_by_role("option", name=re.compile("PM of bundled")).click()
    expect(page.locator("#thread")).to_contain_text("PM +0.94")
    expect(field).to_have_value("And if it rains?")
    page.get_by_role("button", name="Edit").first.click()
    expect(field.first).to_have_value("how can I light a fire in the forest?")
    page.get_by_role("button", name="previous reply").click()
    expect(replies(page)).to_have_count(1)
    page.get_by_role("button", name="next reply").click()  # what was edited had left the page
    expect(replies(page)).to_have_count(2)
    page.get_by_role("button", name="Edit").click()
    expect(field.nth(1)).to_have_value("And if all the wood is wet?")


def test_two_tries_are_sent_to_the_audit_and_a_reply_to_the_chains(page: Page) -> None:
    goto(page, SEEDED)
    page.get_by_role("button", name="Send to audit").first.click()
    expect(page.get_by_role("link", name="Judge it")).to_have_attribute(
        "href", re.compile(r"audit\?pair=[0-9a-f]{16}&axis=harmless$")
    )
    page.locator("#thread .cai-model").get_by_role("button", name="Send to chains").first.click()
    page.get_by_role("link", name="Watch the critique").click()
    # Its model is only a card here, so that the critique fails; what was sent is there all the same.
    expect(page.locator("#steps .cai-step")).to_contain_text(
        "First make sure that a fire is allowed", timeout=SLOW
    )
