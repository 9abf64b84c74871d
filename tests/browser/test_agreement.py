"""The Agreement page in a real browser: the gate in its states, what-if, and figures that open pairs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from studio.components import agreement_whatif
from studio.components.agreement_whatif import Weighed

pytestmark = pytest.mark.browser

SLOW = 120_000  # ms: the first calibration loads scikit-learn


@pytest.fixture(scope="module")
def studio_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose session `test` holds labelled and judged pairs."""
    home = tmp_path_factory.mktemp("home")
    script = Path(__file__).with_name("seeding_agreement.py")
    subprocess.run([sys.executable, str(script), str(home / "sessions" / "test")], check=True)
    return home


@pytest.fixture
def open_page(page: Page) -> Callable[..., Page]:
    """Open the page past the notice, for somebody's judgments."""

    def open(judges: str = "person:ana", axis: str = "harmless") -> Page:
        page.add_init_script("localStorage.setItem('cai-notice', 'read')")
        page.goto(f"/agreement?axis={axis}&annotator={quote(judges)}")
        expect(page.locator("#agreement-top section, #agreement-empty h2").first).to_be_visible(timeout=SLOW)
        return page

    return open


def tab(page: Page, name: str) -> None:
    page.locator("#agreement-tabs").get_by_role("tab", name=name).click()


@pytest.mark.parametrize(
    ("judges", "state"),
    [("person:ana", "agrees"), ("person:ben", "opposed"), ("person:cem", "not shown yet")],
)
def test_the_gate_in_its_three_states(open_page: Callable[..., Page], judges: str, state: str) -> None:
    page = open_page(judges)
    expect(page.locator(".cai-gate")).to_have_attribute("data-gate", state)
    expect(page.locator(".cai-gate-state")).to_contain_text(state)
    if state == "not shown yet":
        expect(page.locator(".cai-gate")).to_contain_text("the next look is after 30 more judgments")


def test_people_are_the_default_and_imports_are_named(open_page: Callable[..., Page]) -> None:
    page = open_page("")
    expect(page.locator("#agreement-top")).to_contain_text("140 judgments of 60 prompts")
    page.get_by_label("Compared with").click()
    page.get_by_role("option", name=re.compile("All imported data sets")).click()
    expect(page.locator("#agreement-top")).to_contain_text("Agreement with imported judgments")
    expect(page.locator("#agreement-top")).to_contain_text("Training will read the one of all people")
    expect(page.locator("#agreement-top")).to_contain_text("60 judgments")
    expect(page).to_have_url(re.compile("annotator=imported"))


def test_a_figure_opens_the_pairs_behind_it(open_page: Callable[..., Page]) -> None:
    page = open_page("person:cem")
    page.locator("#confusion [data-open='cell:a:b']").click()
    drawer = page.locator(".cai-drawer")
    expect(drawer).to_contain_text("Judged a, AI b")
    expect(drawer).to_contain_text("5 judgments")
    link = drawer.get_by_role("link").first
    expect(link).to_have_attribute("href", re.compile(r"audit\?pair=0+0&axis=harmless"))
    page.keyboard.press("Escape")
    expect(drawer).to_have_count(0)
    page.locator("#bins [data-open]").first.click()
    expect(page.locator(".cai-drawer")).to_contain_text("AI says 0.4–0.5 for a")


def test_what_if_flips_labels_and_changes_the_figures(open_page: Callable[..., Page]) -> None:
    page = open_page("person:ana")
    tab(page, "What if")
    expect(page.locator("#whatif-flips")).to_contain_text("0 labels of 80 flipped", timeout=SLOW)
    rows = page.locator("#whatif li[data-principle]:not([data-none])")
    expect(rows).to_have_count(4)
    page.get_by_role("button", name="All off").click()
    expect(page.locator("#outcome")).to_contain_text("No principle is on")
    rows.nth(0).get_by_role("switch").check()
    expect(page.locator("#outcome tbody tr").first).to_contain_text("100.0%")
    rows.nth(1).get_by_role("slider").fill("3")
    expect(page.locator("#whatif-flips")).to_contain_text("80 labels of 80 flipped")
    expect(page.locator("#outcome tbody tr").first).to_contain_text("0.0%")
    expect(page.locator("#outcome")).to_contain_text("held-out half")
    page.get_by_role("button", name="As saved").click()
    expect(page.locator("#whatif-flips")).to_contain_text("0 labels of 80 flipped")


def test_what_was_tried_in_one_comparison_is_not_tried_in_another(open_page: Callable[..., Page]) -> None:
    page = open_page("person:ana")
    tab(page, "What if")
    row = page.locator("#whatif li[data-principle]:not([data-none])").nth(1)
    expect(row).to_be_visible(timeout=SLOW)
    saved = row.locator("output").inner_text()
    row.get_by_role("slider").fill("3")
    row.get_by_role("switch").uncheck()
    expect(page.locator("#outcome tbody tr").first).to_contain_text("100.0%")
    page.get_by_label("Compared with").click()
    page.get_by_role("option", name=re.compile("ben")).click()
    expect(page.locator("#whatif [data-of*=ben]")).to_have_count(1)
    expect(row.get_by_role("switch")).to_be_checked()
    expect(row.locator("output")).to_have_text(saved)
    assert page.evaluate("new Set(Object.values(whatif.weights())).has(0)") is False


def test_a_weighting_becomes_a_constitution_version(open_page: Callable[..., Page]) -> None:
    page = open_page("person:ana")
    tab(page, "What if")
    rows = page.locator("#whatif li[data-principle]:not([data-none])")
    expect(rows).to_have_count(4, timeout=SLOW)
    rows.nth(1).get_by_role("switch").uncheck()
    expect(page.locator("#outcome tbody tr").first).to_contain_text("100.0%")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator("#whatif-said")).to_contain_text("Saved as harmless")
    page.locator("#whatif-said").get_by_role("link").first.click()
    expect(page.locator(".cai-pc-off")).to_have_count(1)


def test_a_weight_that_nobody_touched_is_sent_as_it_was_saved(page: Page) -> None:
    saved = {"a": 0.25, "b": 0.04, "c": 12.345, "d": 1.0}
    principles = [Weighed(id, id, weight, True, 80) for id, weight in saved.items()]
    page.set_content(f'<div id="whatif">{agreement_whatif.panel_html(principles, 80)}</div>')
    script = Path(agreement_whatif.__file__).with_suffix(".js").read_text(encoding="utf-8")
    page.evaluate(
        "script => new Function('element', 'trigger', 'watch', script)(whatif, () => {}, () => {})", script
    )
    page.locator("[data-principle=d] [type=range]").fill("2")
    assert page.evaluate("whatif.weights()") == {**saved, "d": 2}
    page.locator("[data-principle=b] [type=range]").fill("0.4")
    page.get_by_role("button", name="All on").click()
    assert page.evaluate("whatif.weights()") == {**saved, "b": 0.4, "d": 2}
    expect(page.locator("output")).to_have_text(["0.25", "0.4", "12.35", "2"])
    page.get_by_role("button", name="As saved").click()
    assert page.evaluate("whatif.weights()") == saved


def test_triage_opens_the_principle(open_page: Callable[..., Page]) -> None:
    page = open_page("person:ben")
    tab(page, "Disagreements")
    card = page.locator(".cai-triage-card").first
    card.locator("summary").first.click(timeout=SLOW)
    expect(card).to_contain_text("human’s choice")
    expect(card).to_contain_text("<script>alert(2)</script>")
    title = card.locator("tbody tr").first.locator("td").first.inner_text().removeprefix("§ ")
    card.get_by_role("link", name="Open the principle").first.click()
    opened = page.locator(".cai-pc:has(> .cai-pc-body:not([hidden]))")
    expect(opened).to_have_count(1)
    expect(opened.locator(".cai-pc-title")).to_have_text(title)


def test_relabelling_wants_an_amended_principle(open_page: Callable[..., Page]) -> None:
    page = open_page("person:ben")
    tab(page, "Disagreements")
    expect(page.locator(".cai-triage-card").first).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Relabel its pairs").click()
    expect(page.locator("#relabel-said")).to_contain_text("Amend it and save first")


def test_a_calibration_is_kept_and_an_opposed_labeller_has_none(open_page: Callable[..., Page]) -> None:
    page = open_page("person:ana")
    tab(page, "Calibration")
    expect(page.locator("#calibration-plot .js-plotly-plot")).to_be_visible(timeout=SLOW)
    expect(page.locator("#calibration")).to_contain_text("Platt")
    page.get_by_role("button", name="Keep this calibration").click()
    expect(page.locator("#calibration-state")).to_contain_text("In force: Platt")
    page = open_page("person:ben")
    tab(page, "Calibration")
    expect(page.locator("#calibration")).to_contain_text("is not repaired by turning it round", timeout=SLOW)
    expect(page.get_by_role("button", name="Keep this calibration")).to_be_disabled()


def test_what_was_wrong_with_a_calibration_goes_when_something_else_is_started(
    open_page: Callable[..., Page],
) -> None:
    page = open_page("imported")
    tab(page, "Calibration")
    keep = page.get_by_role("button", name="Keep this calibration")
    expect(keep).to_be_enabled(timeout=SLOW)
    keep.click()
    problem = page.locator("#calibration-problem")
    expect(problem).to_contain_text("choose people above")
    page.get_by_role("button", name="Use probabilities as labelled").click()
    expect(problem).to_have_text("")


def test_an_export_downloads(open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page("person:ana")
    tab(page, "Export")
    expect(page.locator("#export-command")).to_contain_text("cai preferences", timeout=SLOW)
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.locator("#export-said")).to_contain_text("80 rows")
    with page.expect_download() as download:
        page.locator("#export-file a[download]").first.click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert len(path.read_text().splitlines()) == 80


def test_an_axis_without_judgments_teaches(open_page: Callable[..., Page]) -> None:
    page = open_page("person", axis="helpful")
    expect(page.locator("#agreement-empty")).to_contain_text("Nothing to compare with yet")
    expect(page.locator("#agreement-empty").get_by_role("link").first).to_have_attribute(
        "href", re.compile("audit")
    )


@pytest.mark.parametrize(
    "page",
    [
        {"scheme": scheme, "width": width}
        for scheme, width in (("light", 1280), ("dark", 1280), ("light", 1920), ("dark", 1920))
    ],
    indirect=True,
)
def test_every_plot_is_drawn_and_fits(
    open_page: Callable[..., Page],
    shot: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> None:
    page = open_page("person")
    given = request.node.callspec.params["page"]
    for name, plot in (
        ("Figures", "#reliability"),
        ("Labellers", "#labellers-plot"),
        ("Calibration", "#calibration-plot"),
    ):
        tab(page, name)
        expect(page.locator(f"{plot} .main-svg").first).to_be_visible(timeout=SLOW)
        expect(page.locator(f"{plot} .points path").first).to_be_visible()
        shot(f"agreement-{name.lower()}-{given['scheme']}-{given['width']}")
    for name in ("Disagreements", "What if", "Export"):
        tab(page, name)
        shot(f"agreement-{name.lower().replace(' ', '-')}-{given['scheme']}-{given['width']}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_pair_that_was_listed_with_its_label_is_not_blind_on_the_audit_page(
    page: Page, open_page: Callable[..., Page]
) -> None:
    page.add_init_script("localStorage.setItem('cai-annotator', 'eve')")  # as the audit page remembers her
    page = open_page("person:cem")
    page.locator("#confusion [data-open='cell:a:b']").click()
    expect(page.locator(".cai-drawer")).to_contain_text("you judge no longer blind")
    page.goto("/audit?pair=" + "0" * 16)  # by hand: the drawer's links say of themselves that it was shown
    expect(page.locator("#audit article")).to_have_attribute("data-state", "known")
    page.goto("/audit?pair=" + f"{1:016x}")
    expect(page.locator("#audit article")).to_have_attribute("data-state", "blind")


def test_a_threshold_that_was_only_looked_at_stays_as_another_tab_made_it(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    other = page.context.new_page()
    other.goto(page.url)
    for one in (page, other):
        one.get_by_role("button", name="Gate settings").click()
        expect(one.locator("#threshold input")).to_have_value("0.6", timeout=SLOW)
    page.locator("#threshold input").fill("0.7")
    page.locator("#threshold input").press("Enter")
    expect(page.locator(".cai-gate")).to_contain_text("above 0.70")
    other.locator("#threshold input").focus()
    other.locator("#threshold input").blur()
    expect(other.locator(".cai-gate")).to_contain_text("above 0.70")
    other.locator("#threshold input").fill("0.65")
    other.locator("#threshold input").blur()
    expect(other.locator(".cai-gate")).to_contain_text("above 0.65")
