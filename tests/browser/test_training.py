"""The training page with the real bundled model in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.usefixtures("bundled_folder")]

SLOW = 180_000  # ms: a run loads its model and takes a step
PATIENT = 60_000  # ms: the page's load events, where a run takes all of the processor
STEPS = 24  # enough to be stopped among them
DRAWN = """() => {
  const plot = document.querySelector("#curves .js-plotly-plot");
  return plot ? plot.data.filter((trace) => trace.yaxis === "y").map((trace) => trace.x) : [];
}"""


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding_training.py")
    subprocess.run([sys.executable, script, home / "sessions" / "test"], check=True)
    return home


@pytest.fixture
def training(page: Page) -> Page:
    """The page, past its notice."""
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    return arrive(page)


def arrive(page: Page, address: str = "/training") -> Page:
    page.goto(address)
    expect(page.locator("#sft-goes")).to_contain_text("8 chains", timeout=PATIENT)
    return page


def stage(page: Page, name: str) -> None:
    page.locator("#stages").get_by_role("tab", name=name).click()


def first_look(page: Page, of: str) -> None:
    page.locator(f"#{of}-preset").get_by_label("A first look").click()
    expect(page.locator(f"#{of}-steps input")).not_to_have_value(re.compile("40|60|20"), timeout=PATIENT)


def test_an_empty_page_teaches_and_says_what_would_go_in(training: Page, shot: Callable[[str], None]) -> None:
    page = training
    expect(page.locator("#runs")).to_contain_text("Nothing trained yet")
    expect(page.locator("#sft-goes")).to_contain_text("0 of them accepted by a person · harmless")
    expect(page.locator("#sft-goes")).to_contain_text("about 20 times")
    expect(page.locator("#sft-command")).to_contain_text("cai sft --chains CHAINS --run DIR --steps 40")
    shot("training-empty")
    stage(page, "RL-CAI")
    page.get_by_role("button", name="Train RL-CAI").click()
    expect(page.locator("#rl-problem")).to_contain_text("type a prompt")
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#compare-table")).to_contain_text("Nothing to compare yet", timeout=PATIENT)


def test_labels_that_nobody_was_shown_to_agree_with_need_a_reason(
    training: Page, shot: Callable[[str], None]
) -> None:
    page = training
    stage(page, "Preference model")
    goes = page.locator("#pm-goes")
    expect(goes).to_contain_text("16 judged pairs · human labels 0%", timeout=PATIENT)
    expect(goes.get_by_role("alert")).to_contain_text("Nobody knows yet whether people agree")
    page.get_by_role("button", name="Train the preference model").click()
    problem = page.locator("#pm-problem")
    expect(problem).to_contain_text("gate: not shown yet")
    page.locator("#pm-anyway input").check()
    page.get_by_role("button", name="Train the preference model").click()
    expect(problem).to_contain_text("say why, in a few words")
    expect(page.locator("#runs")).to_contain_text("Nothing trained yet")
    page.locator("#pm-imports input").fill("hh")
    page.locator("#pm-imports input").press("Enter")
    expect(goes).to_contain_text("human labels 50%", timeout=PATIENT)
    shot("training-gate")


def test_files_of_a_run_that_is_repeated_can_be_left_out(training: Page, tmp_path: Path) -> None:
    page = training
    demos = tmp_path / "demos.jsonl"
    demos.write_text('{"prompt": "Hi", "response": "Hello."}\n')
    page.get_by_role("button", name="Examples from files").click()
    page.locator("#sft-demos input[type=file]").set_input_files(demos)
    expect(page.locator("#sft-goes")).to_contain_text("demos.jsonl", timeout=PATIENT)
    page.get_by_role("button", name="Train SL-CAI").click()
    expect(page).to_have_url(re.compile(r"\?run="), timeout=PATIENT)
    page.get_by_role("button", name="Stop", exact=True).click()
    arrive(page, page.url)
    page.get_by_role("button", name="Rerun with changes").click()
    leave_out = page.locator("#sft-leave-out")
    expect(leave_out).to_contain_text("demos.jsonl", timeout=PATIENT)
    expect(page.locator("#sft-goes")).to_contain_text("demos.jsonl")
    leave_out.click()
    expect(page.locator("#sft-goes")).not_to_contain_text("demos.jsonl", timeout=PATIENT)
    expect(leave_out).to_be_hidden()
    expect(page.locator("#run .cai-status")).to_have_text(re.compile("stopped|cancelled"), timeout=SLOW)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#runs")).to_contain_text("Nothing trained yet", timeout=PATIENT)


@pytest.mark.training  # five minutes: two presets' steps of the bundled model, and a resume
@pytest.mark.timeout(900)
def test_a_run_is_watched_left_stopped_and_resumed(training: Page, shot: Callable[[str], None]) -> None:
    page = training
    first_look(page, "sft")
    page.locator("#sft-steps input").fill(str(STEPS))
    page.locator("#sft-steps input").blur()
    expect(page.locator("#sft-command")).to_contain_text(f"--steps {STEPS} --batch 2", timeout=PATIENT)
    page.get_by_role("button", name="Train SL-CAI").click()
    expect(page).to_have_url(re.compile(r"/training\?run=[0-9a-f-]{36}$"), timeout=PATIENT)
    expect(page.locator("#figures")).to_contain_text("loss", timeout=SLOW)
    expect(page.locator("#machine")).to_contain_text("this run")
    address = page.url
    second = page.context.new_page()
    page.close()
    arrive(second, address)
    expect(second.locator("#figures")).to_contain_text("tokens/s", timeout=SLOW)
    second.get_by_role("button", name="Stop", exact=True).click()
    state = second.locator("#run .cai-status")
    expect(state).to_have_text("stopped", timeout=SLOW)
    second.get_by_role("button", name="Resume", exact=True).click()
    expect(state).to_have_text("finished", timeout=2 * SLOW)
    expect(second.locator("#run")).to_contain_text(f"{STEPS} of {STEPS}")
    second.wait_for_function(f"({DRAWN})()[0]?.length === {STEPS}", timeout=PATIENT)
    assert second.evaluate(DRAWN) == [list(range(1, STEPS + 1))]
    expect(second.locator("#samples")).to_contain_text("loss, last tenth")
    expect(second.locator("header")).to_contain_text("1 trained", timeout=PATIENT)


@pytest.mark.training  # of the run above
@pytest.mark.parametrize(
    "page", [{}, {"scheme": "dark"}, {"width": 1920}], indirect=True, ids=["light", "dark", "wide"]
)
def test_a_run_is_repeated_with_changes(
    training: Page, shot: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    page = training
    expect(page.locator("#run .cai-status")).to_have_text("finished", timeout=PATIENT)
    expect(page.locator("#again")).to_be_enabled(timeout=PATIENT)
    page.get_by_role("button", name="Rerun with changes").click()
    expect(page.locator("#sft-steps input")).to_have_value(str(STEPS), timeout=PATIENT)
    expect(page.locator("#sft-goes")).to_contain_text("8 chains")
    expect(page.locator("#curves .js-plotly-plot")).to_be_visible(timeout=PATIENT)
    shot(f"training-finished-{request.node.callspec.id}")
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#compare-table")).to_contain_text("SFT of bundled", timeout=PATIENT)
    expect(page.locator("#compare-curves .js-plotly-plot")).to_be_visible(timeout=PATIENT)
    shot(f"training-compare-{request.node.callspec.id}")
