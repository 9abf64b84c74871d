"""The training page's parts: presets that are valid, a gate that refuses, texts that are escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import gate
from pipeline.errors import UserError
from pipeline.records import as_json
from pipeline.training_configs import Preferring, Supervised
from studio import forms
from studio.components import (
    training_charts,
    training_compare,
    training_gate,
    training_knobs,
    training_preferences,
)
from studio.components import training_results as results
from studio.components.training_sources import feedback_options, pm_options
from studio.components.training_tables import ROWS, spread, table_html
from studio.components.training_watch import figures_html
from studio.context import Studio
from studio.jobs.stages import TRAINING, Stage
from studio.store import runs
from studio.store.database import Store
from studio.store.metrics import Answer, Curve
from studio.store.runs import NewRun

HOSTILE = "<img src=x onerror=alert(1)>"
CURVES = {
    "loss": Curve((1, 2, 3), (3.0, None, 2.0)),
    "eval_loss": Curve((2,), (2.5,)),
    "num_odd": Curve((1,), (1.0,)),
    "tokens_per_second": Curve((1, 2), (100.0, 1200.4)),
}


def run(id: str, stage: str) -> NewRun:
    return NewRun(
        id=id,
        stage=stage,
        name=id,
        config={},
        constitution=None,
        constitution_name=None,
        total=1,
        author="ann",
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize("stage", TRAINING, ids=lambda stage: stage.name)
def test_each_preset_is_a_config(stage: Stage[object]) -> None:
    kind = stage.config
    for preset, changed in training_knobs.PRESETS[kind].items():
        values = {"model": "bundled", **training_knobs.values_of(kind, preset)}
        made = training_knobs.read(kind, values)
        known = as_json(made)
        # A preset may name a setting that not every stage has.
        assert {n: v for n, v in changed.items() if n in known and known[n] != v} == {}
    assert set(training_knobs.names(kind)) == set(as_json(made))


def test_a_switch_is_read_as_one() -> None:
    assert forms.read(Supervised, {"checkpointing": True, "model": "x"}).checkpointing is True
    assert forms.read(Supervised, {"checkpointing": None, "model": "x"}).checkpointing is False


def test_the_gate_refuses_without_a_tick_and_a_reason() -> None:
    assert training_gate.require(None, False, "") == training_gate.require("agrees", False, "") == ""
    with pytest.raises(UserError, match=r"gate: opposed.*Train anyway"):
        training_gate.require("opposed", False, "because")
    with pytest.raises(UserError, match="say why"):
        training_gate.require("not shown yet", True, "  ")
    assert training_gate.require("not shown yet", True, " to\nsee ") == "to see"
    assert gate.worst(["agrees", "not shown yet", "opposed"]) == "opposed"


@pytest.mark.usefixtures("idle")
def test_files_of_a_run_that_is_repeated_keep_their_axis_and_give_way_to_others(studio: Studio) -> None:
    with studio.store.tx() as tx:
        runs.add(tx, run("pm-1", "pm"), "done")
    human = studio.jobs.of("pm-1") / "inputs" / "human"
    (human / "helpful" / "1-imported").mkdir(parents=True)
    (human / "helpful" / "mine.jsonl").write_text("")
    form = {"again": "pm-1", "files": None, "axis": "harmless", "imports": [], "measured": []}
    values: dict[str, Any] = {**form, "written": [], "reserved": False, "calibrated": False}
    choices = training_preferences._choices(studio, values, [])
    assert choices.files == [(human / "helpful" / "mine.jsonl", "helpful")]
    for none in ("", "gone", str(studio.jobs.of("pm-1"))):
        assert training_preferences._choices(studio, {**values, "again": none}, []).files == []
    others = training_preferences._choices(studio, {**values, "files": ["/x/other.jsonl"]}, [])
    assert others.files == [(Path("/x/other.jsonl"), "harmless")]


def test_a_warning_escapes_the_runs_it_names() -> None:
    html = training_gate.warning_html("opposed", [HOSTILE])
    assert "<img" not in html
    assert "hold the opposite" in html
    assert training_gate.warning_html("agrees", []) == training_gate.warning_html(None, []) == ""


def test_how_often_an_example_is_seen() -> None:
    assert training_knobs.plan(Supervised(), 0) == ""
    assert "about 1 times" in training_knobs.plan(Supervised(batch=8), 80)
    assert "1 step of 8: each example is seen about 1 times" in training_knobs.plan(Supervised(batch=8), 8)
    assert "takes 8 examples, and there are 3" in training_knobs.plan(Supervised(batch=8), 3)
    assert "1 step" in training_knobs.plan(Preferring(tuning="head", batch=8), 3)
    assert "about 160 times" in training_knobs.plan(Supervised(batch=8, steps=160), 8)
    assert "by heart" in training_knobs.plan(Supervised(batch=8, steps=100), 80)


def test_held_out_pairs_are_not_counted_as_learnt(tiny_model: Path) -> None:
    config = Preferring(model=str(tiny_model), batch=8, epochs=2, heldout=0.1)
    assert "225 steps of 8: each example is seen about 2 times" in training_knobs.plan(config, 1000)
    assert "for 225 steps" in training_knobs.needs(config, 1000)
    assert "takes 8 examples, and there are 7" in training_knobs.plan(config, 8)


def test_what_a_run_may_take_is_said_where_something_goes_in(tiny_model: Path) -> None:
    config = Supervised(model=str(tiny_model), batch=8)
    assert training_knobs.needs(config, 0) == ""
    assert "for 10 steps" in training_knobs.needs(config, 80)
    assert training_knobs.needs(Supervised(model="no/such"), 80) == ""
    assert "that may not fit" in training_knobs.needs(
        Supervised(model=str(tiny_model), batch=4096, at_once=4096, max_length=131072), 8000
    )


def test_what_is_looked_at_comes_first_and_the_rest_is_not_lost() -> None:
    first, more = training_charts.panels(list(CURVES))
    assert [panel.title for panel in first] == ["Loss"]
    assert [panel.names for panel in more] == [("num_odd",)]
    figure = training_charts.one_run(CURVES, first)
    assert figure is not None
    assert [trace.name for trace in figure.data] == ["training", "held-out pairs"]
    assert list(figure.data[0].y) == [3.0, None, 2.0]
    assert training_charts.one_run(CURVES, []) is None


def test_names_are_no_markup_for_plotly() -> None:
    first, _ = training_charts.panels(["loss"])
    figure = training_charts.several_runs([(HOSTILE, CURVES), ("b", CURVES)], first)
    assert figure is not None
    assert "<img" not in str(figure.to_json()).replace("<extra>", "")
    assert len({trace.line.color for trace in figure.data}) == 2


def test_a_panel_compares_one_quantity_and_says_which() -> None:
    bare = {"loss": CURVES["loss"]}
    for others, title, drawn in (
        ([CURVES, CURVES], "Loss, held-out pairs", [(2.5,), (2.5,)]),
        ([CURVES, bare], "Loss, training", [(3.0, None, 2.0), (3.0, None, 2.0)]),
        ([CURVES, {}], "Loss, held-out pairs", [(2.5,)]),
    ):
        first, _ = training_charts.panels(["loss", "eval_loss"])
        figure = training_charts.several_runs([("a", others[0]), ("b", others[1])], first)
        assert figure is not None
        assert [note.text for note in figure.layout.annotations] == [title]
        assert [tuple(trace.y) for trace in figure.data] == drawn


def test_a_quote_in_a_name_is_one_in_a_plot() -> None:
    first, _ = training_charts.panels(["loss"])
    figure = training_charts.several_runs([('RL "second" & <b>', CURVES)], first)
    assert figure is not None
    assert figure.data[0].name == '1 · RL "second" &amp; &lt;b&gt;'


def test_a_run_that_began_since_is_offered_and_what_was_chosen_stays(studio: Studio) -> None:
    def offered(chosen: list[str]) -> tuple[list[str], list[str]]:
        update = training_compare.offer(studio, "sft", chosen)
        return [id for _, id in update["choices"]], update["value"]

    with studio.store.tx() as tx:
        for id in ("a", "b", "c"):
            runs.add(tx, run(id, "sft"), "done")
    assert offered([]) == (["c", "b", "a"], ["c", "b"])
    assert offered(["a", "gone"]) == (["c", "b", "a"], ["a"])


def test_figures_are_the_newest_that_are_numbers() -> None:
    html = figures_html(CURVES)
    assert "<dd>2</dd>" in html
    assert "<dd>1,200</dd>" in html
    assert "nan" not in figures_html({"loss": Curve((1,), (None,))})


def test_every_number_of_a_curve_stands_in_a_table() -> None:
    first, more = training_charts.panels([*list(CURVES), HOSTILE])
    told = table_html([{**CURVES, HOSTILE: CURVES["loss"]}], first + more)
    assert '<tr><th scope="row">2</th><td></td><td>2.5</td><td></td><td></td></tr>' in told
    assert told.count('<th scope="col">') == 5
    assert "<img" not in told
    both = table_html([CURVES, CURVES], first)
    assert "1 · loss" in both
    assert "2 · eval loss" in both
    assert table_html([{}], first) == ""


def test_a_long_table_keeps_its_ends() -> None:
    some = spread([range(1, 10_001), range(200, 10_001, 1000)])
    assert set(range(200, 10_001, 1000)) <= set(some)
    assert (some[0], some[-1]) == (1, 10_000)
    assert ROWS - 2 <= len(some) <= ROWS


def test_answers_are_text() -> None:
    html = results.answers_html([Answer(HOSTILE, HOSTILE, 0, HOSTILE, 4)])
    assert html.count("&lt;img") == 3
    assert "At step 4" in html


def test_compared_runs_show_what_differs(store: Store) -> None:
    config = {**as_json(Supervised(batch=2, model=HOSTILE)), "chosen": {"name": "x"}}
    one = replace(run("a", "sft"), name=HOSTILE, config=config)
    two = replace(one, id="b", name="b", config={**as_json(Supervised(batch=4, model=HOSTILE))})
    with store.tx() as tx:
        runs.add(tx, one, "done")
        runs.add(tx, two, "failed")
    html = training_compare.table_html(store, runs.listed(store))
    assert "<img" not in html
    assert html.count('<th scope="row">') == 1
    assert "<td>4</td><td>2</td>" in html


@pytest.mark.parametrize(("method", "judges"), [("feedback", True), ("pm", False)])
def test_what_a_preference_run_has_made_is_told_by_its_card(
    studio: Studio, method: str, judges: bool
) -> None:
    checkpoint = studio.jobs.of("a") / "checkpoint"
    checkpoint.mkdir(parents=True)
    (checkpoint / "checkpoint.json").write_text(json.dumps({"method": method}))
    with studio.store.tx() as tx:
        runs.add(tx, run("a", "pm"), "done")
        runs.add_events(tx, "a", [runs.Event(1, 1, "finished", "t", {"status": "done"})])
    assert len(feedback_options(studio)) == judges
    assert len(pm_options(studio)) == (not judges)
    [made] = runs.listed(studio.store)
    assert ("as the model that labels" in results.trained_html(studio.store, made)) == judges


def test_a_long_curve_keeps_its_ends_peaks_and_gaps() -> None:
    values: list[float | None] = [0.5] * 10_000
    values[4_321], values[5_678], values[7_000] = 9.0, -9.0, None
    long = Curve(tuple(range(10_000)), tuple(values))
    drawn = training_charts.thinned(long)
    assert len(drawn.steps) <= training_charts.MOST + 3
    assert list(drawn.steps) == sorted(set(drawn.steps))
    assert {0, 4_321, 5_678, 7_000, 9_999} <= set(drawn.steps)
    assert all(values[step] == value for step, value in zip(drawn.steps, drawn.values, strict=True))
    short = Curve((1, 2), (0.5, None))
    assert training_charts.thinned(short) is short
