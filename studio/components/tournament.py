"""Tournaments on a page: the form that starts one, and the runs with their progress, buttons and log."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline import bundled
from studio.components import tournament_card
from studio.components.problem import told
from studio.components.run_controls import REFRESH, Shelf, run_controls
from studio.components.tournament_card import TournamentCard
from studio.components.training_sources import Options
from studio.components.version_choice import choices
from studio.context import Studio, author
from studio.jobs.stages import EVALUATE
from studio.store import runs

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# What the address says of the ratings stays in it. Gradio's pages have a <base>, so the path must be said.
LINK = """(id) => {
  const query = new URLSearchParams(location.search);
  if (id) query.set("run", id); else query.delete("run");
  history.replaceState(null, "", location.pathname + (query.size ? `?${query}` : ""));
}"""
MENUS = ("models", "feedback", "pm")
SHARED = """<p class="cai-muted">Runs work one at a time on each device and wait for each other. The live
model of the Chains page shares this machine's memory: release it there first.</p>"""
EMPTY = """<div class="cai-empty"><h2>No tournaments yet</h2><ol>
<li>Choose <b>the models</b>: the base first, then what was trained from it, snapshots too.</li>
<li>Choose <b>a judge</b>: a preference model that rewarded none of them, or a feedback model under a
constitution.</li>
<li><b>Start.</b> Every model answers every held-out prompt; prompts that one was trained on are refused.</li>
</ol><p class="cai-muted">A run has a process of its own: it survives a closed tab and a studio that is
started again. <b>Stop</b> keeps all answers and verdicts, and <b>Resume</b> computes none of them twice.</p>
</div>"""
ASK = "Delete this tournament, its folder and its log? Its matchups count no more."
SHELF = Shelf("elo", (EVALUATE,), EMPTY, shows=(EVALUATE,), ask=ASK, link=LINK)


def build(blocks: gr.Blocks, studio: Studio, shelf: Shelf = SHELF) -> None:
    """Put the form and the runs on a page."""
    with gr.Row(elem_classes="cai-columns"):
        with gr.Column(scale=2, min_width=400):
            with gr.Column(elem_classes="cai-panel"):
                card = tournament_card.tournament_card(studio)
            gr.HTML(SHARED, padding=False)
        with gr.Column(scale=3, min_width=480):
            current = gr.Textbox(visible=False)
            again = run_controls(blocks, studio, current, shelf)
    every = list(card.form.values())

    def start(request: gr.Request, *given: Any) -> tuple[Any, str]:
        with told() as mistake:
            return tournament_card.start(
                studio, dict(zip(card.form, given, strict=True)), author(request)
            ), ""
        return gr.skip(), mistake.html

    def fill(id: str) -> list[Any]:
        run = runs.load(studio.store, id)
        known = tournament_card.filled(run) if run and run.stage == EVALUATE.name else {}
        updates = {name: gr.update(value=known[name]) if name in known else gr.skip() for name in card.form}
        if known:
            updates["constitution"] = choices(studio, known.get("constitution"))
        return list(updates.values())

    card.start.click(start, every, [current, card.problem], **QUIET).then(None, current, js=LINK)
    again.click(fill, current, every, **QUIET)
    _offering(blocks, studio, card)


def _offering(blocks: gr.Blocks, studio: Studio, card: TournamentCard) -> None:
    """The menus follow the session; what was chosen stays."""
    seen = gr.State({})
    menus = [card.form[name] for name in MENUS]

    def look(before: dict[str, Options], *given: Any) -> list[Any]:
        offers = tournament_card.offers(studio)
        if offers == before:
            return [gr.skip()] * (1 + len(menus))
        values = dict(zip(MENUS, given, strict=True))
        if not before:
            values["models"] = values["models"] or ["bundled"]
            values["feedback"] = values["feedback"] or bundled.FEEDBACK
        known = [value for _, value in offers["pm"]]
        if values["pm"] not in known:
            values["pm"] = next(iter(known), None)
        return [offers, *(gr.update(choices=offers[name], value=values[name]) for name in MENUS)]

    def tell(*given: Any) -> str:
        return tournament_card.goes_html(studio, dict(zip(form, given, strict=True)))

    form = {name: control for name, control in card.form.items() if name != "name"}
    outputs = [seen, *menus]
    gr.Timer(REFRESH).tick(look, outputs, outputs, **QUIET)
    constitution = card.form["constitution"]
    blocks.load(lambda chosen: choices(studio, chosen), constitution, constitution, **QUIET)
    blocks.load(look, outputs, outputs, **QUIET).then(tell, list(form.values()), card.goes, **QUIET)
