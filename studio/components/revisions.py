"""The tab “Revisions” of the Elo page: scores by number of revisions, and where chains are sent to it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.components import revision_lines, scoring_card
from studio.components.elo_runs import drawn_when_seen, runs_html
from studio.components.elo_section import QUIET, Section, section
from studio.components.problem import told
from studio.components.revision_lines import Picture
from studio.components.run_controls import REFRESH
from studio.components.scoring_card import ScoringCard
from studio.components.training_sources import Options
from studio.context import Studio, author
from studio.escaping import isolated
from studio.jobs.stages import SCORE

RUNS = "Runs that score"
VIEW = "revisions"
MENUS = ("chains", "pm")
LEAD = """<p>A preference model's score of each answer: first as it was given, then after each revision.
<b>Only differences mean anything</b>, and only within one preference model. Whiskers are 95% intervals over
prompts. Filled marks and whole lines are chains with critiques, hollow marks and dashes are chains without.
</p>"""
EMPTY = """<div class="cai-empty"><h2>No chains are scored yet</h2>
<p>Does revision make answers less harmful, does the third still help, and is the critique worth its tokens?
The paper asks a preference model: the mean score by number of revisions (figure 5), with critiques and
without (figure 7).</p><ol>
<li><b>Draw chains</b> on the <a href="runs">Runs</a> page with several revisions; once more with
<i>Critiques</i> off under <i>More settings</i>, of the same prompts and seed.</li>
<li><b>Train a preference model</b> on the <a href="training">Training</a> page, on pairs of other
prompts.</li>
<li><b>Score them</b> below, or in a terminal: <code>cai score --chains runs/first runs/direct --pm runs/pm
--run runs/scores</code>, and bring that run in on the <a href="runs">Runs</a> page.</li></ol></div>"""


def build(blocks: gr.Blocks, studio: Studio, tab: gr.Tab) -> None:
    """Put the figures and the form on the page's `tab`."""
    pm = gr.Dropdown(
        [("All, side by side", "")], value="", label="Scored by", elem_id="revisions-pm", visible=False
    )
    empty = gr.HTML(EMPTY, padding=False, elem_id="revisions-empty")
    with gr.Column(visible=False) as body:
        gr.HTML(LEAD, padding=False)
        sections = _sections()
    with gr.Row(elem_classes="cai-columns"):
        with gr.Column(scale=2, min_width=400, elem_classes="cai-panel"):
            card = scoring_card.scoring_card(studio)
        with gr.Column(scale=3, min_width=480):
            listed = gr.HTML(padding=False, elem_id="score-runs")
    shown = [pm, empty, body, *(output for one in sections for output in one.outputs)]

    def show(chosen: str) -> list[Any]:
        every = revision_lines.picture(studio.store, studio.jobs.folder)
        names = list(every.panels)
        menu = gr.update(
            choices=[("All, side by side", ""), *((isolated(name), name) for name in names)],
            value=chosen if chosen in names else "",
            visible=len(names) > 1,
        )
        head = [menu, gr.update(visible=not names), gr.update(visible=bool(names))]
        if not names:
            return [*head, *(gr.skip() for _ in shown[len(head) :])]
        picture = every.only(chosen)
        return [*head, *(update for one in sections for update in one.render(picture))]

    def start(request: gr.Request, *given: Any) -> tuple[str, str]:
        with told() as mistake:
            values = dict(zip(card.form, given, strict=True))
            scoring_card.start(studio, values, author(request))
            return "", runs_html(studio, SCORE, RUNS)
        return mistake.html, gr.skip()

    drawn_when_seen(blocks, studio, tab, SCORE, show, [pm], shown)
    pm.input(show, pm, shown, **QUIET)
    card.start.click(start, list(card.form.values()), [card.problem, listed], **QUIET)
    _offering(blocks, studio, card, listed)


def _sections() -> list[Section[Picture]]:
    return [
        section("revisions", "Score by number of revisions", revision_lines.MEAN, revision_lines.means),
        section("gains", "What revision is worth", revision_lines.GAIN, revision_lines.gains),
    ]


def _offering(blocks: gr.Blocks, studio: Studio, card: ScoringCard, listed: gr.HTML) -> None:
    """The menus and the runs follow the session; what was chosen stays."""
    before = gr.State(({}, ""))
    menus = [card.form[name] for name in MENUS]

    def look(known: tuple[dict[str, Options], str], chains: list[str] | None, pm: str | None) -> list[Any]:
        offers, html = scoring_card.offers(studio), runs_html(studio, SCORE, RUNS)
        told = gr.skip() if html == known[1] else html
        if offers == known[0]:
            return [gr.skip() if html == known[1] else (offers, html), told, gr.skip(), gr.skip()]
        there = [value for _, value in offers["pm"]]
        kept = [id for id in chains or () if id in [value for _, value in offers["chains"]]]
        return [
            (offers, html),
            told,
            gr.update(choices=offers["chains"], value=kept),
            gr.update(choices=offers["pm"], value=pm if pm in there else next(iter(there), None)),
        ]

    inputs, outputs = [before, *menus], [before, listed, *menus]
    blocks.load(look, inputs, outputs, **QUIET)
    gr.Timer(REFRESH).tick(look, inputs, outputs, **QUIET)
