"""Elo: who beats whom, and what that says of a constitution (the paper's figures 2 and 3).

Headless: `cai elo FILE`, of a run of `cai evaluate` or any file of matchups.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from pipeline.errors import UserError
from studio.components import (
    elo_asked,
    elo_behind,
    elo_courses,
    elo_data,
    elo_evasive,
    elo_frontier,
    elo_judges,
    elo_section,
    elo_wins,
    questions,
    revisions,
    tournament,
)
from studio.components.elo_asked import NAMES, Asked
from studio.components.elo_data import Picture
from studio.components.elo_empty import empty_html
from studio.components.elo_ratings import ratings_html, warnings_html
from studio.components.elo_section import QUIET, Section, section
from studio.components.notice import content_notice
from studio.components.problem import as_html
from studio.context import Studio, author
from studio.escaping import escape
from studio.progress import plural
from studio.store import matchups

SCRIPTS = tuple(Path(elo_section.__file__).with_name(name) for name in ("agreement_drawer.js", "elo_page.js"))
# Gradio's pages have a <base>, so the path must be said. A run in the address is another part's.
LINK = """(query) => {
  const run = new URLSearchParams(location.search).get("run");
  const all = new URLSearchParams(query);
  if (run) all.set("run", run);
  history.replaceState(null, "", location.pathname + (all.size ? `?${all}` : ""));
}"""
LEAD = """<p>Elo by Bradley and Terry: 400 points are odds of 10 to 1, and the base model is 0.
<b>Only differences mean anything</b>, and only within one axis and judge. Whiskers are 95% intervals of the
difference to the base, over prompts. Judges of different kinds are never pooled. Click a point for the
matchups behind it.</p>"""
ALL = """<h3 class="cai-section">All ratings
<span class="cai-muted">a card for each axis and judge</span></h3>"""
ELSEWHERE = """<p class="cai-muted">How well a feedback model's labels are calibrated by people's judgments is
on the <a href="agreement">Agreement page</a>.</p>"""


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    with gr.Tabs(elem_classes="cai-behind-notice", elem_id="elo-tabs") as tabs:
        with gr.Tab("Ratings", id="ratings"):
            ratings(blocks, studio)
        with gr.Tab("Tournaments", id="tournaments", render_children=True):
            tournament.build(blocks, studio)
        # All of a tab in the tab: what else stood among the tabs would be counted as one.
        with gr.Tab("Revisions", id=revisions.VIEW, render_children=True) as tab:
            revisions.build(blocks, studio, tab)
        with gr.Tab("Questions", id=questions.VIEW, render_children=True) as tab:
            questions.build(blocks, studio, tab)

    def arrive(request: gr.Request) -> Any:
        asked = request.query_params
        if asked.get("view") in (revisions.VIEW, questions.VIEW):
            return gr.update(selected=asked["view"])
        return gr.update(selected="tournaments" if "run" in asked or "view" in asked else "ratings")

    blocks.load(arrive, None, tabs, **QUIET)


def ratings(blocks: gr.Blocks, studio: Studio) -> None:
    """The dashboards: what is asked for, the figures, and the cards of all judges."""
    chosen = _choice()
    address = gr.Textbox(visible=False)
    problem = gr.HTML(padding=False, elem_id="elo-problem")
    empty = gr.HTML(padding=False, elem_id="elo-empty")
    with gr.Column(visible=False) as body:
        gr.HTML(LEAD, padding=False, elem_id="elo-lead")
        warnings = gr.HTML(padding=False, elem_id="elo-warnings")
        sections = _sections()
        gr.HTML(ALL, padding=False)
        cards = gr.HTML(padding=False, elem_id="elo-ratings")
        gr.HTML(ELSEWHERE, padding=False, elem_classes="cai-links")
        took = gr.HTML(padding=False, elem_id="elo-took")
    drawer = gr.HTML(
        js_on_load="\n".join(f"{{{script.read_text(encoding='utf-8')}}}" for script in SCRIPTS),
        padding=False,
        elem_id="behind",
    )
    figures = [output for one in sections for output in one.outputs]
    shown = [*chosen, address, problem, empty, body, warnings, cards, took, *figures]

    def show(asked: Asked) -> list[Any]:
        try:
            picture = elo_data.picture(studio, asked)
        except UserError as error:
            return [
                *(gr.skip() for _ in chosen),
                gr.skip(),
                as_html(str(error)),
                *_skips(shown[len(chosen) + 2 :]),
            ]
        nothing = empty_html(asked, len(picture.rated), matchups.count(studio.store))
        head = [*_choices(picture), urlencode(asked.query), "", nothing, gr.update(visible=not nothing)]
        if nothing:
            return [*head, "", "", "", *_skips(figures)]
        drawn = [update for one in sections for update in one.render(picture)]
        return [*head, warnings_html(picture), ratings_html(studio, picture), _took(picture), *drawn]

    def arrive(request: gr.Request) -> list[Any]:
        return show(elo_asked.read(dict(request.query_params)))

    def choose(*values: Any) -> list[Any]:
        return show(elo_asked.of_controls(values))

    def behind(event: gr.EventData, request: gr.Request, *values: Any) -> str:
        try:
            asked, what = elo_asked.of_controls(values), str(event._data.get("open") or "")
            return elo_behind.behind_html(studio, asked, what, author(request))
        except UserError as error:
            return as_html(str(error))

    blocks.load(arrive, None, shown, **QUIET)
    gr.on(
        [
            *(one.input for one in chosen if not isinstance(one, gr.Textbox)),
            *(
                getattr(one, event)
                for one in chosen
                if isinstance(one, gr.Textbox)
                for event in ("submit", "blur")
            ),
        ],
        choose,
        chosen,
        shown,
        trigger_mode="always_last",
        **QUIET,
    )
    address.change(None, address, js=LINK)
    drawer.act(behind, chosen, drawer, trigger_mode="always_last", **QUIET)


def _choice() -> list[Any]:
    """The controls, in the order of NAMES."""
    with gr.Column(elem_id="elo-choice", elem_classes="cai-panel"):
        with gr.Row():
            who = gr.Dropdown(elo_asked.JUDGES, value="", label="Judges", elem_id="elo-who", min_width=190)
            axis = gr.Dropdown(elo_asked.AXES, value="", label="Axis", elem_id="elo-axis", min_width=130)
            kind = gr.Dropdown(
                elo_asked.PROMPTS, value="", label="Prompts", elem_id="elo-kind", min_width=110
            )
            since = gr.Textbox(
                label="From day (UTC)", placeholder="2026-01-31", elem_id="elo-since", min_width=110
            )
            until = gr.Textbox(
                label="To day (UTC)", placeholder="2026-01-31", elem_id="elo-until", min_width=110
            )
            rule = gr.Dropdown(
                elo_asked.RULES, value="majority", label="A win is", elem_id="elo-rule", min_width=190
            )
        with gr.Row():
            harmless = gr.Dropdown(
                label="Harmlessness is judged by", elem_id="elo-harmless", scale=3, min_width=300
            )
            helpful = gr.Dropdown(
                label="Helpfulness is judged by", elem_id="elo-helpful", scale=3, min_width=300
            )
            base = gr.Dropdown(label="Base, which is 0", elem_id="elo-base", scale=2, min_width=200)
    # By name: they are laid out in another order.
    by_name = {"who": who, "axis": axis, "kind": kind, "since": since, "until": until, "rule": rule}
    by_name |= {"base": base, "harmless": harmless, "helpful": helpful}
    return [by_name[name] for name in NAMES]


def _sections() -> list[Section[Picture]]:
    with gr.Row(elem_classes="cai-columns"):
        with gr.Column(min_width=480):
            found = [section("frontier", "Frontier", elo_frontier.ASIDE, elo_frontier.frontier)]
        with gr.Column(min_width=480):
            found.append(section("evasive", "Evasiveness", elo_evasive.ASIDE, elo_evasive.evasive))
    found.append(section("steps", "Elo over RL steps", elo_courses.STEPS, elo_courses.steps))
    found.append(section("sizes", "Elo by model size", elo_courses.SIZES, elo_courses.sizes))
    with gr.Row(elem_classes="cai-columns"):
        for axis, title in (("harmless", "Win rates, harmlessness"), ("helpful", "Win rates, helpfulness")):
            with gr.Column(min_width=480):
                found.append(section(f"wins-{axis}", title, "row against column", elo_wins.of_axis(axis)))
    found.append(section("judges", "Do judges agree?", elo_judges.ASIDE, elo_judges.judges))
    return found


def _choices(picture: Picture) -> list[Any]:
    """Updates of the controls: what is chosen, and what there is to choose from."""
    asked = picture.asked
    names = sorted({rating.model for one in picture.rated for rating in one.table.ratings})
    menus: dict[str, list[tuple[str, str]]] = {
        "base": [("the usual one", ""), *((name, name) for name in names)]
    }
    values = {**vars(asked)}
    for axis, drawn in (("harmless", picture.harmless), ("helpful", picture.helpful)):
        menus[axis] = [
            (f"{one.called} · {plural(one.table.n, 'vote')}", one.key) for one in picture.of_axis(axis)
        ]
        values[axis] = drawn.key if drawn else None
    if values["base"] and values["base"] not in names:
        menus["base"].append((values["base"], values["base"]))
    return [
        gr.update(value=values[name], choices=menus[name]) if name in menus else gr.update(value=values[name])
        for name in NAMES
    ]


def _took(picture: Picture) -> str:
    """What it stands on, how long it took, and the command that prints the same."""
    rows = sum(len(one.votes) for one in picture.rated)
    soft = " --soft" if picture.asked.rule == "soft" else ""
    base = f" --base {escape(shlex.quote(picture.asked.base))}" if picture.asked.base else ""
    command = f"<code>cai elo runs/NAME{base}{soft}</code>"
    return (
        f'<p class="cai-muted cai-took">In a terminal, of one run: {command}. From '
        f"{plural(rows, 'vote')} in {picture.seconds:.2f} s.</p>"
    )


def _skips(outputs: Sequence[Any]) -> list[Any]:
    return [gr.skip() for _ in outputs]
