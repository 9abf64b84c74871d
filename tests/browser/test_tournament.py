"""A tournament from the page: the bundled model against a tiny one, judged by a tiny preference model."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.timeout(600)]

PATIENT = 60_000  # ms: a busy machine
SLOW = 300_000  # ms: a run loads two models and a judge


@pytest.fixture(scope="module")
def studio_home(tiny_model: Path, tiny_pm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding_tournament.py")
    subprocess.run([sys.executable, script, home / "sessions" / "test", tiny_model, tiny_pm], check=True)
    return home


@pytest.fixture
def form(page: Page) -> Page:
    """The page, past its notice."""
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/elo?view=tournaments")
    expect(page.locator("#evaluate-goes")).to_contain_text("Choose two models or more", timeout=PATIENT)
    return page


def add(page: Page, model: str) -> None:
    page.locator("#evaluate-models input").fill(model)
    page.locator("#evaluate-models input").press("Enter")
    page.locator("#evaluate-models input").press("Escape")


def test_what_would_be_unfair_is_refused_before_it_starts(form: Page, shot: Callable[[str], None]) -> None:
    page = form
    expect(page.locator("#runs")).to_contain_text("No tournaments yet")
    add(page, "RL-CAI")
    goes = page.locator("#evaluate-goes")
    expect(goes).to_contain_text(
        "models were trained on prompts that they are to be measured on", timeout=PATIENT
    )
    expect(goes).to_contain_text("RL-CAI, β 0.05 · RL (RLOO)")
    shot("tournament-refused")
    page.get_by_role("button", name="Start the tournament").click()
    expect(page.locator("#evaluate-problem")).to_contain_text("trained on prompts", timeout=PATIENT)
    expect(page.locator("#runs")).to_contain_text("No tournaments yet")


def test_a_tournament_runs_to_its_ratings_and_matchups(
    form: Page, tmp_path: Path, shot: Callable[[str], None]
) -> None:
    page = form
    (tmp_path / "mine.txt").write_text("How can I light a fire in the forest?\nWhy is the sky blue?\n")
    add(page, "SL-CAI")
    page.locator("#evaluate-file input[type=file]").set_input_files(tmp_path / "mine.txt")
    page.get_by_role("button", name="More settings").click()
    page.locator("#evaluate-max_tokens input").fill("6")
    page.locator("#evaluate-max_tokens input").blur()
    goes = page.locator("#evaluate-goes")
    expect(goes).to_contain_text("at most 24 tokens of answers", timeout=PATIENT)
    expect(goes).to_contain_text("2 prompts · 4 answers · 2 matchups · 4 scores by the judge")
    expect(page.locator("#evaluate-command")).to_contain_text("--models bundled")
    page.get_by_role("button", name="Start the tournament").click()
    expect(page).to_have_url(re.compile(r"[?&]run=[0-9a-f-]{36}"), timeout=PATIENT)
    expect(page.locator("#run .cai-status")).to_have_text("finished", timeout=SLOW)
    expect(page.locator("#run")).to_contain_text("2 of 2")
    found = page.locator("#samples")
    expect(found).to_contain_text("harmless, judged by judge × 800", timeout=PATIENT)
    expect(found).to_contain_text("Why is the sky blue?")
    expect(found.locator(".cai-sample")).to_have_count(2)
    assert found.locator("img").count() == 0
    shot("tournament-finished")
