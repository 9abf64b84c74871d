"""The runs behind a tab of figures: when these are to be drawn anew, and how far the runs have come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from studio.components import run_view
from studio.components.elo_section import QUIET
from studio.components.run_controls import REFRESH
from studio.context import Studio
from studio.jobs.stages import Stage
from studio.store import runs
from studio.store.runs import ACTIVE


def stamp(studio: Studio, stage: Stage[Any]) -> str:
    """Changes when a run of the stage has ended or is gone: what half a run has found is not drawn anew."""
    ended = [f"{run.id}:{run.state}" for run in runs.listed(studio.store) if run.stage == stage.name]
    return " ".join(one for one in ended if one.rpartition(":")[2] not in ACTIVE) or "none"


def drawn_when_seen(
    blocks: gr.Blocks,
    studio: Studio,
    tab: gr.Tab,
    stage: Stage[Any],
    show: Callable[..., list[Any]],
    given: Sequence[Any],
    outputs: Sequence[Any],
) -> None:
    """Draw a tab's figures when they are looked at, as plotly measures what is shown; anew when a run ended.

    `show` makes of the values of `given` an update for each of `outputs`.
    """
    seen = gr.State("")
    every, unseen = [seen, *outputs], [gr.skip()] * (1 + len(outputs))

    def look(before: str, *values: Any) -> list[Any]:
        now = stamp(studio, stage)
        return unseen if before == now else [now, *show(*values)]

    def tick(before: str, *values: Any) -> list[Any]:
        return look(before, *values) if before else unseen  # nobody has looked yet

    def arrive(request: gr.Request, *values: Any) -> list[Any]:
        return look("", *values) if request.query_params.get("view") == tab.id else unseen

    tab.select(look, [seen, *given], every, **QUIET)
    blocks.load(arrive, list(given), every, **QUIET)
    gr.Timer(REFRESH).tick(tick, [seen, *given], every, **QUIET)


def runs_html(studio: Studio, stage: Stage[Any], title: str) -> str:
    """The stage's runs, with their place and progress; a link opens one on the Runs page."""
    every = [run for run in runs.listed(studio.store) if run.stage == stage.name]
    head = f'<h2 class="cai-heading">{title}</h2>'
    if not every:
        return f'{head}<p class="cai-muted">None yet. They work one at a time with all other runs.</p>'
    return head + run_view.run_list(every, studio.store, "", "runs")
