"""A training run as it goes: its newest figures, its curves, and what the machine is doing.

Kept fresh by a timer; a curve is drawn again only where there is something new on it.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.components import training_charts as charts
from studio.components import training_tables
from studio.components.training_machine import machine_html
from studio.context import Studio
from studio.listening import on_change
from studio.store import metrics, runs
from studio.store.metrics import Curves
from studio.store.runs import ACTIVE

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
REFRESH = 2.0  # seconds
CELLS = (
    ("loss", "loss", "{:.4g}"),
    ("reward", "reward", "{:.3f}"),
    ("KL", "kl", "{:.4g}"),
    ("held-out accuracy", "eval_accuracy", "{:.1%}"),
    ("held-out margin", "eval_margin", "{:.3f}"),
    ("learning rate", "learning_rate", "{:.2g}"),
    ("gradient norm", "grad_norm", "{:.3g}"),
    ("tokens/s", "tokens_per_second", "{:,.0f}"),
)
WAITING = """<p class="cai-muted">No figures yet: it reads its data and loads the model first. The first
step's come with its end.</p>"""


def training_watch(studio: Studio, current: gr.Textbox) -> None:
    """Put the figures and the curves on a page; `current` holds the run's id."""
    machine = gr.HTML(padding=False, elem_id="machine")
    figures = gr.HTML(padding=False, elem_id="figures")
    plot = gr.Plot(show_label=False, elem_id="curves", elem_classes="cai-plot")
    with gr.Accordion("More figures", open=False, elem_classes="cai-with-run", elem_id="more-figures"):
        rest = gr.Plot(show_label=False, elem_id="more-curves", elem_classes="cai-plot")
    with gr.Accordion("As a table", open=False, elem_classes="cai-with-run", elem_id="curves-table"):
        table = gr.HTML(padding=False)
    seen = gr.State("")
    timer = gr.Timer(REFRESH, active=False)  # without a run there is nothing to look at

    def look(before: str, id: str) -> list[Any]:
        run = runs.load(studio.store, id) if id else None
        process = runs.process(studio.store, id) if run and run.state in ACTIVE else None
        busy = machine_html(process.holder) if process else ""
        stamp = f"{id} {metrics.stamp(studio.store, [id])} {run.state if run else ''}"
        if stamp == before:
            return [gr.skip(), busy or gr.skip(), *[gr.skip()] * 5]
        curves = metrics.curves(studio.store, [id])[id] if run else {}
        first, more = charts.panels(list(curves))
        told = figures_html(curves) if curves else WAITING if process else ""
        drawn = [charts.one_run(curves, some) for some in (first, more)]
        numbers = training_tables.table_html([curves], first + more)
        return [stamp, busy, told, *drawn, numbers, gr.Timer(active=run is not None)]

    outputs = [seen, machine, figures, plot, rest, table, timer]
    on_change([current.change, timer.tick], look, [seen, current], outputs, **QUIET)


def figures_html(curves: Curves) -> str:
    """The newest of each figure that is looked at."""
    cells = [
        (label, style.format(last))
        for label, name, style in CELLS
        if name in curves and (last := curves[name].last) is not None
    ]
    step = max(curve.steps[-1] for curve in curves.values() if curve.steps)
    items = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in cells)
    return f'<dl class="cai-figures cai-has-curves" aria-label="Figures at step {step}">{items}</dl>'
