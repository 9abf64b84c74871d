"""“Compare”: the curves of several runs of a stage over each other, and how their settings differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.components import training_charts as charts
from studio.components import training_tables
from studio.components.run_view import STATES, model_name
from studio.components.training_sources import Options
from studio.context import Studio
from studio.escaping import escape, exact, isolated
from studio.jobs.stages import TRAINING
from studio.store import metrics, runs
from studio.store.database import Store
from studio.store.runs import Run

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
REFRESH = 4.0  # seconds
MOST = len(charts.COLOURS)
TITLES = {"sft": "SL-CAI", "pm": "Preference models", "rl": "RL-CAI", "dpo": "DPO"}
NOT_SETTINGS = ("chosen", "name")
EMPTY = """<div class="cai-empty"><h2>Nothing to compare yet</h2><p>Train twice with one setting changed:
<b>Rerun with changes</b> fills the form from a run. Here the curves then lie over each other, and the table
says what was different.</p></div>"""


def training_compare(blocks: gr.Blocks, studio: Studio, tab: gr.Tab) -> None:
    """Put it on a page, in its tab."""
    with gr.Row(elem_classes="cai-line"):
        stage = gr.Radio(
            [(TITLES[one.name], one.name) for one in TRAINING],
            value="sft",
            label="Stage",
            scale=0,
            min_width=460,
            elem_id="compare-stage",
        )
        some = gr.Dropdown(
            [],
            multiselect=True,
            max_choices=MOST,
            label="Runs",
            info=f"up to {MOST}; the newest two unless you choose",
            elem_id="compare-runs",
        )
    table = gr.HTML(padding=False, elem_id="compare-table")
    plot = gr.Plot(show_label=False, elem_id="compare-curves", elem_classes="cai-plot")
    with gr.Accordion("As a table", open=False, elem_id="compare-numbers"):
        numbers = gr.HTML(padding=False)
    seen = gr.State("")
    timer = gr.Timer(REFRESH, active=False)  # without a run there is nothing to look at

    def look(before: str, ids: list[str] | None) -> list[Any]:
        chosen = [run for run in (runs.load(studio.store, id) for id in ids or ()) if run]
        known = [run.id for run in chosen]
        states = " ".join(run.state for run in chosen)
        stamp = f"{known} {metrics.stamp(studio.store, known)} {states}"
        if stamp == before:
            return [gr.skip()] * 5
        curves = metrics.curves(studio.store, known)
        names = sorted({name for run in known for name in curves[run]})
        first, _ = charts.panels(names)
        lines = [(run.name, curves[run.id]) for run in chosen]
        return [
            stamp,
            table_html(studio.store, chosen) if chosen else EMPTY,
            charts.several_runs(lines, first),
            training_tables.table_html([of for _, of in lines], first),
            gr.Timer(active=bool(chosen)),
        ]

    outputs = [seen, table, plot, numbers, timer]
    gr.on(
        [some.change, timer.tick],
        look,
        [seen, some],
        outputs,
        trigger_mode="always_last",
        **QUIET,
    )

    def anew(of: str) -> Any:
        return offer(studio, of, [])

    def again(of: str, chosen: list[str] | None) -> Any:
        return offer(studio, of, chosen or [])

    stage.change(anew, stage, some, **QUIET)
    tab.select(again, [stage, some], some, **QUIET)  # runs that began since the page was opened, too
    blocks.load(anew, stage, some, **QUIET).then(look, [seen, some], outputs, **QUIET)


def offer(studio: Studio, stage: str, chosen: Sequence[str]) -> Any:
    """The menu of a stage's runs; what was chosen stays, and without any it is the newest two."""
    found = options(studio, stage)
    ids = [id for _, id in found]
    return gr.update(choices=found, value=[id for id in chosen if id in ids] or ids[:2])


def options(studio: Studio, stage: str) -> Options:
    """The runs of a stage, those that have measured something first of all."""
    return [
        (f"{isolated(run.name)} · {STATES[run.state]} · {run.created:%b %d %H:%M}", run.id)
        for run in runs.listed(studio.store)
        if run.stage == stage and run.state not in ("waiting", "cancelled")
    ]


def table_html(store: Store, some: Sequence[Run]) -> str:
    """The settings in which these runs differ, a column for each run; what is alike is counted."""
    every = list(dict.fromkeys(name for run in some for name in run.config if name not in NOT_SETTINGS))
    values = {name: [_value(store, run, name) for run in some] for name in every}
    different = [name for name in every if len(set(values[name])) > 1]
    head = "".join(
        f'<th scope="col"><span class="cai-swatch" style="background:{charts.COLOURS[at % MOST]}"></span>'
        f'{at + 1} · <a href="training?run={exact(run.id)}">{escape(run.name)}</a></th>'
        for at, run in enumerate(some)
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(name.replace("_", " "))}</th>'
        + "".join(f"<td>{escape(value)}</td>" for value in values[name])
        + "</tr>"
        for name in different
    )
    alike = len(every) - len(different)
    note = f"{alike} settings are the same" if len(some) > 1 else "one run: choose another beside it"
    body = rows if len(some) > 1 else ""
    return (
        '<section aria-label="How the settings differ"><table class="cai-labellers cai-compare">'
        f'<thead><tr><th scope="col">Setting</th>{head}</tr></thead><tbody>{body}</tbody></table>'
        f'<p class="cai-muted">{note}.</p></section>'
    )


def _value(store: Store, run: Run, name: str) -> str:
    value = run.config.get(name)
    if value in (None, ""):
        return "–"
    return model_name(store, value) if isinstance(value, str) else str(value)
