"""The session's runs and the one that is looked at: kept fresh, with the buttons that act on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio.components import run_results, run_view
from studio.components.problem import shown_or_why
from studio.context import Studio
from studio.escaping import escape
from studio.jobs.stages import Stage
from studio.listening import on_change
from studio.store import runs
from studio.store.runs import ACTIVE, RESUMABLE, Run

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
REFRESH = 2.0  # seconds
# Gradio's pages have a <base>, so the path must be said.
LINK = """(id) => {
  history.replaceState(null, "", location.pathname + (id ? `?run=${encodeURIComponent(id)}` : ""));
}"""
NOT_DELETED = "Nothing was deleted: the run is at work, or gone already. Stop it first, or reload the page."
ASK = (
    "Delete this run, its folder and its log? Its chains and pairs stay; its labels count no more. Stages of "
    "a recipe that wait for it go too."
)


@dataclass(frozen=True)
class Shelf:
    """What a page shows of the runs: those of which stages (empty: all), which it can start, or `empty`.

    `ask` is what is asked before one is deleted; `link`, a script, puts the run looked at in the address.
    """

    page: str
    starts: Sequence[Stage[Any]]
    empty: str
    shows: Sequence[Stage[Any]] = ()
    ask: str = ASK
    link: str = LINK

    def runs(self, studio: Studio) -> list[Run]:
        """The newest first."""
        names = [stage.name for stage in self.shows]
        return [run for run in runs.listed(studio.store) if not names or run.stage in names]


def run_controls(
    blocks: gr.Blocks,
    studio: Studio,
    current: gr.Textbox,
    shelf: Shelf,
    under: Callable[[], object] = lambda: None,
) -> gr.Button:
    """Put the runs on a page; `current` holds the id of the one looked at. Returns “Rerun with changes”.

    `under` puts more of the page's own under the run's buttons.
    """
    script = Path(run_view.__file__).with_name("run_command.js").read_text(encoding="utf-8")
    parts = [gr.HTML(js_on_load=script, padding=False, elem_id="run", elem_classes="cai-run-holder")]
    # Always mounted, and hidden by the style sheet while there is no run above: what Gradio has not
    # mounted yet can miss an update that comes with its being shown.
    with gr.Row(elem_classes="cai-actions cai-with-run"):
        stop = gr.Button("Stop", elem_id="stop", size="sm", min_width=90)
        resume = gr.Button("Resume", elem_id="resume", size="sm", min_width=90)
        again = gr.Button("Rerun with changes", elem_id="again", size="sm", min_width=150)
        up = gr.Button("Move up", elem_id="up", size="sm", min_width=90)
        down = gr.Button("Move down", elem_id="down", size="sm", min_width=90)
        delete = gr.Button("Delete", elem_id="delete", size="sm", min_width=90, elem_classes="cai-danger")
    under()
    parts.append(gr.HTML(padding=False, elem_id="samples"))
    with gr.Accordion("Log of the process", open=False, elem_classes="cai-with-run"):
        parts.append(gr.HTML(padding=False, elem_id="log"))
    gr.HTML('<h2 class="cai-heading">Runs</h2>', padding=False)
    parts.append(gr.HTML(padding=False, elem_id="runs"))
    buttons = [stop, resume, up, down, delete, again]
    seen = gr.State([])
    outputs = [seen, *parts, *buttons]

    def look(before: list[str], id: str) -> list[Any]:
        return _look(studio, shelf, before, id)

    on_change([current.change, gr.Timer(REFRESH).tick], look, [seen, current], outputs, **QUIET)

    def linked(before: list[str], request: gr.Request) -> list[Any]:
        asked = str(request.query_params.get("run", ""))
        every = shelf.runs(studio)
        at_work = [run for run in every if run.state in ACTIVE]
        id = asked or next((run.id for run in [*at_work, *every]), "")
        return [id, *look(before, id)]

    blocks.load(linked, seen, [current, *outputs], **QUIET)
    for button, act in ((stop, studio.jobs.stop), (resume, studio.jobs.resume)):
        button.click(act, current, **QUIET).then(look, [seen, current], outputs, **QUIET)
    for button, by in ((up, -1), (down, 1)):
        button.click(_mover(studio, by), current, **QUIET).then(look, [seen, current], outputs, **QUIET)

    def remove(id: str) -> str:
        if id and not studio.jobs.delete(id):
            raise gr.Error(NOT_DELETED, print_exception=False)
        return "" if id else gr.skip()

    sure = f"(id) => confirm({json.dumps(shelf.ask)}) ? id : ''"
    delete.click(remove, current, current, js=sure, **QUIET).success(None, current, js=shelf.link)
    return again


def _mover(studio: Studio, by: int) -> Any:
    return lambda id: studio.jobs.move(id, by)


def _look(studio: Studio, shelf: Shelf, before: list[str], id: str) -> list[Any]:
    """The parts that have changed since `before`, which begins with a stamp of all runs and the id."""
    stamp = f"{runs.stamp(studio.store)} {id}"
    if before and before[0] == stamp:
        return [gr.skip()] * 11
    run = runs.load(studio.store, id) if id else None
    missing = f'<p class="cai-muted">This session has no run {escape(id)}.</p>' if id else ""
    if run:
        parts = [
            shown_or_why(lambda: run_view.detail(studio.store, run, studio.jobs.of(id))),
            shown_or_why(lambda: run_results.results(studio.store, run)),
            shown_or_why(lambda: run_view.log_html(studio.jobs.of(id))),
        ]
    else:
        parts = [missing, "", ""]
    every = shelf.runs(studio)
    parts.append(run_view.run_list(every, studio.store, id, shelf.page) if every else shelf.empty)
    state = run.state if run else ""
    news = [
        new if index >= len(before) or before[index] != new else gr.skip()
        for index, new in enumerate(parts, 1)
    ]
    return [
        [stamp, *parts],
        *news,
        gr.update(interactive=state in ("waiting", "starting", "running")),
        gr.update(interactive=state in RESUMABLE),
        gr.update(interactive=state == "waiting"),
        gr.update(interactive=state == "waiting"),
        gr.update(interactive=bool(state) and state not in ACTIVE),
        gr.update(interactive=run is not None and run.stage in [stage.name for stage in shelf.starts]),
    ]
