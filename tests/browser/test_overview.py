"""The overview, the tour's button, the help and the glossary in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser]

CHAINS = 4
SLOW = 120_000  # ms: a run loads its model


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose session `test` holds finished chains."""
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding.py")
    subprocess.run([sys.executable, str(script), str(home / "sessions" / "test"), str(CHAINS)], check=True)
    return home


def test_the_loop_has_the_sessions_counts_and_leads_to_each_page(
    page: Page, shot: Callable[[str], None]
) -> None:
    page.goto("/")
    ring = page.get_by_role("list", name="The loop, with what this session holds")
    expect(ring.get_by_role("listitem")).to_have_count(10)
    expect(ring).to_contain_text(re.compile(r"4\s+chains, 4 finished"))
    expect(ring.locator("[aria-current=step]")).to_contain_text("Constitution")
    following = page.get_by_role("region", name="Next")
    expect(following).to_contain_text("Change what the critiques look for")
    expect(page.locator("#recent")).to_contain_text("seeded & <b>run</b>")
    shot("overview")
    following.get_by_role("link", name="Edit a principle").click()
    expect(page).to_have_title(re.compile("Constitution"))
    page.go_back()
    ring.get_by_role("link", name=re.compile("^Read")).click()
    expect(page).to_have_title(re.compile("Read"))


@pytest.mark.model
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("bundled_folder")
def test_the_tour_starts_stops_and_goes_on(page: Page, shot: Callable[[str], None]) -> None:
    page.goto("/")
    start, stop = page.locator("#tour-start"), page.locator("#tour-stop")
    resume, tour = page.locator("#tour-resume"), page.locator("#tour")
    expect(stop).to_be_disabled()
    start.click()
    expect(tour.locator(".cai-stage")).to_have_count(10)
    expect(start).to_be_disabled()
    stands = tour.locator("[role=status]").first
    expect(stands).to_contain_text("Running: Critique and revision")
    expect(tour.locator("[aria-current=step]")).to_contain_text("criticises each answer under a principle")
    page.reload()
    expect(stands).to_contain_text("Running: Critique and revision")
    shot("overview-tour")
    stop.click()
    expect(stands).to_contain_text("Stopped: Critique and revision", timeout=SLOW)
    expect(resume).to_be_enabled()
    resume.click()
    expect(stands).to_contain_text(re.compile("Waiting|Running"))
    expect(stop).to_be_enabled()
    stop.click()
    expect(stands).to_contain_text(re.compile("Stopped|Taken from the queue"), timeout=SLOW)


def test_the_help_leads_to_the_word_in_the_glossary(page: Page, shot: Callable[[str], None]) -> None:
    page.goto("/audit")
    about = page.locator("details.cai-about")
    about.get_by_text("About this page").click()
    expect(about).to_contain_text("Your own judgments, blind")
    about.get_by_role("link", name="Gate").click()
    expect(page).to_have_url(re.compile("glossary#gate$"))
    found = page.locator(".cai-glossary [aria-current]")
    expect(found).to_contain_text("The check before training on AI labels")
    expect(found).to_be_in_viewport()
    shot("glossary")
