"""The Labels page: what can be chosen, how much that is, and what a file of comparisons brings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import pairs as pair_files
from pipeline.configs import Answering, Labelling
from pipeline.errors import UserError
from pipeline.records import Label, Message, Pair, Source
from studio.components.label_card import chosen, counted, sources, start_label
from studio.components.labeller_list import imports_list, labeller_list
from studio.components.pair_card import bring, start_pairs
from studio.components.prompt_source import asked
from studio.context import Studio
from studio.jobs import batch
from studio.progress import plural
from studio.store import constitutions, held_judgments, labels, pairs, runs
from studio.store.labels import Labeller
from studio.store.pairs import PairFilter
from studio.store.runs import Event

BAD = "<img src=x onerror=alert(1)>"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    opened = Studio.open(tmp_path / "session", "test")
    opened.jobs.close()  # nothing is started: what is prepared stays in the queue
    yield opened
    opened.close()


@pytest.fixture
def form(studio: Studio) -> dict[str, Any]:
    """The labelling form as the page first shows it."""
    [version, *_] = constitutions.versions(studio.store, "harmless")
    knobs = {**asdict(Labelling(model="bundled")), "constitution": version.version}
    return {**knobs, "which": "", "rest": True, "most": 0, "axis": "harmless", "name": ""}


def pair(question: str) -> Pair:
    said = Source("bundled")
    return pair_files.make_pair("p1", (Message("user", question),), "Yes.", "No.", said, said, "red_team")


def label(pair: Pair, form: dict[str, Any]) -> Label:
    version = form["constitution"]
    return Label(pair.id, "harm", "choice", "bundled", version, 0, 0.4, -0.2, 0.6, 0.45, 0.52)


def keep(studio: Studio, *some: Pair, run: str | None = None) -> None:
    with studio.store.tx() as tx:
        pairs.add(tx, some, run)


def comparisons(tmp_path: Path, *lines: str) -> str:
    file = tmp_path / "people.jsonl"
    rows = [json.dumps({"prompt": f"{n}?", "chosen": "I'd rather not.", "rejected": "Sure!"}) for n in (1, 2)]
    file.write_text("\n".join([*rows, *lines]) + "\n")
    return str(file)


def test_a_file_of_comparisons_comes_in_whole_with_its_choices(studio: Studio, tmp_path: Path) -> None:
    *_, said = bring(studio, comparisons(tmp_path, "not json"), "harmless")
    for part in ("2 pairs", "2 choices by people", "1 row left out", "people.jsonl:3"):
        assert part in said
    assert str(tmp_path) not in said
    [one] = held_judgments.annotators(studio.store)
    assert (one.annotator, one.kind, one.axis, one.pairs) == ("people.jsonl", "imported", "harmless", 2)
    assert ("imported: people.jsonl · harmless · 2", "by:harmless:people.jsonl") in sources(studio)


def test_the_same_file_again_brings_nothing_twice(studio: Studio, tmp_path: Path) -> None:
    for _ in range(2):
        *_, said = bring(studio, comparisons(tmp_path), "harmless")
    assert "2 here already" in said
    assert pairs.count(studio.store, PairFilter()) == 2
    assert held_judgments.annotators(studio.store)[0].pairs == 2


def test_a_file_that_holds_no_pair_is_refused_and_leaves_nothing(studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / f"{BAD.replace('/', '')}.jsonl"
    file.write_text('{"some": "thing"}\n')
    *_, said = bring(studio, str(file), "harmless")
    assert 'role="alert"' in said
    assert "<img" not in said
    assert str(tmp_path) not in said
    assert pairs.count(studio.store, PairFilter()) == 0
    assert "choose a file" in next(bring(studio, None, "harmless"))


def test_what_is_labelled_already_is_left_out_unless_asked_for(studio: Studio, form: dict[str, Any]) -> None:
    one, two = pair("1?"), pair("2?")
    keep(studio, one, two)
    with studio.store.tx() as tx:
        labels.add(tx, [label(one, form)], "r1")
    assert chosen(studio, form, Labelling(model="bundled")) == [two]
    assert len(chosen(studio, {**form, "rest": False}, Labelling(model="bundled"))) == 2
    assert len(chosen(studio, form, Labelling(model="bundled", method="contrast"))) == 2
    assert "1 pair<" in counted(studio, form)
    with studio.store.tx() as tx:
        labels.add(tx, [label(two, form)], "r1")
    assert "labelled already" in counted(studio, form)


def test_the_first_few_are_the_same_for_every_labeller(studio: Studio, form: dict[str, Any]) -> None:
    keep(studio, *(pair(f"{n}?") for n in range(20)))
    few = {**form, "most": 3}
    ids = [p.id for p in chosen(studio, few, Labelling(model="bundled"))]
    assert ids == sorted(ids)
    assert ids == [p.id for p in chosen(studio, few, Labelling(model="bundled", method="cot"))]
    with pytest.raises(UserError, match="at most"):
        chosen(studio, {**form, "most": -1}, Labelling(model="bundled"))


def test_pairs_are_chosen_by_run_by_import_and_as_a_label_run_had_them(
    studio: Studio, form: dict[str, Any], tmp_path: Path
) -> None:
    knobs = {**asdict(Answering()), "again": "", "file": None, "shipped": "", "typed": "1?", "name": BAD}
    run = start_pairs(studio, knobs, "ann")
    keep(studio, pair("of a run"), run=run)
    keep(studio, pair("of nobody"))
    list(bring(studio, comparisons(tmp_path), "harmless"))
    asked = {"": 4, f"run:{run}": 1, "by:harmless:people.jsonl": 2}
    for which, many in asked.items():
        assert len(chosen(studio, {**form, "which": which}, Labelling(model="bundled"))) == many
        assert f"<b>{plural(many, 'pair')}</b>" in counted(studio, {**form, "which": which})
    assert "<b>3 pairs</b>" in counted(studio, {**form, "most": 3})
    assert chosen(studio, {**form, "which": "by:helpful:people.jsonl"}, Labelling(model="bundled")) == []
    second = start_label(studio, {**form, "which": f"run:{run}"}, "ann")
    assert [
        p.messages[0].content
        for p in chosen(studio, {**form, "which": f"of:{second}"}, Labelling(model="bundled"))
    ] == ["of a run"]
    assert {value for _, value in sources(studio)} == {*asked, f"of:{second}"}


def test_the_very_ones_of_a_selection_are_one_too(studio: Studio, form: dict[str, Any]) -> None:
    keep(studio, *(pair(f"{n}?") for n in range(3)))
    labelling, some = (
        Labelling(selection="wrong under kind"),
        chosen(studio, form, Labelling(model="bundled")),
    )
    version = constitutions.load_version(studio.store, form["constitution"])
    of = batch.prepare_label(
        studio.store, studio.jobs.folder, some, version, labelling, "harmless", "", "ann"
    )
    for which, expected in ((f"of:{of}", "wrong under kind"), ("", "")):
        run = runs.load(studio.store, start_label(studio, {**form, "which": which}, "ann"))
        assert run
        assert run.config["selection"] == expected


def test_the_count_says_how_long_it_takes_once_a_run_has_told(studio: Studio, form: dict[str, Any]) -> None:
    assert "No such pairs" in counted(studio, form)
    keep(studio, *(pair(f"{n}?") for n in range(120)))
    assert "120 labels" in counted(studio, form)
    assert "no earlier run" in counted(studio, form)
    run = start_label(studio, {**form, "most": 1}, "ann")
    with studio.store.tx() as tx:
        runs.add_events(tx, run, [Event(1, 1, "summary", "", {"labels_per_second": 2.0})])
    assert "about 60 s" in counted(studio, form)
    assert "no earlier run" in counted(studio, {**form, "method": "cot"})
    assert "principles" in counted(studio, {**form, "principles": "some"})


def test_a_labeller_is_looked_at_on_the_axis_that_it_was_asked_about(
    studio: Studio, form: dict[str, Any]
) -> None:
    one = pair("1?")
    keep(studio, one)
    run = start_label(studio, {**form, "axis": "helpful"}, "ann")
    with studio.store.tx() as tx:
        labels.add(tx, [label(one, form)], run)
    assert labeller_list(studio.store).count("&amp;axis=helpful") == 2


def test_contrast_without_examples_is_refused_before_it_is_queued(
    studio: Studio, form: dict[str, Any]
) -> None:
    version = constitutions.load_version(studio.store, form["constitution"])
    bare = replace(version, principles=tuple(replace(one, keeps=(), breaks=()) for one in version.principles))
    contrast = Labelling(model="bundled", method="contrast")
    assert batch.principles_each(version, contrast) == 1
    with pytest.raises(UserError, match="contrast needs examples"):
        batch.prepare_label(
            studio.store, studio.jobs.folder, [pair("1?")], bare, contrast, "harmless", "", "ann"
        )
    assert runs.listed(studio.store) == []


def test_imported_comparisons_are_listed(studio: Studio, tmp_path: Path) -> None:
    assert imports_list(studio.store) == ""
    list(bring(studio, comparisons(tmp_path), "harmless"))
    html = imports_list(studio.store)
    assert "people.jsonl</th><td>harmless</td><td>2</td>" in html
    assert 'href="agreement?axis=harmless&amp;annotator=imported%3Apeople.jsonl"' in html


def test_labellers_are_listed_with_their_links_and_as_text(studio: Studio, form: dict[str, Any]) -> None:
    assert labeller_list(studio.store) == ""
    one = pair("1?")
    keep(studio, one)
    with studio.store.tx() as tx:
        labels.add(tx, [label(one, form), replace(label(one, form), model=BAD)], "r1")
    html = labeller_list(studio.store)
    assert "bundled · choice" in html
    assert "agreement?labeller=" in html
    assert "&amp;axis=harmless" in html
    assert "<img" not in html
    key = Labeller("bundled", "choice", form["constitution"]).key
    assert Labeller.of(key).model == "bundled"


def test_prompts_are_taken_again_from_a_run_of_the_session_alone(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "prompts.jsonl").write_text('{"prompt": "private"}\n')
    with pytest.raises(UserError, match="not in this session"):
        asked(studio, str(tmp_path), None, "", "")
