"""The runs behind a tab of figures: when these are to be drawn anew, and how far the runs have come."""

from __future__ import annotations

from typing import Any

from studio.components import run_view
from studio.context import Studio
from studio.jobs.stages import Stage
from studio.store import runs
from studio.store.runs import ACTIVE


def stamp(studio: Studio, stage: Stage[Any]) -> str:
    """Changes when a run of the stage has ended or is gone: what half a run has found is not drawn anew."""
    ended = [f"{run.id}:{run.state}" for run in runs.listed(studio.store) if run.stage == stage.name]
    return " ".join(one for one in ended if one.rpartition(":")[2] not in ACTIVE) or "none"


def runs_html(studio: Studio, stage: Stage[Any], title: str) -> str:
    """The stage's runs, with their place and progress; a link opens one on the Runs page."""
    every = [run for run in runs.listed(studio.store) if run.stage == stage.name]
    head = f'<h2 class="cai-heading">{title}</h2>'
    if not every:
        return f'{head}<p class="cai-muted">None yet. They work one at a time with all other runs.</p>'
    return head + run_view.run_list(every, studio.store, "", "runs")
