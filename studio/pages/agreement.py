"""Agreement: how far the AI's labels agree with people's, and what follows from it (paper section 4.1).

Headless: `cai agreement --labels DIR`.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr
import numpy as np

from studio.components import agreement_asked, agreement_data, agreement_pairs, audit_asking
from studio.components.agreement_asked import AXES, Asked
from studio.components.agreement_calibration import calibration_section
from studio.components.agreement_data import LISTED, Picture, held
from studio.components.agreement_empty import empty_html
from studio.components.agreement_exports import exports_section, run_of
from studio.components.agreement_gate import gate_section
from studio.components.agreement_section import QUIET, Listing, Section
from studio.components.agreement_sections import figures_section, heading, labellers_section
from studio.components.agreement_triage import triage_section, versions_section
from studio.components.agreement_try import whatif_section
from studio.components.notice import content_notice
from studio.context import Studio
from studio.escaping import escape
from studio.progress import plural
from studio.store import sightings

DRAWER = Path(agreement_pairs.__file__).with_name("agreement_drawer.js")

# Gradio's pages have a <base>, so the path must be said.
LINK = """(query) => { if (query) history.replaceState(null, "", `${location.pathname}?${query}`); }"""
TABS = """<p class="cai-muted">Dotted figures open the pairs behind them.</p>"""


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    with gr.Column(elem_classes="cai-behind-notice"):
        chosen = _choice()
        address = gr.Textbox(visible=False)
        empty = gr.HTML(padding=False, elem_id="agreement-empty")
        with gr.Column(visible=False) as body:
            first = [gate_section(studio, chosen)]
            with gr.Tabs(elem_id="agreement-tabs") as tabs:
                with gr.Tab("Figures"):
                    gr.HTML(TABS, padding=False)
                    first.append(figures_section(studio))
                with gr.Tab("Labellers"):
                    second = [labellers_section(studio)]
                with gr.Tab("Disagreements"):
                    apart = [triage_section(studio, chosen)]
                    heading("Old and new", "two labellers on the same judged pairs")
                    apart.append(versions_section(studio, chosen))
                with gr.Tab("What if"):
                    tried = [whatif_section(studio, chosen)]
                with gr.Tab("Calibration"):
                    third = [calibration_section(studio, chosen)]
                with gr.Tab("Export"):
                    second.append(exports_section(studio, chosen))
            took = gr.HTML(padding=False, elem_id="took")
        drawer = gr.HTML(js_on_load=DRAWER.read_text(encoding="utf-8"), padding=False, elem_id="behind")
    shown = [address, empty, body, took, *_outputs(first)]
    listing = Listing(studio, {"Disagreements": apart, "What if": tried})
    at, drawn = gr.State(""), gr.State({})

    def show(asked: Asked) -> list[Any]:
        start = time.perf_counter()
        picture = agreement_data.picture(studio.store, asked)
        nothing = empty_html(asked, picture)
        head = [urlencode(asked.query), nothing, gr.update(visible=not nothing)]
        if picture is None or nothing:
            return [*head, "", *_skips(first)]
        updates = [update for section in first for update in section.render(picture)]
        return [*head, _took(studio, picture, time.perf_counter() - start), *updates]

    def arrive(remembered: str, request: gr.Request) -> list[Any]:
        viewer = audit_asking.read({"as": remembered}, request.username).who
        asked = agreement_asked.read(studio.store, {**dict(request.query_params), "viewer": viewer})
        return [*_choices(studio, asked), *show(asked)]

    def choose(*values: Any) -> list[Any]:
        asked = agreement_asked.of_controls(studio.store, values)
        closed = ""  # the pairs in the drawer are not behind these figures
        return [gr.skip(), gr.skip(), _judges(studio, asked), gr.skip(), *show(asked), closed]

    def rest(sections: Sequence[Section]) -> Callable[..., list[Any]]:
        def render(*values: Any) -> list[Any]:
            picture = agreement_data.picture(studio.store, agreement_asked.of_controls(studio.store, values))
            if picture is None or not len(picture.random):
                return _skips(sections)
            return [update for section in sections for update in section.render(picture)]

        return render

    def behind(event: gr.EventData, *values: Any) -> str:
        return _behind(
            studio, agreement_asked.of_controls(studio.store, values), str(event._data.get("open") or "")
        )

    def again(open: str, before: dict[str, Any], *values: Any) -> list[Any]:
        return listing.drawn(open, before, values)

    def turn(event: gr.SelectData, before: dict[str, Any], *values: Any) -> list[Any]:
        return [str(event.value), *listing.drawn(str(event.value), before, values)]

    # The gate and the figures first; then what is behind the other tabs, so that nobody waits for it.
    arrived = blocks.load(arrive, chosen[3], [*chosen, *shown], js=audit_asking.REMEMBERED, **QUIET)
    changed = gr.on(
        [control.input for control in chosen[:3]],
        choose,
        chosen,
        [*chosen, *shown, drawer],
        trigger_mode="always_last",
        **QUIET,
    )
    for event in (arrived, changed):
        after = event.then(rest(second), chosen, _outputs(second), **QUIET)
        after = after.then(again, [at, drawn, *chosen], [drawn, *listing.outputs], **QUIET)
        after.then(rest(third), chosen, _outputs(third), **QUIET)
    tabs.select(turn, [drawn, *chosen], [at, drawn, *listing.outputs], **QUIET)
    address.change(None, address, js=LINK)
    drawer.act(behind, chosen, drawer, trigger_mode="always_last", **QUIET)


def _choice() -> list[Any]:
    """The controls of what is compared: axis, labeller, judges; and, not seen, who looks."""
    with gr.Row(elem_classes="cai-line"):
        axis = gr.Radio(
            [(name.capitalize(), name) for name in AXES],
            value=AXES[0],
            label="Axis",
            scale=0,
            min_width=230,
            elem_id="axis",
        )
        labeller = gr.Dropdown(label="AI labeller", elem_id="labeller", scale=3, min_width=380)
        judges = gr.Dropdown(
            [("All people", "person")],
            value="person",
            label="Compared with",
            elem_id="judges",
            scale=2,
            min_width=280,
        )
    return [axis, labeller, judges, gr.Textbox(visible=False)]


def _choices(studio: Studio, asked: Asked) -> list[Any]:
    """Updates of the controls for an address."""
    labeller = asked.labeller.key if asked.labeller else None
    choices = agreement_asked.labeller_choices(studio.store)
    labellers = gr.update(choices=choices, value=labeller)
    return [asked.axis, labellers, _judges(studio, asked), asked.viewer]


def _judges(studio: Studio, asked: Asked) -> Any:
    choices = agreement_asked.judge_choices(studio.store, asked.axis)
    key = asked.judges.key
    if key not in [value for _, value in choices]:
        choices.append((asked.judges.whom, key))
    return gr.update(choices=choices, value=key)


def _behind(studio: Studio, asked: Asked, what: str) -> str:
    picture = agreement_data.picture(studio.store, asked) if what else None
    if picture is None:
        return ""
    title, c, rows = agreement_data.behind(picture, what)
    some = held(studio.store, c, picture.pairs, rows[:LISTED], asked)
    sightings.note(studio.store, asked.viewer, [one.pair.id for one in some])
    return agreement_pairs.list_html(escape(title), some, len(rows), asked.axis)


def _took(studio: Studio, picture: Picture, seconds: float) -> str:
    """What the figures stand on, how long they took, and the command that prints them."""
    folder, human = run_of(studio, picture.asked)
    words = ["cai", "agreement", "--labels", folder, "--axis", picture.asked.axis]
    line = shlex.join([*words, *(["--human", human] if human else [])])
    first = "with the judgments (see Export) as human.jsonl, " if human else ""
    rows = int((~np.isnan(picture.matrix.p_a)).sum())
    command = f"In a terminal, of this run: {first}<code>{escape(line)}</code>. "
    return (
        f'<p class="cai-muted cai-took">{command}From {plural(len(picture.random), "judgment")} and '
        f"{plural(rows, 'stored label')} in {seconds:.2f} s.</p>"
    )


def _outputs(sections: Sequence[Section]) -> list[Any]:
    return [output for section in sections for output in section.outputs]


def _skips(sections: Sequence[Section]) -> list[Any]:
    return [gr.skip() for _ in _outputs(sections)]
