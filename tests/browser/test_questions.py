"""The Elo page's tab of questions in a real browser: both figures drawn, and a run that is started there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.usefixtures("bundled_folder")]

SLOW = 180_000  # ms: the first figure loads scipy and pandas; a run loads its model


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose session `test` holds two models' answers."""
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding_questions.py")
    subprocess.run([sys.executable, str(script), str(home / "sessions" / "test")], check=True)
    return home


@pytest.fixture
def opened(page: Page) -> Page:
    """The tab, past the notice."""
    page.add_init_script("localStorage.setItem('cai-notice', 'read')")
    page.goto("/elo?view=questions")
    expect(page.locator("#hhh .points path").first).to_be_visible(timeout=SLOW)
    return page


@pytest.mark.parametrize(
    "page",
    [{"scheme": scheme, "width": width} for scheme in ("light", "dark") for width in (1280, 1920)],
    indirect=True,
)
def test_both_figures_are_drawn_and_fit(
    opened: Page, shot: Callable[[str], None], request: pytest.FixtureRequest
) -> None:
    expect(opened.locator("#hhh .points path")).to_have_count(2)
    assert opened.locator("#sure .points path").count() >= 4
    expect(opened.get_by_role("tab", name="Questions")).to_have_count(1)
    given = request.node.callspec.params["page"]
    shot(f"questions-{given['scheme']}-{given['width']}")
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_questions_are_put_and_their_answers_drawn(opened: Page, tmp_path: Path) -> None:
    opened.locator("#evals-start").click()
    expect(opened.locator("#evals-problem")).to_contain_text("choose a file of questions")
    rows = [
        {"prompt": f"Human: Is {n} even?\n (A) yes\n (B) no", "corrects": [" (A)"], "incorrects": [" (B)"]}
        for n in (2, 4)
    ]
    file = tmp_path / "even.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened.locator("#evals-file input[type=file]").set_input_files(file)
    expect(opened.locator("#evals-file")).to_contain_text("even")
    opened.locator("#evals-start").click()
    expect(opened.locator("#evals-runs")).to_contain_text("even · bundled")
    expect(opened.locator("#hhh .points path")).to_have_count(3, timeout=SLOW)
