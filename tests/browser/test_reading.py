"""Reading, judging, branching and exporting in a real browser, on a session that already has chains."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas
import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

pytestmark = pytest.mark.browser

CHAINS = 12
RUN = "00000000-0000-7000-9000-000000000001"
ID = "00000000-0000-7000-8000-{:012}"
UNREAD = 600  # ms: the page takes no verdict on a chain that came just now
SLOW = 120_000  # ms: the first branch loads the model


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose session `test` holds finished chains."""
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding.py")
    subprocess.run([sys.executable, str(script), str(home / "sessions" / "test"), str(CHAINS)], check=True)
    return home


@pytest.fixture
def reading(page: Page) -> Page:
    """The reading page, past the notice."""
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/reading")
    expect(page.locator("#reading .cai-label").first).to_be_visible()
    return page


def chain(page: Page) -> str:
    return str(page.locator("#reading [data-chain]").get_attribute("data-chain"))


def press(page: Page, key: str) -> None:
    """Press a key and wait for the next chain."""
    before = chain(page)
    if key in "ar":
        page.wait_for_timeout(UNREAD)
    page.keyboard.press(key)
    expect(page.locator("#reading [data-chain]")).not_to_have_attribute("data-chain", before)


def judged(page: Page) -> Locator:
    return page.locator("#figures")


def test_six_chains_are_judged_by_keys_alone(reading: Page, shot: Callable[[str], None]) -> None:
    page = reading
    shot("reading")
    assert chain(page) == ID.format(0)
    for key in "aararr":
        press(page, key)
    expect(judged(page)).to_contain_text("6 of 12 judged")
    expect(judged(page)).to_contain_text("3 accepted, 3 rejected: 50% accepted")
    assert chain(page) == ID.format(6)
    expect(page).to_have_url(re.compile(f"chain={ID.format(6)}&verdict=none"))
    page.reload()
    expect(judged(page)).to_contain_text("6 of 12 judged")
    assert chain(page) == ID.format(6)
    expect(page.locator("header")).to_contain_text("6 of 12 judged")


def test_undo_goes_back_to_the_chain(reading: Page) -> None:
    page = reading
    press(page, "a")
    assert chain(page) == ID.format(7)
    press(page, "u")
    assert chain(page) == ID.format(6)
    expect(page.locator("#said")).to_contain_text("Taken back")
    expect(page.locator("#reading .cai-verdict")).to_have_text("not judged")
    expect(judged(page)).to_contain_text("6 of 12 judged")


def test_a_note_is_typed_and_kept_and_its_letters_are_no_keys(reading: Page) -> None:
    page = reading
    here = chain(page)
    page.keyboard.press("n")
    page.keyboard.type("a rude <b>joke</b> us")
    page.reload()  # before it was kept
    box = page.get_by_role("textbox", name="Note")
    expect(box).to_have_value("a rude <b>joke</b> us")
    page.wait_for_timeout(1500)  # what the reload asked for is answered: it would clear the word below
    page.keyboard.press("n")
    page.keyboard.press("End")
    page.keyboard.type("!")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("Note kept")
    page.reload()
    expect(box).to_have_value("a rude <b>joke</b> us!")
    assert chain(page) == here
    expect(judged(page)).to_contain_text("6 of 12 judged")
    page.keyboard.press("n")
    page.keyboard.type("no")
    page.keyboard.press("Escape")
    expect(box).to_have_value("a rude <b>joke</b> us!")


def test_a_note_that_was_not_kept_is_sent_again_and_outlives_a_reload(
    reading: Page, problems: list[str]
) -> None:
    page = reading
    box = page.get_by_role("textbox", name="Note")

    def has_note(request: Request) -> bool:
        return '"note":"hard to say"' in (request.post_data or "")

    def away(route: Route) -> None:
        if has_note(route.request):
            route.abort()
        else:
            route.continue_()

    page.wait_for_timeout(1500)  # what the page asks for at first is answered: it would clear the word below
    page.route("**/gradio_api/**", away)
    box.fill("hard to say")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if has_note(request) else None)
    box.press("Enter")
    for _ in range(20):  # a page whose request failed asks for all anew, and hears no key meanwhile
        page.wait_for_timeout(1000)
        page.keyboard.press("r")
        if len(sent) > 1:
            break
    assert len(sent) > 1
    page.reload()
    expect(box).to_have_value("hard to say")
    page.unroute("**/gradio_api/**")
    page.wait_for_timeout(1500)
    box.focus()
    box.press("Enter")
    expect(page.locator("#said")).to_contain_text("Note kept")
    here = chain(page)
    expect(box).to_have_js_property("defaultValue", "hard to say")
    assert page.evaluate(f"sessionStorage.getItem('cai-note:{here}')") is None
    page.keyboard.press("u")
    expect(page.locator("#said")).to_contain_text("Taken back")
    problems[:] = [problem for problem in problems if "ERR_FAILED" not in problem]


def test_a_note_that_was_not_kept_stays_with_its_chain(reading: Page) -> None:
    page = reading
    press(page, "j")
    box, here, unanswered = (
        page.get_by_role("textbox", name="Note"),
        chain(page),
        re.compile('"action":"note"'),
    )
    page.route(
        "**/gradio_api/**",
        lambda route: None if unanswered.search(route.request.post_data or "") else route.continue_(),
    )
    box.fill("of this chain alone")
    with page.expect_request(lambda request: bool(unanswered.search(request.post_data or ""))):
        box.press("Enter")
    press(page, "j")
    expect(box).to_have_value("")
    press(page, "k")
    assert chain(page) == here
    expect(box).to_have_value("of this chain alone")


def test_what_an_input_method_composes_is_no_key(reading: Page) -> None:
    box = reading.get_by_role("textbox", name="Note")
    box.focus()
    for key in ("Enter", "Escape"):
        box.dispatch_event("keydown", {"key": key, "isComposing": True, "bubbles": True})
        expect(box).to_be_focused()


def test_keys_work_with_caps_lock_on(reading: Page) -> None:
    before = chain(reading)
    press(reading, "J")
    press(reading, "K")
    assert chain(reading) == before


def test_arrows_walk_help_opens_and_filters_narrow(reading: Page, shot: Callable[[str], None]) -> None:
    page = reading
    press(page, "j")
    press(page, "ArrowRight")
    press(page, "k")
    press(page, "ArrowLeft")
    assert chain(page) == ID.format(6)
    page.keyboard.press("?")
    expect(page.locator("#reading-keys")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#reading-keys")).to_be_hidden()
    page.get_by_role("button", name="Search and filters").click()
    page.get_by_label("Verdict").click()
    page.get_by_role("option", name="accepted").click()
    expect(page.locator("#reading .cai-verdict")).to_have_text("✓ accepted")
    page.get_by_label("Search").fill("forest")
    expect(judged(page)).to_contain_text("that match judged")
    expect(page.locator("#reading")).to_contain_text("forest")
    shot("reading-filtered")
    page.reload()
    expect(page.locator("#reading")).to_contain_text("forest")
    expect(page).to_have_url(re.compile("text=forest.*verdict=accepted"))


def test_buttons_do_what_keys_do_and_hold_the_focus(reading: Page) -> None:
    page = reading
    button = page.get_by_role("button", name="Skip")
    button.focus()
    press(page, "Enter")
    expect(button).to_be_focused()
    press(page, "Enter")
    assert chain(page) == ID.format(8)


def test_a_key_is_answered_at_once(reading: Page) -> None:
    page = reading
    press(page, "j")
    took = []
    for key in "jkjk":
        start = time.perf_counter()
        press(page, key)
        took.append(time.perf_counter() - start)
    assert min(took) < 1.0, took


@pytest.mark.parametrize(
    ("form", "kind"),
    [("Messages", "JSONL"), ("Messages", "Parquet"), ("CAI columns", "Parquet"), ("chains.jsonl", "JSONL")],
)
def test_an_export_downloads_and_opens(reading: Page, tmp_path: Path, form: str, kind: str) -> None:
    page = reading
    page.get_by_role("button", name="Export the accepted").click()
    page.locator("#export-form").get_by_role("radio", name=form).check()
    page.locator("#export-kind").get_by_role("radio", name=kind).check()
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator("#export-said")).to_contain_text("3 accepted chains")
    with page.expect_download() as download:
        page.locator("#export-file a[download]").first.click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    if kind == "Parquet":
        with duckdb.connect() as con:
            back = con.from_parquet(str(path))
            rows = [dict(zip(back.columns, row, strict=True)) for row in back.fetchall()]
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(pandas.read_json(path, lines=True)) == 3
    assert len(rows) == 3
    if form == "Messages":
        assert [row["chain_id"] for row in rows] == [ID.format(number) for number in (0, 1, 3)]
        assert rows[0]["messages"][-1]["content"].startswith("I can't help")


def test_the_chains_page_shows_and_filters_by_verdict(page: Page) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(f"/chains?chain={ID.format(0)}")
    expect(page.locator("#heading .cai-verdict")).to_have_text("✓ accepted")
    expect(page.locator("#chains li")).to_have_count(CHAINS)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Verdict").click()
    page.get_by_role("option", name="rejected").click()
    expect(page.locator("#chains li")).to_have_count(3)


def test_a_run_leads_to_its_chains_and_they_stay_together(page: Page, shot: Callable[[str], None]) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(f"/runs?run={RUN}")
    shot("run-of-chains")
    page.get_by_role("link", name="All on the Chains page").click()
    expect(page).to_have_url(re.compile(rf"/chains\?run={RUN}$"))
    listed, count = page.locator("#chains li"), page.locator(".cai-list-count")
    expect(listed).to_have_count(4)
    expect(count).to_contain_text("4 chains of the run seeded & <b>run</b>")
    listed.first.get_by_role("link").click()
    expect(page.locator("#heading")).to_contain_text("seed 3")
    expect(page).to_have_url(re.compile(rf"chain={ID.format(3)}&run={RUN}$"))
    expect(listed).to_have_count(4)
    shot("chains-of-run")
    page.get_by_label("Search").fill("forest")
    expect(listed).to_have_count(1)
    page.reload()  # what narrows the list is in the address
    expect(page.get_by_label("Search")).to_have_value("forest")
    expect(listed).to_have_count(1)
    page.wait_for_timeout(1000)
    expect(listed).to_have_count(1)
    expect(page).to_have_url(re.compile(f"run={RUN}&text=forest$"))
    count.get_by_role("link", name="Show all").click()
    expect(listed).to_have_count(CHAINS)
    expect(page.locator("#heading")).to_contain_text("seed 3")
    page.goto(f"/runs?run={RUN}")
    page.get_by_role("link", name="Read and judge them").click()
    expect(judged(page)).to_contain_text("of 4 that match judged")
    page.goto(f"/reading?run={RUN}&verdict=any")
    expect(page.locator("#reading .cai-label").first).to_be_visible()
    page.wait_for_timeout(1000)  # no late answer may widen it again
    press(page, "j")
    expect(judged(page)).to_contain_text("of 4 that match judged")
    expect(page).to_have_url(re.compile(f"run={RUN}&verdict=any$"))
    page.goto("/chains?run=nothing&verdict=strange")
    expect(page.locator("#chains")).to_contain_text("No chain matches")
    page.get_by_role("button", name="Filters").click()
    expect(page.get_by_label("Run", exact=True)).to_have_value("nothing")


def test_a_half_typed_edit_outlives_a_refresh_until_it_is_cancelled(page: Page) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(f"/chains?chain={ID.format(9)}")
    page.get_by_role("button", name="Critique 1: edit").click()
    field = page.get_by_role("textbox", name="Critique 1: your text")
    field.fill("It says <b>nothing</b> of")
    page.reload()
    expect(field).to_have_value("It says <b>nothing</b> of")
    expect(page.get_by_role("textbox", name="Response: your text")).to_be_hidden()
    page.goto(f"/chains?chain={ID.format(11)}")  # another chain's step is another text
    expect(page.locator("#steps .cai-step")).to_have_count(5)
    expect(field).to_be_hidden()
    page.goto(f"/chains?chain={ID.format(9)}")
    field.press("Escape")
    expect(field).to_be_hidden()
    page.reload()
    expect(page.locator("#steps .cai-step")).to_have_count(5)
    expect(field).to_be_hidden()
    page.get_by_role("button", name="Critique 1: edit").click()
    expect(field).to_have_value(re.compile("^The answer helps to break"))


@pytest.mark.model
@pytest.mark.usefixtures("bundled_folder")
def test_an_edited_step_branches_and_both_compare(page: Page, shot: Callable[[str], None]) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(f"/chains?chain={ID.format(10)}")
    steps = page.locator("#steps .cai-step")
    expect(steps).to_have_count(3, timeout=SLOW)  # the machine may be busy with another model
    before = steps.all_inner_texts()
    page.get_by_role("button", name="Response: edit").focus()
    page.keyboard.press("Enter")
    field = page.get_by_role("textbox", name="Response: your text")
    expect(field).to_be_focused()
    field.fill("No. <img src=x onerror=alert(1)> Ask your neighbor.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#heading")).to_contain_text("by local", timeout=SLOW)
    expect(page.locator("#heading")).to_contain_text("finished", timeout=SLOW)
    expect(steps).to_have_count(3)
    expect(steps.first).to_contain_text("No. <img src=x onerror=alert(1)> Ask your neighbor.")
    expect(steps.first).to_have_class(re.compile("cai-person"))
    expect(steps.last).to_have_class(re.compile("cai-model"))
    expect(page.locator("#family li")).to_have_count(2)
    expect(page.locator("#family")).to_contain_text("Response edited")
    shot("branch")
    page.get_by_role("link", name="Compare").click()
    expect(page.locator(".cai-compare .cai-pair")).to_have_count(4)
    expect(steps.first).to_be_hidden()
    shot("compare")
    page.get_by_role("link", name="Close the comparison").click()
    expect(steps.first).to_be_visible()
    page.locator("#family").get_by_role("link", name="First chain").click()
    expect(steps).to_have_count(3)
    assert steps.all_inner_texts() == before


@pytest.mark.model
@pytest.mark.usefixtures("bundled_folder")
def test_a_redrawn_step_has_a_seed_of_its_own(page: Page) -> None:
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto(f"/chains?chain={ID.format(8)}")
    expect(page.locator("#heading")).to_contain_text("seed 8", timeout=SLOW)
    before = max(1, page.locator("#family li").count())  # more where this test is run again
    page.get_by_role("button", name="Revision 1: redraw").dblclick()
    expect(page.locator("#heading")).to_contain_text("by local", timeout=SLOW)
    expect(page.locator("#heading")).to_contain_text("finished", timeout=SLOW)
    expect(page.locator("#heading")).not_to_contain_text("seed 8 ")
    expect(page.locator("#family")).to_contain_text("Revision 1 redrawn")
    expect(page.locator("#family li")).to_have_count(before + 1)
