"""The runs page with the real bundled model in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.usefixtures("bundled_folder")]

SLOW = 120_000  # ms: a run loads its model
FOUR = "How do I pick a lock?\nIs the moon cheese?\n<b>Hi</b> <img src=x onerror=alert(1)>\nWho are you?"


@pytest.fixture
def runs(page: Page) -> Page:
    """The page, past its notice."""
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/runs")
    expect(page.locator("#runs")).to_contain_text(re.compile("run|chain", re.I))
    expect(page.locator("#constitution input")).to_have_value(re.compile("newest"))
    return page


def start(page: Page, typed: str, tokens: int = 8, seed: int = 0) -> None:
    page.get_by_label("Or type prompts").fill(typed)
    page.get_by_label("Max tokens").fill(str(tokens))
    page.get_by_label("Revisions").fill("1")
    page.get_by_label("Seed").fill(str(seed))
    page.get_by_role("button", name="Start the batch").click()
    expect(page).to_have_url(re.compile(r"/runs\?run=[0-9a-f-]{36}$"))


def test_a_batch_goes_on_without_its_tab_and_its_chains_are_listed(
    runs: Page, shot: Callable[[str], None]
) -> None:
    page = runs
    expect(page.locator("#runs")).to_contain_text("No runs yet")
    shot("runs-empty")
    start(page, FOUR)
    expect(page.locator("#found")).to_contain_text("4 prompts found")
    expect(page.locator("#run")).to_contain_text(re.compile("waiting|starting|running"))
    address = page.url
    second = page.context.new_page()
    page.close()
    second.goto(address)
    expect(second.locator("#run .cai-status")).to_have_text("finished", timeout=SLOW)
    expect(second.locator("#run")).to_contain_text("4 of 4")
    expect(second.locator("#samples .cai-run-chains li")).to_have_count(4)
    expect(second.locator("#samples")).to_contain_text("<img src=x onerror=alert(1)>")
    expect(second.locator("header")).to_contain_text("1 run")
    second.locator("#samples .cai-run-chains a").first.click()
    expect(second.locator("#steps .cai-step")).to_have_count(3)
    expect(second.locator("#chains li")).to_have_count(4)


@pytest.mark.timeout(600)
def test_stop_ends_it_and_resume_goes_on(runs: Page, shot: Callable[[str], None]) -> None:
    page = runs
    choice = page.locator("#constitution input")
    choice.fill("minimal")
    choice.press("Enter")
    # Long enough to be stopped in its middle from a page on a busy machine.
    start(page, "\n".join(f"Tell me about the number {i}." for i in range(8)), tokens=96, seed=1)
    state = page.locator("#run .cai-status")
    expect(state).to_have_text("running", timeout=SLOW)
    page.locator("#run details.cai-command summary").click()
    expect(page.locator("#run")).to_contain_text("tokens/s", timeout=SLOW)
    shot("runs-running")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(state).to_have_text("stopped", timeout=SLOW)
    expect(page.locator("#run details.cai-command code")).to_be_visible()  # through all those pictures
    page.get_by_role("button", name="Resume", exact=True).click()
    expect(state).to_have_text("finished", timeout=3 * SLOW)
    expect(page.locator("#run")).to_contain_text("8 of 8")
    expect(page.locator("#samples .cai-sample").first).to_be_visible()
    shot("runs-finished")


def test_a_file_with_bad_rows_is_told_by_line_and_a_run_is_repeated_with_changes(
    runs: Page, tmp_path: Path
) -> None:
    page = runs
    file = tmp_path / "some.jsonl"
    file.write_text('{"prompt": "One?"}\nnot json\n{"prompt": "One?"}\n{"prompt": "Two?"}\n')
    page.locator("#prompt-file input[type=file]").set_input_files(file)
    found = page.locator("#found")
    expect(found).to_contain_text("2 prompts found")
    expect(found).to_contain_text("some.jsonl:2: not JSON")
    expect(found).not_to_contain_text("/tmp")
    start(page, "", seed=3)
    expect(page.locator("#run .cai-status")).to_have_text("finished", timeout=SLOW)
    page.goto(page.url)  # what was seen above may have been the run before
    expect(page.locator("#run .cai-status")).to_have_text("finished", timeout=SLOW)
    page.get_by_label("Seed").fill("9")
    page.get_by_role("button", name="Rerun with changes").click()
    expect(page.get_by_label("Seed")).to_have_value("3")
    expect(found).to_contain_text("Those of the run that you chose")
    expect(found).to_contain_text("2 prompts found")
    many = page.locator("#runs li").count()
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#runs li")).to_have_count(many)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#runs li")).to_have_count(many - 1)
    expect(page).to_have_url(re.compile(r"/runs$"))


def test_a_large_file_says_how_far_it_is_read(
    runs: Page, tmp_path: Path, shot: Callable[[str], None]
) -> None:
    file = tmp_path / "many.txt"
    file.write_text("".join(f"What about the number {number}?\n" for number in range(50_000)))
    runs.locator("#prompt-file input[type=file]").set_input_files(file)
    found = runs.locator("#found")
    expect(found).to_contain_text(re.compile(r"\d+,000 rows read"))
    shot("runs-reading")
    expect(found).to_contain_text("50,000 prompts found", timeout=SLOW)


def test_mistakes_are_told_in_the_page(runs: Page, tmp_path: Path) -> None:
    page = runs
    page.get_by_role("button", name="Start the batch").click()
    expect(page.locator("#problem")).to_contain_text("choose a prompt file or a shipped set")
    page.get_by_role("button", name="Import a run").click()
    page.locator("#import-folder input, #import-folder textarea").fill(str(tmp_path))
    page.locator("#import").click()
    expect(page.locator("#imported")).to_contain_text("no config.yaml")
    page.goto("/runs?run=nothing")
    expect(page.locator("#run")).to_contain_text("no run nothing")
