"""The constitution page in a real browser: edits outlive a refresh, versions stay, text stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Locator, Page, Route, expect

pytestmark = pytest.mark.browser

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>${1}{{x}}"
)


def open_page(page: Page, name: str = "") -> None:
    page.goto(f"/constitution?name={name}" if name else "/constitution")
    expect(page.locator(".cai-draft-bar h2")).not_to_be_empty()


def new(page: Page, name: str, copy: str = "minimal") -> None:
    """A fresh constitution for one test: the module's tests share a studio."""
    open_page(page, copy)
    page.get_by_role("tab", name="New, import, export").click()
    page.get_by_role("textbox", name="New constitution").fill(name)
    page.get_by_label("begin as a copy").check()
    page.get_by_role("button", name="Create").click()
    # A second try would find the name taken, so the first one gets the time of a busy machine.
    expect(page.locator(".cai-draft-bar h2")).to_have_text(name)
    expect(page.locator(".cai-pc").first).to_be_visible()


def save(page: Page, note: str) -> None:
    page.keyboard.press("Control+s")
    page.get_by_label("Note").fill(note)
    page.keyboard.press("Enter")
    expect(page.locator(".cai-toast")).to_contain_text("Saved as version")


def upload(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Import files…").click()
    chooser.value.set_files(file)


def card(page: Page, number: int) -> Locator:
    return page.locator(".cai-pc").nth(number - 1)


def open_card(page: Page, number: int) -> Locator:
    card(page, number).locator(".cai-pc-toggle").click()
    return card(page, number)


def titles(page: Page) -> list[str]:
    return page.locator(".cai-pc-title").all_inner_texts()


def kept(page: Page) -> None:
    expect(page.locator(".cai-kept")).to_have_text("draft kept")


def test_sixteen_cards_say_what_they_hold_in_a_line(page: Page, shot: Callable[[str], None]) -> None:
    open_page(page, "harmless")
    expect(page.locator(".cai-pc")).to_have_count(16)
    expect(card(page, 1)).to_contain_text("critique · comparison · 4 examples")
    heights = page.eval_on_selector_all(".cai-pc", "cards => cards.map(card => card.offsetHeight)")
    assert max(heights) < 45
    expect(page.get_by_role("button", name="Save version…")).to_have_attribute("aria-disabled", "true")
    assert "name=harmless" in page.url
    assert "/constitution" in page.url
    shot("constitution-cards")


def test_an_edit_outlives_a_refresh_and_becomes_a_version(page: Page, shot: Callable[[str], None]) -> None:
    new(page, "one")
    save(page, "the first")
    first = open_card(page, 1)
    first.get_by_label("Title", exact=True).fill("Kind above all")
    first.get_by_label("Critique request").fill("Say where the answer is unkind.")
    page.reload()  # at once: what was typed last has not been sent yet
    expect(page.locator(".cai-pc-title").first).to_have_text("Kind above all")
    expect(page.locator(".cai-draft-what")).to_contain_text("2 changes not saved")
    kept(page)
    page.reload()
    first = open_card(page, 1)
    expect(first.get_by_label("Critique request")).to_have_value("Say where the answer is unkind.")
    save(page, "kinder <b>words</b>")
    page.get_by_role("tab", name="History").click()
    rows = page.locator("#versions tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("kinder <b>words</b>")
    changes = page.locator("#changes")
    expect(changes.locator("ins", has_text="Kind").first).to_be_visible()
    expect(changes).to_contain_text("critique request")
    expect(changes.locator("del").first).to_be_visible()
    shot("constitution-history")
    rows.nth(1).get_by_role("button", name="Restore").click()
    expect(page.locator(".cai-pc-title").first).to_contain_text("Not harmful")
    expect(page.locator(".cai-draft-what")).to_contain_text("2 changes not saved")
    save(page, "back")
    page.get_by_role("tab", name="History").click()
    expect(rows).to_have_count(3)


def test_undo_redo_delete_duplicate_and_reorder_by_keyboard(page: Page) -> None:
    new(page, "two")
    card(page, 1).get_by_role("button", name="Duplicate").click()
    expect(card(page, 2).get_by_label("Title", exact=True)).to_be_focused()
    page.keyboard.type("Second")
    page.get_by_role("button", name="Add a principle").click()
    expect(card(page, 3).get_by_label("Title", exact=True)).to_be_focused()
    page.keyboard.type("Third")
    expect(card(page, 3).locator(".cai-problem").first).to_contain_text("says nothing")
    expect(page.get_by_role("button", name="1 problem to mend")).to_be_visible()
    page.keyboard.press("Alt+ArrowUp")
    expect(card(page, 2).get_by_label("Title", exact=True)).to_be_focused()
    assert titles(page)[1:] == ["Third", "Second"]
    card(page, 2).get_by_role("button", name="Move down").focus()
    page.keyboard.press("Enter")
    assert titles(page)[1:] == ["Second", "Third"]
    card(page, 2).get_by_role("button", name="Delete").click()
    assert titles(page)[1:] == ["Third"]
    expect(page.locator(".cai-toast")).to_contain_text("Deleted “Second”.")
    page.locator(".cai-toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".cai-pc")).to_have_count(3)
    page.locator(".cai-draft-bar h2").click()
    page.keyboard.press("Control+z")
    expect(page.locator(".cai-pc-title").nth(1)).to_have_text("Third")
    page.keyboard.press("Control+Shift+Z")
    expect(page.locator(".cai-pc-title").nth(1)).to_have_text("Second")
    page.reload()
    expect(page.locator(".cai-pc-title").nth(1)).to_have_text("Second")


def test_weight_tags_and_the_switch_are_kept(page: Page) -> None:
    new(page, "three")
    card(page, 1).get_by_role("button", name="Duplicate").click()
    first = open_card(page, 1)
    first.get_by_label("Weight").fill("2.5")
    first.get_by_label("Tags").fill("harm, law")
    card(page, 2).get_by_role("switch").uncheck()
    kept(page)
    page.reload()
    expect(card(page, 1)).to_contain_text("× 2.5")
    expect(card(page, 1).locator(".cai-chip")).to_have_text(["harm", "law"])
    expect(card(page, 2).get_by_role("switch")).not_to_be_checked()
    open_card(page, 1).get_by_label("Weight").fill("heavy")
    expect(card(page, 1).locator(".cai-problem:visible")).to_contain_text("expected a number")
    expect(card(page, 1).get_by_label("Weight")).to_have_attribute("aria-invalid", "true")
    page.get_by_role("tab", name="Try it").click()
    if page.get_by_role("button", name="Show it").is_visible():
        page.get_by_role("button", name="Show it").click()
    page.locator("#trial-prompt textarea").fill("Hello")
    page.get_by_role("button", name="Run both").click()
    expect(page.locator("#trial-problem")).to_contain_text("weight expected a number")


def test_search_filters_and_slash_goes_there(page: Page) -> None:
    open_page(page, "harmless")
    expect(page.locator(".cai-pc")).to_have_count(16)
    page.keyboard.press("/")
    page.keyboard.type("child")
    expect(page.locator(".cai-search")).to_contain_text("of 16 principles")
    expect(page.locator(".cai-pc:visible").first).to_contain_text("Could be read by a child")
    page.keyboard.press("Control+a")
    page.keyboard.type("zzz")
    expect(page.get_by_text("No principle matches")).to_be_visible()


def test_another_tabs_edit_is_shown_and_mine_is_not_lost(page: Page) -> None:
    new(page, "four")
    other = page.context.new_page()
    other.goto("/constitution?name=four")
    open_card(other, 1).get_by_label("Title", exact=True).fill("Theirs")
    kept(other)
    open_card(page, 1).get_by_label("Title", exact=True).fill("Mine")
    expect(page.locator(".cai-toast")).to_contain_text("edited in another tab")
    expect(page.locator(".cai-pc-title")).to_have_text("Theirs")
    page.get_by_role("button", name="Use mine instead").click()
    kept(page)
    other.reload()
    expect(other.locator(".cai-pc-title")).to_have_text("Mine")


def choose(page: Page, name: str) -> None:
    page.get_by_label("Constitution", exact=True).click()
    page.get_by_role("option", name=name).first.click()
    expect(page.locator(".cai-draft-bar h2")).to_have_text(name)
    expect(page).to_have_url(re.compile(f"name={name}"))  # the page has followed the editor


def test_an_offer_ends_where_another_constitution_is_shown(page: Page) -> None:
    new(page, "offered")
    card(page, 1).get_by_role("button", name="Delete").click()
    expect(page.locator(".cai-toast").get_by_role("button", name="Undo")).to_be_visible()
    choose(page, "harmless")
    expect(page.locator(".cai-toast")).to_be_hidden()


def test_what_was_overtaken_stays_until_it_is_used_or_dismissed(page: Page) -> None:
    new(page, "overtaken")
    other = page.context.new_page()
    other.goto("/constitution?name=overtaken")
    open_card(other, 1).get_by_label("Title", exact=True).fill("Theirs")
    kept(other)
    open_card(page, 1).get_by_label("Title", exact=True).fill("Mine")
    use = page.get_by_role("button", name="Use mine instead")
    expect(use).to_be_visible()
    page.get_by_label("Description").fill("typed on")
    kept(page)
    expect(use).to_be_visible()
    choose(page, "harmless")
    expect(use).to_be_hidden()
    page.goto("/constitution?name=overtaken")
    use.click()
    kept(page)
    expect(page.locator(".cai-pc-title")).to_have_text("Mine")
    expect(use).to_be_hidden()
    card(other, 1).get_by_label("Title", exact=True).fill("Theirs again")  # still open there
    expect(other.locator(".cai-pc-title")).to_have_text("Mine")
    other.get_by_role("button", name="Dismiss").click()
    expect(other.get_by_role("button", name="Use mine instead")).to_be_hidden()
    other.reload()
    expect(other.locator(".cai-pc-title")).to_have_text("Mine")
    expect(other.get_by_role("button", name="Use mine instead")).to_be_hidden()


def refuse(route: Route) -> None:
    """A studio that does not answer when an edit is sent."""
    if "keep_draft" in (route.request.post_data or ""):
        route.fulfill(status=500, body="down")
    else:
        route.continue_()


def test_save_and_undo_wait_for_what_was_typed(page: Page, problems: list[str]) -> None:
    new(page, "unanswered")
    save(page, "the first")

    page.route("**/component_server**", refuse)
    card(page, 1).get_by_role("button", name="Duplicate").click()
    expect(page.locator(".cai-kept")).to_contain_text("does not answer")
    page.locator(".cai-draft-bar h2").click()
    page.keyboard.press("Control+z")
    expect(page.locator(".cai-toast")).to_contain_text("does not answer: nothing was done")
    expect(page.locator(".cai-pc")).to_have_count(2)
    page.unroute("**/component_server**")
    kept(page)
    expect(page.locator(".cai-pc")).to_have_count(2)
    page.route("**/component_server**", refuse)
    open_card(page, 1).get_by_label("Title", exact=True).fill("Not sent")
    page.keyboard.press("Control+s")
    page.get_by_label("Note").fill("stays")
    page.keyboard.press("Enter")
    expect(page.locator(".cai-toast")).to_contain_text("no version was saved")
    page.unroute("**/component_server**")
    kept(page)
    page.keyboard.press("Control+s")
    expect(page.get_by_label("Note")).to_have_value("stays")
    page.keyboard.press("Enter")
    expect(page.locator(".cai-toast")).to_contain_text("Saved as version")
    problems[:] = [problem for problem in problems if "500" not in problem]


def test_a_version_that_was_saved_during_a_reload_is_not_covered(page: Page, problems: list[str]) -> None:
    new(page, "reloaded")
    save(page, "the first")
    page.route("**/component_server**", refuse)
    open_card(page, 1).get_by_label("Title", exact=True).fill("Mine")
    expect(page.locator(".cai-kept")).to_contain_text("does not answer")
    other = page.context.new_page()
    open_page(other, "reloaded")
    open_card(other, 1).get_by_label("Title", exact=True).fill("Theirs")
    kept(other)
    save(other, "the second")
    page.reload()
    expect(page.locator(".cai-toast")).to_contain_text("lies aside")
    expect(page.locator(".cai-pc-title")).to_have_text("Theirs")
    expect(page.locator(".cai-draft-what")).not_to_contain_text("not saved")
    page.unroute("**/component_server**")
    page.get_by_role("button", name="Use mine instead").click()
    kept(page)
    expect(page.locator(".cai-pc-title")).to_have_text("Mine")
    problems[:] = [problem for problem in problems if "500" not in problem]


def test_hostile_text_stays_text(page: Page) -> None:
    new(page, "<b>five</b>")
    first = open_card(page, 1)
    for label in ("Title", "Critique request", "Revision request", "Comparison question", "Tags"):
        first.get_by_label(label, exact=True).fill(HOSTILE)
    first.get_by_label("Response").first.fill(HOSTILE)
    page.get_by_label("Description").fill(HOSTILE)
    kept(page)
    save(page, HOSTILE)
    card(page, 1).get_by_label("Title", exact=True).fill("Mild")
    kept(page)
    page.reload()
    first = open_card(page, 1)
    expect(first.get_by_label("Critique request")).to_have_value(HOSTILE)
    page.get_by_role("tab", name="History").click()
    expect(page.locator("#changes")).to_contain_text("onerror")
    expect(page.locator("#versions")).to_contain_text("<img src=x")
    page.get_by_role("tab", name="Try it").click()
    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "owned"


def test_discard_asks_first_and_goes_back(page: Page) -> None:
    new(page, "six")
    save(page, "")
    open_card(page, 1).get_by_label("Title", exact=True).fill("Rash")
    kept(page)
    asked: list[str] = []

    def accept(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept()

    page.on("dialog", accept)
    page.get_by_role("button", name="Discard changes").click()
    expect(page.locator(".cai-pc-title")).not_to_have_text("Rash")
    assert "Discard 1 change" in asked[0]


def test_import_and_export(page: Page, tmp_path: Path) -> None:
    new(page, "seven")
    page.get_by_role("tab", name="New, import, export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "seven.yaml"
    file = tmp_path / "eight.yaml"
    file.write_text(download.value.path().read_text("utf-8").replace("name: seven", "name: eight"), "utf-8")
    upload(page, file)
    expect(page.locator(".cai-draft-bar h2")).to_have_text("eight")
    file.write_text("name: nine\nprinciples:\n  - id: a b\n", "utf-8")
    page.get_by_role("tab", name="New, import, export").click()
    upload(page, file)
    problem = page.locator("#files-problem")
    expect(problem).to_contain_text(re.compile(r"^eight\.yaml:3: principles\[0\]", re.MULTILINE))
    page.get_by_label("Export what is open").click()
    page.get_by_role("option", name="paper-comparison").click()
    page.get_by_role("button", name="Download").click()
    expect(problem).to_contain_text("this would be lost")


def test_a_name_that_is_not_there_teaches(page: Page) -> None:
    page.goto("/constitution?name=nowhere")
    expect(page.get_by_text("There is no constitution of this name")).to_be_visible()


def test_a_blank_constitution_teaches(page: Page) -> None:
    open_page(page)
    page.get_by_role("tab", name="New, import, export").click()
    page.get_by_role("textbox", name="New constitution").fill("blank")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("No principles yet")).to_be_visible()
    page.get_by_role("button", name="Add a principle").click()
    expect(page.locator(".cai-pc")).to_have_count(1)


@pytest.mark.model
@pytest.mark.timeout(400)
def test_try_it_streams_both_sides_live(page: Page, shot: Callable[[str], None]) -> None:
    new(page, "tried")
    save(page, "")
    open_card(page, 1).get_by_label("Critique request").fill("Say where the answer is too long.")
    page.get_by_role("tab", name="Try it").click()
    if page.get_by_role("button", name="Show it").is_visible():
        page.get_by_role("button", name="Show it").click()
    page.locator("#trial-prompt textarea").fill("How do I make a campfire?")
    page.get_by_label("Max tokens").fill("12")
    page.get_by_role("button", name="Run both").click()
    for side in ("#trial-saved", "#trial-draft"):
        expect(page.locator(f"{side} .cai-revision:not([aria-busy])")).to_be_visible(timeout=200_000)
        expect(page.locator(f"{side} .cai-chip").first).to_contain_text("Not harmful")
    expect(page.locator("#trial-answer .cai-response")).to_have_count(1)
    expect(page.locator("#trial-draft")).to_contain_text("too long")
    expect(page.get_by_role("button", name="Stop")).to_be_disabled()
    shot("constitution-trial")
