"""Scores by number of revisions in the studio: stored once, drawn as the pipeline has them, and asked for."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from pipeline import revision_scores as pure
from pipeline.__main__ import parser
from pipeline.critique import as_row
from pipeline.errors import UserError
from pipeline.records import Chain, Message, Step, as_json
from pipeline.revision_scores import RevisionScore
from studio.components import run_results, run_view, scoring_card
from studio.components.elo_section import below_html
from studio.components.revision_lines import Picture, gains, means, picture
from studio.context import Studio
from studio.jobs import stages
from studio.jobs.ingest import ingest
from studio.jobs.training import CHAINS
from studio.store import chains, constitutions, migrate, revision_scores, runs
from studio.store.runs import NewRun, Run

pytestmark = pytest.mark.usefixtures("idle")

HOSTILE = "<img src=x onerror=alert(1)>"


def a_run(
    studio: Studio,
    id: str,
    stage: str,
    name: str,
    state: runs.State = "done",
    total: int = 1,
    **config: Any,
) -> NewRun:
    """A run, by default a finished one."""
    made = NewRun(
        id=id,
        stage=stage,
        name=name,
        config=config,
        constitution=None,
        constitution_name=None,
        total=total,
        author="ann",
    )
    with studio.store.tx() as tx:
        runs.add(tx, made, state)
    return made


def scored(chains: str, gain: float, many: int = 20, **more: Any) -> list[RevisionScore]:
    """Chains of two revisions that are each so much better than the one before."""
    random = np.random.default_rng(len(chains))
    made = RevisionScore("", chains, "", "", 0, 0.0, "pm", "weights-1", "v" * 16, "bundled", "bundled")
    return [
        replace(
            made,
            id=f"{chains}:c{n}:{at}",
            chain=f"c{n}",
            prompt_id=f"p{n}",
            revision=at,
            score=float(random.normal(at * gain, 0.2)),
            **more,
        )
        for n in range(many)
        for at in range(3)
    ]


def add(studio: Studio, some: list[RevisionScore], run: str = "s1") -> None:
    with studio.store.tx() as tx:
        revision_scores.add(tx, some, run)


def drawn(studio: Studio) -> Picture:
    return picture(studio.store, studio.jobs.folder)


@pytest.fixture
def filled(studio: Studio) -> Studio:
    """A run with critiques and one without, whose names are hostile, by one preference model."""
    for id in ("with", "without"):
        a_run(studio, id, "critique", f"{id} {HOSTILE}")
    add(studio, [*scored("with", 0.5), *scored("without", 0.2, critiques=False)])
    return studio


def test_a_row_comes_in_once_and_of_two_runs_the_newest_counts(studio: Studio) -> None:
    some = scored("r", 0.1, many=2)
    add(studio, some)
    add(studio, [replace(one, score=9.0) for one in some])
    assert revision_scores.rows(studio.store) == some
    again = [replace(some[0], score=9.0)]
    add(studio, again, "s2")
    assert [one for one in revision_scores.rows(studio.store) if one.id == some[0].id] == again
    add(studio, [replace(some[0], pm_revision="weights-2")], "s3")
    assert len(revision_scores.rows(studio.store)) == len(some) + 1
    assert runs.kept(studio.store)["s1"] == len(some)


def test_a_deleted_runs_scores_count_no_more_until_it_is_imported_again(studio: Studio) -> None:
    a_run(studio, "s1", "score", "scores", pm="pm")
    add(studio, scored("r", 0.1))
    before = revision_scores.rows(studio.store)
    studio.jobs.delete("s1")
    assert revision_scores.rows(studio.store) == []
    with studio.store.tx() as tx:  # as one that is imported again
        runs.set_state(tx, "s1", "done", ["deleted"])
    assert revision_scores.rows(studio.store) == before != []


def test_a_run_of_the_command_is_read_as_it_grows(studio: Studio, tmp_path: Path) -> None:
    run = a_run(studio, "s1", "score", "scores", pm="pm")
    some = scored("r", 0.1, many=3)
    (tmp_path / "s1" / "outputs").mkdir(parents=True)
    lines = [json.dumps(as_json(one)) + "\n" for one in some]
    part = tmp_path / "s1" / "outputs" / "scores.jsonl.part"
    part.write_text("".join(lines[:4]))
    assert ingest(studio.store, run, tmp_path / "s1")
    assert len(revision_scores.rows(studio.store)) == 4
    part.write_text("".join(lines))
    part.rename(part.with_suffix(""))
    ingest(studio.store, run, tmp_path / "s1")
    assert revision_scores.rows(studio.store, "s1") == some


def test_the_lines_are_those_of_the_pipeline(filled: Studio) -> None:
    theirs = {c.series: c for c in pure.courses(revision_scores.rows(filled.store))}
    figure = means(drawn(filled)).figure
    assert figure is not None
    assert len(figure.data) == 2
    for (_, line), trace in zip(drawn(filled).lines, figure.data, strict=True):
        course = theirs[line.course.series]
        assert list(trace.y) == [point.score.value for point in course.points]
        assert list(trace.error_y.array) == pytest.approx(
            [point.score.high - point.score.value for point in course.points]
        )
        assert "(n = 20)" in trace.name
    assert [t.y[0] for t in gains(drawn(filled)).figure.data] == [  # type: ignore[union-attr]
        line.course.points[1].gain.value for _, line in drawn(filled).lines
    ]


def test_scores_of_a_run_that_was_cut_short_are_told_until_a_whole_one_has_them(studio: Studio) -> None:
    some = scored("r", 0.5, many=4)
    a_run(studio, "s1", "score", f"cut {HOSTILE}", state="stopped", total=12)
    add(studio, some[:5])  # the second chain lacks its last revision
    for draw in (means, gains):
        note = draw(drawn(studio).only("pm")).note
        assert "first 5 of 12" in note
        assert HOSTILE not in note
    assert "final" in gains(drawn(studio)).note.partition("first 5 of 12")[2]
    a_run(studio, "s2", "score", "whole", total=12)
    add(studio, some, "s2")
    assert "first 5" not in means(drawn(studio)).note + gains(drawn(studio)).note


def test_chains_with_and_without_critiques_differ_in_colour_shape_and_dash(filled: Studio) -> None:
    figure = means(drawn(filled)).figure
    assert figure is not None
    with_, without = figure.data
    assert (with_.line.dash, without.line.dash) == ("solid", "dash")
    assert with_.marker.symbol != without.marker.symbol
    assert with_.line.color != without.line.color
    assert "· critiques" in with_.name
    assert "· no critiques" in without.name


def test_each_preference_model_has_a_panel_of_its_own_and_a_line_one_look(filled: Studio) -> None:
    add(filled, scored("without", 0.1, critiques=False, pm="other", pm_revision="weights-2"), "s2")
    figure = means(drawn(filled)).figure
    assert figure is not None
    assert [note.text for note in figure.layout.annotations[:2]] == ["scored by pm", "scored by other"]
    one, other = (trace for trace in figure.data if "no critiques" in trace.name)
    assert (one.xaxis, other.xaxis) == ("x", "x2")
    assert one.marker.color == other.marker.color
    assert list(drawn(filled).only("other").panels) == ["other"]
    assert len(drawn(filled).only("gone").panels) == 2


def test_what_has_no_panel_is_told_and_is_in_the_table_and_the_csv(filled: Studio) -> None:
    for name in ("b", "c", "d"):
        add(filled, scored("with", 0.1, pm=name, pm_revision=f"weights-{name}"), name)
    for draw in (means, gains):
        done = draw(drawn(filled).only(""))
        assert "1 more is not drawn" in done.note
        assert {row["scored_by"] for row in done.data} == {"pm", "b", "c", "d"}
        assert len(done.rows) == len(done.data)
        assert "scored by pm" not in str(done.figure)
        assert "not drawn" not in draw(drawn(filled).only("pm")).note


def test_two_runs_made_alike_go_by_their_names(filled: Studio) -> None:
    add(filled, scored("another", 0.3))
    names = [line.name for _, line in drawn(filled).lines]
    assert len(set(names)) == 3
    assert f"with {HOSTILE}" in names[0]
    assert names[2].endswith("· another")


def test_a_version_and_a_run_are_called_as_people_know_them(studio: Studio) -> None:
    [version, *_] = constitutions.versions(studio.store, "harmless")
    a_run(studio, "r", "critique", "ten prompts")
    add(studio, scored("r", 0.1, constitution=version.version))
    [(_, line)] = drawn(studio).lines
    assert (line.name, line.run) == (
        f"harmless {version.version[:8]} · bundled · critiques",
        "ten prompts",
    )


def test_no_text_of_anybody_becomes_markup(filled: Studio) -> None:
    add(filled, scored(HOSTILE, 0.1, critic=f"=x{HOSTILE}", pm=HOSTILE, pm_revision=HOSTILE), "s2")
    html = below_html("revisions", "Scores", means(drawn(filled)))
    html += below_html("gains", "Gains", gains(drawn(filled)))
    assert "<img" not in html
    figure = means(drawn(filled)).figure
    assert figure is not None
    told = [trace.name for trace in figure.data] + [note.text for note in figure.layout.annotations]
    assert "<img" not in " ".join([*told, *(text for trace in figure.data for text in trace.hovertext)])


def test_the_table_and_the_csv_hold_the_same(filled: Studio) -> None:
    html = below_html("revisions", "Scores", means(drawn(filled)))
    [text] = re.findall(r'data-csv="([^"]*)"', html)
    rows = list(csv.DictReader(io.StringIO(unescape(text))))
    points = [point for _, line in drawn(filled).lines for point in line.course.points]
    assert [float(row["score"]) for row in rows] == pytest.approx([p.score.value for p in points])
    assert [row["gain"] for row in rows[::3]] == ["", ""]
    assert html.count("<tr>") == 1 + len(rows)
    assert {row["critiques"] for row in rows} == {"True", "False"}


def test_chains_without_revisions_have_a_mean_and_no_gain(studio: Studio) -> None:
    add(studio, [one for one in scored("r", 0.1) if one.revision == 0])
    assert means(drawn(studio)).figure is not None
    assert gains(drawn(studio)).figure is None
    assert "no revisions" in gains(drawn(studio)).note


def written(studio: Studio, id: str, *, critiques: bool = True) -> None:
    """A finished run of two chains, as a folder."""
    a_run(studio, id, "critique", f"chains {id}", critiques=critiques)
    steps = (Step("response", "a"), Step("critique", "b", "p"), Step("revision", "c", "p"))
    asked = (Message("user", "?"),)
    some = [Chain(f"{id}{n}", "p", asked, "v", "bundled", "bundled", 0, steps) for n in range(2)]
    path = studio.jobs.of(id) / CHAINS
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(as_row(chain)) + "\n" for chain in some))


def trained(studio: Studio, id: str, weights: Path, stage: str = "pm") -> None:
    """A finished run of training with these weights."""
    a_run(studio, id, stage, f"PM {HOSTILE}")
    studio.jobs.of(id).mkdir(parents=True)
    (studio.jobs.of(id) / "checkpoint").symlink_to(weights)
    (studio.jobs.of(id) / "config.yaml").write_text(f"stage: {stage}\n")


def test_the_form_says_what_it_comes_to_and_queues_the_equal_command(studio: Studio, tiny_pm: Path) -> None:
    for id in ("c1", "c2"):
        written(studio, id)
    trained(studio, "pm1", tiny_pm / "checkpoint")
    assert [value for _, value in scoring_card.offers(studio)["chains"]] == ["c2", "c1"]
    values = {"chains": ["c1", "c2"], "pm": "pm1", "name": ""}
    html = scoring_card.goes_html(studio, values)
    assert "2 runs · <b>4 chains</b> · <b>8 scores</b>" in html
    assert "cai score --chains CHAINS CHAINS --pm PM --run DIR" in scoring_card.command_html(values)
    run = runs.load(studio.store, scoring_card.start(studio, values, "ann"))
    assert run
    assert (run.stage, run.name, run.total, run.state) == ("score", "scores × 8", 8, "waiting")
    folder = studio.jobs.of(run.id)
    words = stages.words(run, folder)
    args = parser().parse_args(words)
    assert [path.name for path in args.chains] == ["c1.jsonl", "c2.jsonl"]
    assert args.pm == str(studio.jobs.of("pm1"))
    assert "pm PM &lt;img" in run_view.detail(studio.store, run, folder)


def test_what_is_missing_is_said(studio: Studio, tiny_pm: Path, tiny_model: Path) -> None:
    written(studio, "c1")
    trained(studio, "pm1", tiny_pm / "checkpoint")
    trained(studio, "sl", tiny_model, "sft")
    for some, pm, said in (
        ([], "pm1", "choose chains"),
        (["c1"], "", "choose a preference model"),
        (["c1", "gone"], "pm1", "is not here any more"),
        (["c1"], "sl", "is no preference model"),
    ):
        with pytest.raises(UserError, match=said):
            scoring_card.start(studio, {"chains": some, "pm": pm, "name": ""}, "ann")
    assert "Choose runs of chains" in scoring_card.goes_html(studio, {"chains": [], "pm": None})
    assert [run for run in runs.listed(studio.store) if run.stage == "score"] == []


def test_a_runs_own_page_has_its_figures(filled: Studio) -> None:
    a_run(filled, "s1", "score", "scores", pm="pm")
    run = runs.load(filled.store, "s1")
    assert isinstance(run, Run)
    html = run_results.results(filled.store, run)
    assert html.count("<tr>") == 1 + 2 * 3
    assert 'href="elo?view=revisions"' in html
    assert "<img" not in html


def test_chains_of_a_session_from_before_had_critiques(tmp_path: Path) -> None:
    every = migrate.shipped()
    with duckdb.connect() as con:
        migrate.apply(con, every[:10], None)
        columns = [name for name in chains.COLUMNS if name != "critiques"] + ["prompt_text"]
        numbers = ("seed", "revisions", "temperature", "top_p", "max_tokens", "branch_step")
        values = [0 if name in numbers else "x" for name in columns]
        marks = ", ".join("?" for _ in columns)
        con.execute(f"INSERT INTO chains ({', '.join(columns)}) VALUES ({marks})", values)  # noqa: S608
        migrate.apply(con, every[10:], None)
        assert con.execute("SELECT critiques FROM chains").fetchall() == [(True,)]
