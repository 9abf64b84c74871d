"""Training: SL-CAI, preference models and RL-CAI with a button, watched live (paper sections 3.2 and 4.1).

Headless: `cai sft`, `cai pm`, `cai rl` and `cai dpo`.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.components.notice import content_notice
from studio.components.problem import told
from studio.components.run_controls import LINK, Shelf, run_controls
from studio.components.training_card import Card
from studio.components.training_compare import training_compare
from studio.components.training_preferences import preference_card
from studio.components.training_rl import rl_card
from studio.components.training_sft import sft_card
from studio.components.training_watch import training_watch
from studio.context import Studio, author
from studio.jobs.stages import DPO, PM, TRAINING
from studio.store import runs

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
REFRESH = 4.0  # seconds

SHARED = """<p class="cai-muted">Runs work one at a time on each device and wait for each other. The live
model of the Chains page shares this machine's memory: release it there first.</p>"""
EMPTY = """<div class="cai-empty"><h2>Nothing trained yet</h2><ol>
<li><b>SL-CAI</b> learns the revisions: critique a batch of prompts on the <a href="runs">Runs</a> page, then
train on its chains.</li>
<li><b>A preference model</b> learns the labels: label pairs on the <a href="labels">Labels</a> page, or
import comparisons, and judge some on the <a href="audit">Audit</a> page to know what the labels are
worth.</li>
<li><b>RL-CAI</b> goes on from SL-CAI, and earns the preference model's reward.</li>
</ol><p class="cai-muted">A run has a process of its own: it survives a closed tab and a studio that is
started again. <b>Stop</b> saves, and <b>Resume</b> goes on from there.</p></div>"""
ASK = "Delete this run, its folder, its checkpoints and its log? What was trained from it can't be used then."
SHELF = Shelf("training", TRAINING, EMPTY, shows=TRAINING, ask=ASK)


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    with gr.Tabs(elem_classes="cai-behind-notice", elem_id="training-tabs"):
        with gr.Tab("Train"), gr.Row(elem_classes="cai-columns"):
            with gr.Column(scale=2, min_width=400):
                tabs, cards = _cards(studio)
            with gr.Column(scale=3, min_width=480):
                current = gr.Textbox(visible=False)
                again = run_controls(blocks, studio, current, SHELF, lambda: training_watch(studio, current))
        with gr.Tab("Compare") as compare:
            training_compare(blocks, studio, compare)
    _starting(studio, cards, current)
    _filling(studio, cards, tabs, again, current)
    _offering(blocks, studio, cards)


def _cards(studio: Studio) -> tuple[gr.Tabs, list[Card]]:
    """A tab for each stage of training, in the loop's order."""
    with gr.Tabs(elem_id="stages", selected="sft", elem_classes="cai-panel") as tabs:
        with gr.Tab("1 · SL-CAI", id="sft"):
            cards = [sft_card(studio)]
        with gr.Tab("2 · Preference model", id="pm"):
            cards.append(preference_card(studio, PM))
        with gr.Tab("3 · RL-CAI", id="rl"):
            cards.append(rl_card(studio))
        with gr.Tab("DPO", id="dpo"):
            cards.append(preference_card(studio, DPO))
    gr.HTML(SHARED, padding=False)
    return tabs, cards


def _starting(studio: Studio, cards: list[Card], current: gr.Textbox) -> None:
    def starter(card: Card) -> Any:
        def start(request: gr.Request, *given: Any) -> tuple[Any, str]:
            with told() as mistake:
                id = card.begin(dict(zip(card.form, given, strict=True)), author(request))
                studio.jobs.wake()
                return id, ""
            return gr.skip(), mistake.html

        return start

    for card in cards:
        card.start.click(starter(card), list(card.form.values()), [current, card.problem], **QUIET).then(
            None, current, js=LINK
        )


def _filling(studio: Studio, cards: list[Card], tabs: gr.Tabs, again: gr.Button, current: gr.Textbox) -> None:
    """The form of a run that is to be repeated with changes, and its tab."""
    every = [control for card in cards for control in (card.preset, *card.form.values())]

    def fill(id: str) -> list[Any]:
        run = runs.load(studio.store, id)
        updates: list[Any] = []
        for card in cards:
            # No preset has these values.
            updates.append(gr.update(value=None) if run and run.stage == card.stage.name else gr.skip())
            known = card.filled(run) if run and run.stage == card.stage.name else {}
            offers = card.offers()
            for name in card.form:
                if name not in known:
                    updates.append(gr.skip())
                else:
                    more = {"choices": offers[name]} if name in offers else {}
                    updates.append(gr.update(value=_still(known[name], offers.get(name), name), **more))
        return [gr.update(selected=run.stage) if run else gr.skip(), *updates]

    again.click(fill, current, [tabs, *every], **QUIET)


def _offering(blocks: gr.Blocks, studio: Studio, cards: list[Card]) -> None:
    """The menus follow the session; what was chosen stays, as long as it is there."""
    seen = gr.State([])
    menus = [(card, name) for card in cards for name in card.offers()]
    controls = [card.form[name] for card, name in menus]

    def look(before: list[Any], *given: Any) -> list[Any]:
        offers = [card.offers() for card in cards]
        if offers == before:
            return [gr.skip()] * (1 + len(menus))
        of = dict(zip((card.stage.name for card in cards), offers, strict=True))
        return [
            offers,
            *(
                gr.update(
                    choices=of[card.stage.name][name],
                    value=_still(value, of[card.stage.name][name], name, first=not before),
                )
                for (card, name), value in zip(menus, given, strict=True)
            ),
        ]

    def tell(*given: Any) -> list[str]:
        values = iter(given)
        return [card.tell(*(next(values) for _ in card.form)) for card in cards]

    every = [control for card in cards for control in card.form.values()]
    outputs = [seen, *controls]
    gr.Timer(REFRESH).tick(look, outputs, outputs, **QUIET)
    blocks.load(look, outputs, outputs, **QUIET).then(tell, every, [card.goes for card in cards], **QUIET)


def _still(value: Any, offers: list[tuple[str, str]] | None, name: str, first: bool = False) -> Any:
    """What was chosen, as far as it is still offered; at `first` what lies at hand, where nothing is."""
    if offers is None or name == "model":
        return value
    known = [option for _, option in offers]
    if isinstance(value, list) or value is None:
        kept = [one for one in value or () if one in known]
        if name in ("pm",):
            return known[0] if known else None
        return kept or (known[:1] if first and name in ("chains", "labels") else [])
    return value if value in known else next(iter(known), None)
