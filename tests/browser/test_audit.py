"""Judging pairs by keys, blind until judged, and ranking, in a real browser."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, Request, Response, expect

pytestmark = pytest.mark.browser

COUNT = 30
SECRETS = re.compile(
    r"zebra|walrus|0?\.81|0?\.19|\.4444|\.5556|picked|Kindness|lynx.{0,40}for", re.IGNORECASE
)
TIMED = re.compile(r'"\w*(?:duration|eta|time)\w*": ?[\d.e+-]+')
"""Gradio's own timings, which are numbers like any other: 0.19 seconds are no probability."""
UNREAD = 450  # ms: the page takes no judgment of a pair that came just now


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose session `test` holds labelled pairs and a group of four responses."""
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding_pairs.py")
    subprocess.run([sys.executable, str(script), str(home / "sessions" / "test"), str(COUNT)], check=True)
    return home


def open_as(page: Page, name: str, more: str = "") -> Page:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(f"/audit?as={name}{more}")
    expect(page.locator("#audit article")).to_be_visible()
    expect(page.locator("#figures")).to_contain_text(name)
    return page


def item(page: Page) -> str:
    return page.locator("#audit article").get_attribute("data-item") or ""


def press(page: Page, key: str) -> None:
    """Press a key, and wait until another pair is shown."""
    before = item(page)
    page.wait_for_timeout(UNREAD)
    page.keyboard.press(key)
    expect(page.locator("#audit article")).not_to_have_attribute("data-item", before)


def figures(page: Page) -> Locator:
    return page.locator("#figures")


def test_twenty_pairs_are_judged_by_keys_alone(page: Page, shot: Callable[[str], None]) -> None:
    open_as(page, "ana")
    shot("audit")
    for key in "abatbbasaabtabbaabab":
        press(page, key)
    expect(figures(page)).to_contain_text("19 judged by ana")
    expect(figures(page)).to_contain_text("1 skipped")
    expect(figures(page)).to_contain_text("a minute")
    here = item(page)
    page.reload()
    expect(figures(page)).to_contain_text("19 judged by ana")
    assert item(page) == here
    query = parse_qs(urlsplit(page.url).query)
    assert query == {"axis": ["harmless"], "as": ["ana"], "pair": [here]}


def test_blind_until_judged_in_the_page_and_on_the_wire(page: Page, shot: Callable[[str], None]) -> None:
    came: list[str] = []

    def keep(response: Response) -> None:
        if "/gradio_api/" in response.url and response.request.resource_type in ("fetch", "xhr"):
            came.append(response.text() if response.finished() is None else "")

    page.on("response", keep)
    open_as(page, "blind")
    assert any("cai-answers" in body for body in came), "what was shown was not caught"
    found = [SECRETS.search(TIMED.sub("", text)) for text in [page.content(), page.url, *came]]
    assert not [match[0] for match in found if match]
    press(page, "a")
    last = page.locator("#last")
    expect(last).to_contain_text("0.81 for")
    expect(last).to_contain_text("greed")
    assert not SECRETS.search(page.locator("#audit").inner_html())
    shot("audit-last")
    page.keyboard.press("r")
    expect(last.get_by_text("sl-cai-zebra")).to_be_visible()
    expect(last).to_contain_text("drawn at random")
    shot("audit-last-open")


def test_undo_brings_the_pair_back_and_says_it_is_not_blind(page: Page) -> None:
    open_as(page, "undoer")
    first = item(page)
    press(page, "a")
    page.keyboard.press("u")
    expect(page.locator("#audit article")).to_have_attribute("data-item", first)
    expect(page.locator("#audit .cai-known")).to_contain_text("Not blind")
    expect(figures(page)).to_contain_text("0 judged")
    press(page, "b")
    page.keyboard.press("k")
    expect(page.locator("#audit article")).to_have_attribute("data-item", first)
    expect(page.locator("#audit")).to_contain_text("judged not blind")


def test_a_double_press_judges_one_pair_and_a_held_key_none(page: Page) -> None:
    open_as(page, "hasty")
    page.wait_for_timeout(UNREAD)
    page.keyboard.press("a")
    page.keyboard.press("a")
    page.keyboard.press("b")
    expect(figures(page)).to_contain_text("1 judged")
    page.wait_for_timeout(UNREAD)
    page.keyboard.down("t")
    for _ in range(5):
        page.keyboard.down("t")  # without the key going up this repeats
        page.wait_for_timeout(200)
    page.keyboard.up("t")
    expect(figures(page)).to_contain_text("2 judged")
    page.wait_for_timeout(600)
    expect(figures(page)).to_contain_text("2 judged")


def test_a_note_is_typed_first_and_its_letters_are_no_keys(page: Page) -> None:
    open_as(page, "noter")
    first = item(page)
    page.keyboard.press("n")
    page.keyboard.type("a bus & <b>a taxi</b>")
    page.reload()
    box = page.get_by_role("textbox", name="Note")
    expect(box).to_have_value("a bus & <b>a taxi</b>")
    assert item(page) == first
    page.wait_for_timeout(1000)  # what the reload asked for is answered
    page.keyboard.press("n")
    page.keyboard.press("Enter")
    press(page, "t")
    expect(box).to_have_value("")
    press(page, "k")
    expect(box).to_have_value("a bus & <b>a taxi</b>")
    expect(figures(page)).to_contain_text("1 judged")


def test_the_reveal_can_come_before_going_on(page: Page, shot: Callable[[str], None]) -> None:
    open_as(page, "slow", "&reveal=before")
    first = item(page)
    page.wait_for_timeout(UNREAD)
    page.keyboard.press("b")
    expect(page.locator("#audit .cai-after")).to_contain_text("0.81 for")
    assert item(page) == first
    expect(page.locator("#audit .cai-chosen h3")).to_contain_text("B")
    page.get_by_text("Reasoning, A first").first.click()
    shot("audit-revealed")
    page.keyboard.press("Escape")
    page.mouse.click(5, 5)
    press(page, "Enter")
    expect(page.locator("#audit .cai-after")).to_have_count(0)


def test_shown_without_judging_is_kept_as_not_blind(page: Page) -> None:
    open_as(page, "peeker")
    page.keyboard.press("x")
    expect(page.locator("#audit .cai-after")).to_contain_text("sl-cai-zebra")
    page.reload()
    expect(page.locator("#audit .cai-known")).to_contain_text("Not blind")
    expect(page.locator("#audit .cai-after")).to_contain_text("sl-cai-zebra")


def test_two_annotators_in_two_tabs_do_not_mix(page: Page) -> None:
    open_as(page, "eve")
    other = page.context.new_page()
    open_as(other, "finn")
    assert item(page) == item(other)  # their random queues overlap
    press(page, "a")
    press(other, "b")
    press(page, "a")
    press(other, "t")
    for tab, name in ((page, "eve"), (other, "finn")):
        expect(figures(tab)).to_contain_text(f"2 judged by {name}")
        tab.reload()
        expect(figures(tab)).to_contain_text(f"2 judged by {name}")
    other.close()


def test_a_name_is_typed_once_and_remembered(page: Page) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/audit")
    expect(figures(page)).to_contain_text("judged by local")
    page.get_by_label("Annotator").fill("Gwen & co")
    page.get_by_label("Annotator").press("Enter")
    expect(figures(page)).to_contain_text("judged by Gwen & co")
    page.get_by_label("Annotator").blur()
    press(page, "a")
    page.goto("/audit")
    expect(figures(page)).to_contain_text("1 judged by Gwen & co")
    expect(page.get_by_label("Annotator")).to_have_value("Gwen & co")


def test_hostile_text_stays_text(page: Page, shot: Callable[[str], None]) -> None:
    id = hashlib.sha256(b"3").hexdigest()[:16]
    open_as(page, "brave", f"&pair={id}")
    hostile = page.locator("#audit .cai-answer").filter(has_text="Never. <img src=x onerror=")
    expect(hostile).to_have_count(1)
    assert page.locator("#audit img").count() == 0
    page.wait_for_timeout(UNREAD)
    press(page, "a")
    page.keyboard.press("k")
    expect(hostile).to_have_count(1)
    page.get_by_text("Reasoning, A first").first.click()
    assert page.locator("#audit img, #audit .cai-said i").count() == 0
    assert "owned" not in page.title()
    shot("audit-hostile")


def test_the_other_question_is_asked_apart(page: Page) -> None:
    open_as(page, "axis")
    press(page, "a")
    page.locator("#audit-axis").get_by_text("Helpful", exact=True).click()
    expect(page.locator("#audit h2")).to_have_text("Which response is more helpful?")
    expect(page).to_have_url(re.compile("axis=helpful"))


def test_a_note_and_the_clock_are_of_one_question(page: Page) -> None:
    open_as(page, "asker")
    first, box = item(page), page.get_by_role("textbox", name="Note")
    page.keyboard.press("n")
    page.keyboard.type("of harm")
    page.wait_for_timeout(3000)
    page.locator("#audit-axis").get_by_text("Helpful", exact=True).click()
    expect(page.locator("#audit h2")).to_have_text("Which response is more helpful?")
    assert item(page) == first
    expect(box).to_have_value("")
    assert page.evaluate("caiAuditClock.ms + performance.now() - caiAuditClock.since") < 3000
    page.locator("#audit-axis").get_by_text("Harmless", exact=True).click()
    expect(box).to_have_value("of harm")


def test_undo_leaves_what_another_tab_has_judged(page: Page) -> None:
    open_as(page, "twice")
    press(page, "a")
    other = page.context.new_page()
    open_as(other, "twice")
    press(other, "b")
    page.keyboard.press("u")
    expect(page.locator("#said")).to_contain_text("you have judged since this was shown")
    other.reload()
    expect(figures(other)).to_contain_text("2 judged by twice")
    other.close()


def test_a_note_is_taken_back_and_then_its_judgment(page: Page) -> None:
    open_as(page, "renoter")
    press(page, "a")
    press(page, "k")
    page.get_by_role("textbox", name="Note").fill("hm")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("Note kept")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#last")).to_contain_text("Taken back")
    expect(figures(page)).to_contain_text("1 judged")
    page.get_by_role("button", name="Undo").click()
    expect(figures(page)).to_contain_text("0 judged")


def test_a_note_that_was_lost_with_its_judgment_outlives_a_refresh(page: Page, problems: list[str]) -> None:
    open_as(page, "loser")
    here, box = item(page), page.get_by_role("textbox", name="Note")
    box.fill("hard to say")
    box.press("Enter")
    page.wait_for_timeout(1000)  # what the page asks for at first is answered

    def has_note(request: Request) -> bool:
        return '"note":"hard to say"' in (request.post_data or "")

    page.route(
        "**/gradio_api/**", lambda route: route.abort() if has_note(route.request) else route.continue_()
    )
    with page.expect_request(has_note):
        page.keyboard.press("a")
    page.unroute("**/gradio_api/**")
    page.reload()
    expect(box).to_have_value("hard to say")
    assert item(page) == here
    press(page, "a")
    expect(box).to_have_value("")
    press(page, "k")
    expect(box).to_have_value("hard to say")
    assert (
        page.evaluate("Object.keys(sessionStorage).filter((key) => key.startsWith('cai-audit-note'))") == []
    )
    problems[:] = [problem for problem in problems if "ERR_FAILED" not in problem]


def test_a_note_is_taken_back_after_words_about_something_else(page: Page) -> None:
    open_as(page, "wordy")
    press(page, "a")
    press(page, "k")
    box = page.get_by_role("textbox", name="Note")
    box.fill("hm")
    box.press("Enter")
    expect(page.locator("#said")).to_contain_text("Note kept")
    page.keyboard.press("k")
    expect(page.locator("#said")).to_contain_text("That was the first one")
    page.keyboard.press("u")
    expect(page.locator("#last")).to_contain_text("Taken back")
    expect(box).to_have_value("")
    expect(figures(page)).to_contain_text("1 judged")


def test_keys_work_after_a_choice_by_mouse(page: Page) -> None:
    open_as(page, "mouse")
    page.locator("#audit-axis").get_by_text("Helpful", exact=True).click()
    expect(page.locator("#audit h2")).to_have_text("Which response is more helpful?")
    press(page, "a")


def test_an_order_is_of_its_question_whatever_comes_next(page: Page) -> None:
    open_as(page, "orderly", "&task=ranking")
    expect(page.locator(".cai-ranking > li")).to_have_count(4)
    page.keyboard.press("d")
    page.keyboard.press("1")
    assert letters(page) == ["D", "A", "B", "C"]
    page.set_viewport_size({"width": 1100, "height": 800})
    expect(page.locator(".cai-ranking > li").first).to_be_focused()
    page.get_by_role("button", name="What comes next").click()
    page.get_by_label("Reveal the AI").click()
    page.get_by_role("option", name="Not while judging").click()
    expect(page).to_have_url(re.compile("reveal=none"))
    page.wait_for_timeout(1000)  # no late picture may put them back
    assert letters(page) == ["D", "A", "B", "C"]


def test_the_keys_and_the_settings_unfold(page: Page, shot: Callable[[str], None]) -> None:
    id = hashlib.sha256(b"4").hexdigest()[:16]
    open_as(page, "curious", f"&pair={id}")
    page.keyboard.press("?")
    expect(page.locator("#pairs-keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#pairs-keys")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(page.locator("#pairs-keys")).to_be_hidden()
    page.get_by_text("2 earlier turns").click()
    expect(page.locator("#audit")).to_contain_text("I am cold.")
    page.get_by_role("button", name="What comes next").click()
    expect(page.locator("#audit-settings")).to_contain_text("a fixed share of the pairs is drawn at random")
    shot("audit-unfolded")
    page.get_by_label("Reveal the AI").click()
    page.get_by_role("option", name="Not while judging").click()
    expect(page).to_have_url(re.compile(f"reveal=none.*pair={id}"))
    page.get_by_label("Next pairs").click()
    page.get_by_role("option", name="Where the AI is unsure").click()
    expect(page).to_have_url(re.compile(f"mode=uncertain.*pair={id}"))
    page.locator("#audit h2").click()
    press(page, "b")
    expect(page.locator("#last")).to_contain_text("Kept: B")
    assert "0.81" not in page.content()


def letters(page: Page) -> list[str]:
    return [card.get_attribute("data-letter") or "" for card in page.locator(".cai-ranking > li").all()]


def test_four_responses_are_ranked_by_keys(page: Page, shot: Callable[[str], None]) -> None:
    open_as(page, "ranker", "&task=ranking")
    cards = page.locator(".cai-ranking > li")
    expect(cards).to_have_count(4)
    assert not SECRETS.search(page.content())
    page.keyboard.press("d")
    page.keyboard.press("1")
    page.keyboard.press("a")
    page.keyboard.press("ArrowDown")
    assert letters(page) == ["D", "B", "A", "C"]
    page.keyboard.press("=")
    expect(cards.nth(2).locator(".cai-place")).to_have_text("2 =")
    page.reload()
    expect(cards.nth(2).locator(".cai-place")).to_have_text("2 =")
    assert letters(page) == ["D", "B", "A", "C"]
    shot("audit-ranking")
    page.wait_for_timeout(UNREAD)
    page.keyboard.press("Enter")
    expect(page.locator("#last")).to_contain_text("D > B = A > C")
    expect(figures(page)).to_contain_text("1 of 1 ranked")
    page.keyboard.press("r")
    shot("audit-ranked")
    page.keyboard.press("u")
    expect(cards).to_have_count(4)
    expect(figures(page)).to_contain_text("0 of 1 ranked")


def test_a_card_is_dragged_to_the_top(page: Page) -> None:
    open_as(page, "dragger", "&task=ranking")
    cards = page.locator(".cai-ranking > li")
    expect(cards).to_have_count(4)
    cards.nth(2).locator("h3").drag_to(cards.nth(0), target_position={"x": 60, "y": 3})
    assert letters(page) == ["C", "A", "B", "D"]


@pytest.mark.parametrize(
    "page",
    [{"scheme": scheme, "width": width} for scheme in ("light", "dark") for width in (1280, 1920)],
    indirect=True,
    ids=["light-1280", "light-1920", "dark-1280", "dark-1920"],
)
def test_it_fits_without_sideways_scrolling(
    page: Page, shot: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    case = request.node.callspec.id
    open_as(page, case)
    shot(f"audit-{case}")
    press(page, "a")
    page.keyboard.press("r")
    shot(f"audit-last-{case}")
    page.keyboard.press("k")
    expect(page.locator("#audit .cai-after")).to_be_visible()
    shot(f"audit-judged-{case}")
    page.locator("#audit-task").get_by_text("Rank several").click()
    expect(page.locator(".cai-ranking > li")).to_have_count(4)
    shot(f"audit-ranking-{case}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_controls_stand_on_the_left_one_beside_the_other(page: Page) -> None:
    open_as(page, "ana")
    boxes = [page.locator(f"#audit-{name}").bounding_box() for name in ("task", "axis", "who")]
    row = page.locator(".cai-asking").bounding_box()
    assert row
    left = row["x"]
    for box in boxes:
        assert box
        assert 0 <= box["x"] - left <= 40
        left = box["x"] + box["width"]
