"""What the Agreement page is drawn from: whose judgments, the pairs behind a figure, what-if, exports."""

from __future__ import annotations

import importlib.util
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import gradio as gr
import numpy as np
import pytest

from pipeline import agreement, compared_run, constitution, preferences
from pipeline import pairs as pair_files
from pipeline.agreement import Figure
from pipeline.errors import UserError
from pipeline.records import Judgment, Message, Pair, as_json
from studio.components import (
    agreement_asked,
    agreement_calibration,
    agreement_data,
    agreement_exports,
    agreement_reweigh,
    agreement_sections,
    agreement_triage,
    agreement_try,
    agreement_whatif,
    agreement_words,
    audit_sides,
    charts,
)
from studio.components.agreement_asked import Asked, Judges
from studio.components.agreement_data import Picture
from studio.components.agreement_empty import empty_html
from studio.components.agreement_figures import headline_html
from studio.components.agreement_gate import gate_html, keep_threshold, top_html
from studio.components.agreement_pairs import Held, list_html, triage_html
from studio.components.agreement_section import Listing
from studio.components.agreement_whatif import Weighed
from studio.context import Studio
from studio.jobs import batch, human
from studio.pages import agreement as page
from studio.progress import progress
from studio.store import (
    calibrations,
    constitutions,
    gates,
    held_judgments,
    judgments,
    labels,
    pairs,
    runs,
    sightings,
)
from studio.store.labels import Labeller
from studio.store.pairs import PairFilter
from studio.store.runs import NewRun


def _seeding() -> ModuleType:
    """The browser tests' seeding, a script."""
    file = Path(__file__).parents[1] / "browser" / "seeding_agreement.py"
    spec = importlib.util.spec_from_file_location("seeding_agreement", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SEEDING = _seeding()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """80 labelled pairs; ana agrees on 60, ben on none of 60, cem on 15 of 20, a data set on 55 of 60."""
    SEEDING.fill(tmp_path / "s")
    studio = Studio.open(tmp_path / "s", "s")
    yield studio
    studio.close()


def look(studio: Studio, judges: str = "person:ana", **query: str) -> Picture:
    asked = agreement_asked.read(studio.store, {"annotator": judges, **query})
    picture = agreement_data.picture(studio.store, asked)
    assert picture
    return picture


def harmless() -> Any:
    return constitution.load(constitution.shipped()["harmless"])


def test_only_people_are_compared_unless_another_kind_is_asked_for(studio: Studio) -> None:
    assert len(look(studio, "").random.decided()) == 140
    assert len(look(studio, "imported").random.decided()) == 60
    assert Judges.of("nonsense:x") == Judges("person")
    names = [label for label, _ in agreement_asked.judge_choices(studio.store, "harmless")]
    assert names[0] == "All people (142)"
    assert "shown.jsonl, imported, not judged here (60)" in names


def test_a_models_judgments_stand_in_where_nobody_else_judged_and_never_pass_for_a_persons(
    studio: Studio, tmp_path: Path
) -> None:
    project = [
        Judgment(SEEDING.pair_id(n), "helpful", "project", "model", "a", blind=True) for n in range(60)
    ]
    file = tmp_path / "human.jsonl"
    file.write_text("".join(json.dumps(as_json(one)) + "\n" for one in project))
    people = progress(studio.store).audited
    assert human.import_judgments(studio.store, file).new == 60
    assert human.import_judgments(studio.store, file).new == 0
    picture = look(studio, "", axis="helpful")
    assert picture.asked.judges == Judges("model")
    assert "project, a model, not a person (60)" in [
        label for label, _ in agreement_asked.judge_choices(studio.store, "helpful")
    ]
    assert "judgments that models wrote" in unescape(top_html(studio, picture))
    assert gates.gate_for(studio.store, picture.labeller, "helpful").state == "not shown yet"
    assert progress(studio.store).audited == people
    exported = agreement_exports.looked_at(studio.store, picture.asked)
    assert {(one.annotator, one.annotator_kind) for one in exported} == {("project", "model")}


def test_a_name_of_two_kinds_is_never_pooled(studio: Studio) -> None:
    judgments.judge(studio.store, Judgment(SEEDING.pair_id(75), "harmless", "shown.jsonl", "person", "a"))
    assert len(look(studio, "person:shown.jsonl").random) == 1
    assert len(look(studio, "imported:shown.jsonl").random) == 60


def test_figures_stand_on_the_random_share(studio: Studio) -> None:
    picture = look(studio)
    assert agreement.accuracy(picture.random).value == 1
    assert (len(picture.random), picture.picked) == (61, 1)  # one tie; one pair was picked for a reason
    top = top_html(studio, picture)
    assert "1 tie left out, 1 picked for a reason or not blind left out" in top
    assert "Training will read the one of all people" in top


@pytest.mark.parametrize(
    ("judges", "state"), [("ana", "agrees"), ("ben", "opposed"), ("cem", "not shown yet")]
)
def test_the_gate_in_its_three_states(studio: Studio, judges: str, state: str) -> None:
    found = gates.of(studio.store, look(studio, f"person:{judges}").random)
    assert found.state == state
    assert f'data-gate="{state}"' in gate_html(found, Judges())


def test_the_gate_says_of_what_and_where_more_pairs_come_from(studio: Studio) -> None:
    found = gates.of(studio.store, look(studio, "person:cem").random)
    assert "Not shown yet that these labels agree with people: the next look" in gate_html(
        found, Judges(), 60
    )
    assert "gate-short" not in gate_html(found, Judges(), 30)
    short = gate_html(found, Judges(), 29)
    assert "Only 29 labelled pairs are left to judge for that" in short
    assert 'href="labels"' in short
    assert "No labelled pair is left" in gate_html(found, Judges(), 0)


def test_training_reads_the_gate_of_all_people_at_the_sessions_threshold(studio: Studio) -> None:
    labeller = labels.labellers(studio.store)[0].labeller
    assert gates.gate_for(studio.store, labeller, "harmless").accuracy.n == 140
    gates.set_threshold(studio.store, 0.75)
    assert gates.gate_for(studio.store, labeller, "harmless").threshold == 0.75
    for wrong in (0.4, 1.0, math.nan):
        with pytest.raises(UserError, match="between"):
            gates.set_threshold(studio.store, wrong)


def test_people_among_themselves_are_compared_on_the_random_share(studio: Studio) -> None:
    asked = look(studio, "").asked
    before, *_ = agreement_sections.among_people(studio.store, asked)
    judgments.judge(studio.store, SEEDING.judgment(70, "ben", picked_by="uncertain"))
    after, *_ = agreement_sections.among_people(studio.store, asked)
    assert (after.n, after.value) == (before.n, before.value)


def test_people_among_themselves_are_compared_on_labelled_pairs_as_in_a_terminal(studio: Studio) -> None:
    asked = look(studio, "").asked
    before, *_ = agreement_sections.among_people(studio.store, asked)
    late = Pair("late", "late", (Message("user", "Late?"),), "Yes.", "No.")
    with studio.store.tx() as tx:
        pairs.add(tx, [late], None)
    for who in ("ana", "ben"):
        judgments.judge(studio.store, replace(SEEDING.judgment(0, who), pair_id="late"))
    after, *_ = agreement_sections.among_people(studio.store, asked)
    assert after == before


def test_each_count_is_the_number_of_pairs_behind_it(studio: Studio) -> None:
    picture = look(studio, "")
    c = picture.random

    def behind(what: str) -> int:
        return len(agreement_data.behind(picture, what)[2])

    sides = ("a", "tie", "b")
    table = agreement.confusion(c).tolist()
    assert table == [[behind(f"cell:{human}:{ai}") for ai in sides] for human in ("a", "b")]
    ties = agreement.with_ties(c).table.tolist()
    assert ties == [[behind(f"tied:{human}:{ai}") for ai in sides] for human in sides]
    assert [one.chosen.n for one in agreement.reliability(c)] == [behind(f"bin:{at}") for at in range(10)]
    assert behind("wrong") == table[0][2] + table[1][0]
    assert behind("decided") == 140
    assert behind("nonsense") == behind("cell:x:y") == behind("principle:none") == 0


def test_the_pairs_behind_a_figure_are_no_longer_blind_to_who_opened_it(studio: Studio) -> None:
    asked = replace(look(studio, "person:cem").asked, viewer="dee")
    opened = page._behind(studio, asked, "cell:a:b")
    assert SEEDING.pair_id(0) in opened
    for number in (0, 1):
        judgments.judge(studio.store, SEEDING.judgment(number, "dee"))
    seen, unseen = judgments.mine(studio.store, "dee", "harmless")
    assert (seen.blind, unseen.blind) == (False, True)
    assert len(look(studio, "person:dee").random) == 1


def test_what_lists_labels_is_drawn_when_its_tab_is_opened_and_who_looked_is_kept(studio: Studio) -> None:
    seen = "SELECT count(DISTINCT pair) FROM seen_labels WHERE annotator = 'dee'"
    with gr.Blocks():
        chosen = [gr.Textbox() for _ in range(4)]
        listing = Listing(studio, {"Disagreements": [agreement_triage.triage_section(studio, chosen)]})
    values = ("harmless", "", "person:cem", "dee")
    skipped = listing.drawn("Figures", {}, values)
    assert "triage-card" not in str(skipped)
    assert studio.store.query(seen) == [(0,)]
    drawn, cards, *_ = listing.drawn("Disagreements", {}, values)
    assert cards.count("cai-triage-card") == 5
    assert studio.store.query(seen) == [(5,)]
    assert "triage-card" not in str(listing.drawn("Disagreements", drawn, values))


def test_the_sides_are_named_as_the_viewer_saw_them(studio: Studio) -> None:
    stored = pairs.load(studio.store, SEEDING.pair_id(3))
    assert stored
    one = Held(stored.pair, 0.4, 0.4, 0.4, 1.0, viewer="ana")
    letters = ("A", "B") if audit_sides.shown(stored.pair, "ana").first == "a" else ("B", "A")
    html = triage_html([one], {}, {}, "harmless", "harmless")
    for side, letter in zip("ab", letters, strict=True):
        assert f'{side} <span class="cai-muted">shown as {letter}</span>' in html
    assert f"a shown as {letters[0]}" in list_html("x", [one], 1, "harmless")
    assert "shown as" not in triage_html([replace(one, viewer="")], {}, {}, "harmless", "harmless")


def test_flipped_labels_are_no_longer_blind_to_who_tried(studio: Studio) -> None:
    picture = look(studio)
    picture = replace(picture, asked=replace(picture.asked, viewer="dee"))
    second = agreement_reweigh.weighed(picture)[1].id
    found = agreement_reweigh.reweigh(studio.store, picture, {second: 1.0})
    assert found
    assert all(judgments.seen(studio.store, flip.pair.id, "dee") for flip in found.flips)


def test_a_principle_alone_has_its_own_accuracy(studio: Studio) -> None:
    rows = agreement_sections.principle_rows(look(studio))
    assert [round(row.accuracy.value) for row in rows] == [1, 1, 1, 0]
    against = agreement_data.behind(look(studio), f"principle:{rows[-1].id}")
    assert len(against[2]) == 60


def test_an_exact_ai_tie_takes_no_side_and_is_listed_as_taking_none(studio: Studio) -> None:
    picture = look(studio)
    half = np.full_like(picture.matrix.p_a, 0.5)
    tied = replace(
        picture,
        random=replace(picture.random, p_a=np.full(len(picture.random), 0.5)),
        matrix=replace(picture.matrix, p_a=half),
    )
    wrong = picture.matrix.principles[-1]
    assert len(agreement_data.behind(picture, f"principle:{wrong}")[2]) == 60
    assert agreement_data.behind(tied, f"principle:{wrong}")[2].tolist() == []
    assert agreement_triage.wrong_under(tied, wrong) == []
    assert agreement_data.behind(tied, "wrong")[2].tolist() == []
    assert agreement_data.furthest(tied.random, 10).tolist() == []
    decided = picture.random.decided()
    for side, choice in (("a", 1.0), ("b", 0.0)):  # ties have lists of their own
        listed = agreement_data.behind(tied, f"cell:{side}:tie")[2]
        assert len(listed) == int((decided.choice == choice).sum())


def test_two_versions_that_both_tie_are_not_both_right(studio: Studio) -> None:
    old = labels.labellers(studio.store)[0].labeller
    said = [label for number in range(10) for label in SEEDING.said(number, harmless())]
    tied = {"logit_ab": 0.0, "logit_ba": 0.0, "p_ab": 0.5, "p_ba": 0.5, "p_a": 0.5}
    with studio.store.tx() as tx:
        for version in ("new", "newer"):
            labels.add(tx, [replace(label, constitution=version, **tied) for label in said], version)
    picture = look(studio, labeller=replace(old, constitution="new").key)
    html = agreement_triage.versions_html(studio, picture, replace(old, constitution="newer").key)
    assert html.count("both undecided") == 10
    assert "both right" not in html


def test_weights_turn_labels_and_say_on_how_many_pairs(studio: Studio) -> None:
    picture = look(studio)
    ids = [row.id for row in agreement_reweigh.weighed(picture) if row.pairs]
    only_second = agreement_reweigh.reweigh(studio.store, picture, {ids[1]: 1.0})
    assert only_second
    assert (only_second.flipped, only_second.compared, only_second.scored) == (80, 80, 80)
    name, saved, tried, difference = only_second.rows[0]
    assert (name, saved.value, tried.value, difference.value) == ("all", 1.0, 0.0, -1.0)
    halves = [row[2].n for row in only_second.rows]
    assert halves[0] == halves[1] + halves[2] == 60
    assert min(halves) > 0
    assert agreement_reweigh.reweigh(studio.store, picture, {}) is None


def test_a_label_that_turns_to_exactly_a_half_is_a_tie(studio: Studio) -> None:
    flip = agreement_whatif.Flip(SEEDING.pair(0), 0.8, 0.5, ())
    outcome = agreement_whatif.Outcome([], 1, 1, 1, [flip], 1, 0.0)
    assert "80.0% → 50.0% for a, now tie" in agreement_whatif.outcome_html(outcome, "harmless", "ana")


def test_a_principle_that_was_not_asked_covers_nothing(studio: Studio) -> None:
    picture = look(studio)
    unasked = next(row.id for row in agreement_reweigh.weighed(picture) if not row.pairs)
    found = agreement_reweigh.reweigh(studio.store, picture, {unasked: 1.0})
    assert found
    assert (found.scored, found.flipped) == (0, 0)


def test_a_weighting_is_saved_as_a_version_and_leaves_the_rest(studio: Studio) -> None:
    picture = look(studio)
    shown = [row.id for row in agreement_reweigh.weighed(picture) if row.pairs]
    weights = {shown[0]: 2.0, shown[1]: 0.0, shown[2]: 1.0, shown[3]: 0.0}
    said = agreement_try._save(studio, picture, weights, "", "ana")
    assert "Saved as" in said
    saved = constitutions.latest(studio.store, "harmless")
    assert saved
    by_id = {p.id: p for p in saved.principles}
    assert (by_id[shown[0]].weight, by_id[shown[0]].enabled) == (2.0, True)
    assert not by_id[shown[1]].enabled
    untouched = [p for p in harmless().principles if p.id not in shown]
    assert [by_id[p.id] for p in untouched] == untouched
    with pytest.raises(UserError, match="at least one"):
        agreement_try._save(studio, picture, {}, "", "ana")


def test_a_principle_that_was_not_scored_is_not_shown_as_off(studio: Studio) -> None:
    principles = agreement_reweigh.weighed(look(studio))
    html = agreement_whatif.panel_html(principles, 80)
    unscored = [row for row in principles if not row.pairs and row.enabled]
    assert html.count("not scored · stays on") == len(unscored) > 0
    assert html.count('role="switch"') == html.count('role="switch" checked') == 4
    assert f"{len(unscored)} principles not scored" in html


def test_a_principle_that_was_scored_since_the_panel_was_drawn_is_not_saved_as_off(studio: Studio) -> None:
    picture = look(studio)
    shown = [row.id for row in agreement_reweigh.weighed(picture) if row.pairs]
    said = agreement_try._save(studio, picture, {shown[0]: 2.0}, "", "ana")
    saved = constitutions.latest(studio.store, "harmless")
    assert saved
    assert next(p for p in saved.principles if p.id == shown[1]).enabled
    assert "not scored: kept as before" in said


@pytest.mark.parametrize("weight", [0.25, 0.04, 12.345, 1 / 3])
def test_a_weight_is_on_the_panel_to_its_last_digit(weight: float) -> None:
    html = agreement_whatif.panel_html([Weighed("kind", "Kind", weight, True, 80)], 80)
    [shown] = re.findall('data-weight="([^"]+)"', html)
    assert float(shown) == weight


def test_a_principle_of_weight_0_that_is_sent_as_0_stays_as_it_is() -> None:
    first, second, *rest = harmless().principles
    base = replace(harmless(), principles=(replace(first, weight=0.0), second, *rest))
    assert agreement_try.reweighted(base, {first.id: 0.0, second.id: second.weight}) == base


def test_what_the_browser_sends_as_weights_is_read_with_care() -> None:
    assert agreement_try._read('{"a": 1, "b": -1, "c": "2", "d": 0, "e": null}') == {"a": 1.0, "d": 0.0}
    assert agreement_try._read("[1, 2]") == {}


def test_relabelling_takes_the_pairs_that_an_amended_principle_is_wrong_on(studio: Studio) -> None:
    picture = look(studio)
    wrong = next(id for id in picture.matrix.principles if agreement_triage.wrong_under(picture, id))
    assert len(agreement_triage.wrong_under(picture, wrong)) == 61
    assert "Amend it and save first" in agreement_triage._relabel(studio, picture, wrong, "ana")
    assert picture.constitution
    amended = tuple(
        replace(p, comparison="Which one is kinder?") if p.id == wrong else p
        for p in picture.constitution.principles
    )
    new = replace(picture.constitution, principles=amended)
    constitutions.save_version(studio.store, new, "amended", "ana")
    assert "Relabelling 61 pairs" in agreement_triage._relabel(studio, picture, wrong, "ana")
    [(run,)] = studio.store.query("SELECT id FROM runs WHERE stage = 'label'")
    started = runs.load(studio.store, run)
    assert started
    assert started.constitution == new.version
    assert (started.config["method"], started.config["axis"]) == ("choice", "harmless")
    assert started.config["selection"].startswith(f"wrong under {wrong} of harmless")
    assert batch.principles_each(new, agreement_triage._labelling(studio, picture.labeller)) == 1
    studio.jobs.stop(run)


def relabelled(studio: Studio, numbers: range, selection: str, run: str) -> Labeller:
    """Another version's labels, by a run of its own."""
    config = {"method": "choice", "selection": selection}
    made = NewRun(
        id=run,
        stage="label",
        name=run,
        config=config,
        constitution=None,
        constitution_name=None,
        total=len(numbers),
        author="ana",
    )
    said = [label for number in numbers for label in SEEDING.said(number, harmless())]
    with studio.store.tx() as tx:
        runs.add(tx, made, "done")
        labels.add(tx, [replace(label, constitution="new") for label in said], run)
    return Labeller("bundled", "choice", "new")


def test_pairs_relabelled_from_triage_are_none_of_the_new_versions_random_share(studio: Studio) -> None:
    new = relabelled(studio, range(55), "wrong under x", "triage")
    picture = look(studio, labeller=new.key)
    assert (len(picture.every), len(picture.random), picture.selected) == (55, 0, 55)
    assert "Only the 55 pairs relabelled from triage" in empty_html(picture.asked, picture)
    gate = gates.gate_for(studio.store, new, "harmless")
    assert (gate.state, gate.accuracy.n) == ("not shown yet", 0)
    # A run over the rest takes them again, or it would miss just those.
    left = pairs.select(studio.store, PairFilter(unlabelled=new))
    assert len(left) == SEEDING.PAIRS
    relabelled(studio, range(SEEDING.PAIRS), "", "whole")
    assert len(look(studio, labeller=new.key).random) == 61
    assert pairs.count(studio.store, PairFilter(unlabelled=new)) == 0


def test_old_and_new_stand_side_by_side(studio: Studio) -> None:
    turned = [
        replace(
            label, logit_ab=-label.logit_ab, logit_ba=-label.logit_ba, p_a=1 - label.p_a, constitution="new"
        )
        for number in range(10)
        for label in SEEDING.said(number, harmless())
    ]
    with studio.store.tx() as tx:
        labels.add(tx, turned, "second")
    old = next(row.labeller for row in labels.labellers(studio.store) if row.labeller.constitution != "new")
    picture = look(studio, labeller=old.key)
    html = agreement_triage.versions_html(studio, picture, replace(old, constitution="new").key)
    assert "On 10 judgments" in html
    assert html.count("this one right") == 10
    assert "Only one labeller" in agreement_triage.versions_html(studio, picture, None)


def test_identical_labels_have_no_lead_however_many_people_judged(studio: Studio) -> None:
    again = [
        replace(label, constitution="new")
        for number in range(SEEDING.PAIRS)
        for label in SEEDING.said(number, harmless())
    ]
    old = labels.labellers(studio.store)[0].labeller
    with studio.store.tx() as tx:
        labels.add(tx, again, "second")
    picture = look(studio, "", labeller=old.key)
    html = agreement_triage.versions_html(studio, picture, replace(old, constitution="new").key)
    assert "On 140 judgments" in html  # the random share, ties left out
    assert "the other’s lead <b>+0.0</b>" in html


def test_a_calibration_is_kept_and_an_opposed_labeller_is_refused(studio: Studio) -> None:
    picture = look(studio)
    calibrations.keep(studio.store, picture.labeller, "harmless", agreement_calibration.learn(picture))
    kept = calibrations.kept(studio.store, picture.labeller, "harmless")
    assert kept == agreement_calibration.learn(picture)
    assert calibrations.kept(studio.store, picture.labeller, "helpful") is None
    calibrations.drop(studio.store, picture.labeller, "harmless")
    assert calibrations.kept(studio.store, picture.labeller, "harmless") is None
    with pytest.raises(UserError, match="opposed"):
        agreement_calibration.learn(look(studio, "person:ben"))


@pytest.mark.parametrize(
    ("form", "kind"),
    [("trl", ".jsonl"), ("trl", ".parquet"), ("icai", ".json"), ("icai", ".csv"), ("rows", ".csv")],
)
def test_an_export_is_written_outside_the_session(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, kind: str
) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(uploads))
    path, words = agreement_exports.write(studio, look(studio), form, kind, "ai", False)
    assert uploads in path.parents
    assert "80" in words


def test_an_export_says_what_its_numbers_are_and_what_the_gate_says_of_the_labeller(studio: Studio) -> None:
    said = agreement_exports.about_html(studio, look(studio))
    assert "p is the probability that chosen is the better one" in said
    assert "margin is the AI’s mean log-odds" in said
    assert gates.gate_for(studio.store, look(studio).labeller, "harmless").words()[0] in unescape(said)
    sightings.note(studio.store, "ana", [SEEDING.pair_id(79)])
    judgments.judge(studio.store, SEEDING.judgment(79, "ana"))
    rows = preferences.flat(agreement_exports.gathered(studio, look(studio), False))
    by_pair = {row["pair_id"]: row["blind"] for row in rows}
    assert [by_pair[SEEDING.pair_id(n)] for n in (0, 79, 78)] == [True, False, None]


def test_a_calibrated_export_has_the_calibrated_probabilities(studio: Studio) -> None:
    picture = look(studio, "person:cem")
    with pytest.raises(UserError, match="no calibration is kept"):
        agreement_exports.gathered(studio, picture, True)
    plain = agreement_exports.gathered(studio, picture, False)
    found = agreement_calibration.learn(look(studio))
    calibrations.keep(studio.store, picture.labeller, "harmless", found)
    calibrated = agreement_exports.gathered(studio, picture, True)
    expected = found.apply(np.array([item.p for item in plain]))
    assert [item.p for item in calibrated] == pytest.approx(expected)
    assert plain[0].logit == pytest.approx(-(2.0 - 1.5 + 0.8 + 0.5) / 4)


def test_an_export_says_how_many_ties_calibrating_made(studio: Studio) -> None:
    picture, kept = look(studio), agreement_calibration.learn(look(studio))
    pooled = replace(kept, kind="isotonic", knots_p=(0.0, 0.4, 0.6, 1.0), knots_y=(0.2, 0.5, 0.5, 0.8))
    calibrations.keep(studio.store, picture.labeller, "harmless", pooled)
    _, words = agreement_exports.write(studio, picture, "rows", ".jsonl", "ai", True)
    assert words == "80 rows of 80 labelled pairs. Ties by the calibrated probabilities: 80 pairs."
    _, words = agreement_exports.write(studio, picture, "rows", ".jsonl", "ai", False)
    assert words == "80 rows of 80 labelled pairs."


def test_the_command_line_counts_the_exported_judgments_as_the_page_does(
    studio: Studio, tmp_path: Path
) -> None:
    judgments.judge(studio.store, SEEDING.judgment(3, "ana", right=False))  # changed once the label was seen
    picture = look(studio)
    human, words = agreement_exports.write(studio, picture, "human", ".jsonl", "ai", False)
    assert "skips and those that were not blind too" in words
    run = tmp_path / "run"
    for folder in ("inputs", "outputs"):
        (run / folder).mkdir(parents=True)
    (run / "inputs" / "constitution.yaml").write_text(constitution.dump(harmless()), encoding="utf-8")
    pair_files.write(
        [SEEDING.pair(number) for number in range(SEEDING.PAIRS)], run / "inputs" / "pairs.jsonl"
    )
    said = [label for number in range(SEEDING.PAIRS) for label in SEEDING.said(number, harmless())]
    lines = "".join(json.dumps(as_json(label)) + "\n" for label in said)
    (run / "outputs" / "labels.jsonl").write_text(lines, encoding="utf-8")
    found = compared_run.read(run, human, "harmless")
    theirs = agreement.accuracy(found.compared("person"))
    assert theirs == agreement.accuracy(picture.random)


def test_exported_judgments_come_into_another_session_with_their_blind_words(
    studio: Studio, tmp_path: Path
) -> None:
    judgments.judge(studio.store, SEEDING.judgment(3, "ana", right=False))  # changed once the label was seen
    file, _ = agreement_exports.write(studio, look(studio), "human", ".jsonl", "ai", False)
    SEEDING.fill(tmp_path / "other", judged=False)
    other = Studio.open(tmp_path / "other", "other")
    brought = human.import_judgments(other.store, file)
    assert brought.new == brought.judgments == 63
    assert agreement.accuracy(look(other).random) == agreement.accuracy(look(studio).random)
    other.close()


def test_a_note_moves_no_judgment_past_a_look_in_an_export(studio: Studio) -> None:
    asked = look(studio).asked
    first = held_judgments.current(studio.store, "harmless", asked.judges.whose, blind=True)[0]
    judgments.judge(studio.store, replace(first, note="why", time=""))
    exported = agreement_exports.looked_at(studio.store, asked)
    here = held_judgments.current(studio.store, "harmless", asked.judges.whose, blind=True)
    assert here[0] == replace(first, note="why")
    assert compared_run.current(one for one in exported if one.blind) == here


def test_a_run_without_the_judgments_is_named_with_a_file_of_them(studio: Studio) -> None:
    assert agreement_exports.run_of(studio, look(studio).asked)[1] == "human.jsonl"
    brought = studio.jobs.of("seeded") / "inputs" / "human.jsonl"
    brought.parent.mkdir(parents=True)
    brought.touch()
    assert agreement_exports.run_of(studio, look(studio).asked)[1] == "human.jsonl"
    imported = look(studio, "imported").asked
    assert agreement_exports.run_of(studio, imported) == (str(studio.jobs.of("seeded")), "")


def test_an_export_leaves_out_what_was_labelled_since_the_page_was_drawn(studio: Studio) -> None:
    picture = look(studio)
    late = "f" * 16
    with studio.store.tx() as tx:
        pairs.add(tx, [replace(SEEDING.pair(90), id=late)], None)
        labels.add(tx, [replace(SEEDING.said(0, harmless())[0], pair_id=late)], "late")
    assert len(agreement_exports.gathered(studio, picture, False)) == 80


def test_the_link_to_a_saved_version_quotes_its_name(studio: Studio) -> None:
    picture = look(studio)
    assert picture.constitution
    named = replace(picture, constitution=replace(picture.constitution, name="kind & calm"))
    shown = agreement_reweigh.weighed(picture)[0].id
    said = agreement_try._save(studio, named, {shown: 1.0}, "", "ana")
    assert "name=kind+%26+calm" in said


def test_empty_sessions_teach(tmp_path: Path) -> None:
    SEEDING.fill(tmp_path / "none", judged=False, labelled=False)
    studio = Studio.open(tmp_path / "none", "none")
    assert "No AI labels yet" in empty_html(agreement_asked.read(studio.store, {}), None)
    studio.close()
    SEEDING.fill(tmp_path / "s", judged=False)
    studio = Studio.open(tmp_path / "s", "s")
    picture = look(studio, "")
    assert "Nothing to compare with yet" in empty_html(picture.asked, picture)
    judgments.judge(studio.store, SEEDING.judgment(1, "ana", picked_by="uncertain"))
    picture = look(studio, "")
    assert "No random share yet" in empty_html(picture.asked, picture)
    judgments.judge(studio.store, SEEDING.judgment(2, "ana"))
    picture = look(studio, "")
    assert empty_html(picture.asked, picture) == ""
    for section in (agreement_sections.principle_rows, agreement_reweigh.weighed):
        assert section(picture)
    studio.close()


def test_no_text_becomes_markup(studio: Studio) -> None:
    hostile = SEEDING.HOSTILE
    stored = pairs.load(studio.store, SEEDING.pair_id(0))
    assert stored
    one = Held(stored.pair, 0.4, 0.4, 0.4, 1.0)
    said = [replace(SEEDING.said(0, harmless())[0], principle=hostile, rationale_ab=hostile)]
    html = triage_html([one], {one.pair.id: said}, {}, hostile, "harmless")
    html += list_html("x", [one], 1, "harmless")
    html += top_html(studio, replace(look(studio), asked=Asked("harmless", None, Judges("person", hostile))))
    assert "<img" not in html
    assert "<script" not in html
    chart = charts.intervals([(hostile, Figure(0.5, 0.4, 0.6, 9, 9))])
    assert "<img" not in json.dumps(chart.to_plotly_json(), default=str)


def test_a_threshold_that_was_only_looked_at_stays_as_another_person_made_it(studio: Studio) -> None:
    gates.set_threshold(studio.store, 0.7)
    keep_threshold(studio.store, 0.6, 0.6)
    assert gates.threshold(studio.store) == 0.7
    keep_threshold(studio.store, 0.65, 0.6)
    assert gates.threshold(studio.store) == 0.65
    with pytest.raises(UserError, match="threshold"):
        keep_threshold(studio.store, None, 0.65)


def test_ties_alone_give_a_headline_without_an_interval(studio: Studio) -> None:
    c = look(studio).random
    ties = replace(c, choice=np.full(len(c), 0.5))
    html = headline_html(ties, None, "people", 0)
    assert "–" in html
    assert "nan%" not in html


def test_labellers_of_long_or_equal_names_have_a_line_each() -> None:
    names = [
        f"a model of a name that goes on and on, the {n}. of its kind, that was labelling" for n in "123"
    ]
    chart = charts.intervals([(name, Figure(0.5, 0.4, 0.6, 9, 9)) for name in (*names, names[0])])
    assert len(set(chart.data[0].y)) == 4


def test_a_labellers_line_names_its_model_without_the_path(studio: Studio) -> None:
    some = [label for number in range(SEEDING.PAIRS) for label in SEEDING.said(number, harmless())]
    with studio.store.tx() as tx:
        labels.add(tx, [replace(one, model="/home/me/runs/critic/checkpoint") for one in some], "second")
    lines = agreement_sections.labeller_lines(studio.store, look(studio).asked)
    [short] = [line.short for line in lines if "/home/me" in line.name]
    assert short.startswith("critic · ")


def test_undefined_figures_are_a_dash_and_small_ones_say_so() -> None:
    nothing = Figure(math.nan, math.nan, math.nan, 0, 0)
    assert "–" in agreement_words.share(nothing)
    assert "few" in agreement_words.sized(Figure(0.5, 0.1, 0.9, 8, 8))
    assert "60 / 20" in agreement_words.sized(Figure(0.5, 0.1, 0.9, 60, 20))
    assert agreement_words.points(Figure(-0.1, -0.2, 0.0, 60, 60)).startswith("<b>−10.0</b>")
    assert not charts.intervals([("x", nothing)]).data[0].x
