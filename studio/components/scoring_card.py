"""“Score chains”: which runs of chains, by which preference model, and what that comes to (figures 5 and 7).

Headless: `cai score --chains DIR... --pm DIR --run DIR`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipeline.errors import UserError
from studio.components.problem import as_html, told
from studio.components.tournament_card import READING, named
from studio.components.training_sources import Options, chain_runs, pm_options
from studio.context import Studio
from studio.escaping import escape, exact
from studio.jobs import scoring
from studio.jobs.scoring import Asked
from studio.progress import plural

ABOUT = """<p class="cai-muted">The preference model scores each chain's first response and each revision.
Choose a run with critiques and one without, of the same prompts and seed, for the paper's figure 7.</p>"""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class ScoringCard:
    """The form's controls by what they set, its button, and where it says what goes in and what is wrong."""

    form: dict[str, Any]
    start: gr.Button
    goes: gr.HTML
    problem: gr.HTML


def scoring_card(studio: Studio) -> ScoringCard:
    """Put the card on a page."""
    gr.HTML('<h2 class="cai-heading">Score chains</h2>' + ABOUT, padding=False)
    chains = gr.Dropdown(
        [], multiselect=True, label="Chains", info="finished runs of this session", elem_id="score-chains"
    )
    pm = gr.Dropdown(
        [],
        label="Preference model",
        info="one that has not learnt from these prompts, and rewarded none of the models",
        elem_id="score-pm",
    )
    name = gr.Textbox(label="Name of the run", info="empty: named by its size", elem_id="score-name")
    goes = gr.HTML(padding=False, elem_id="score-goes")
    with gr.Row(elem_classes="cai-actions"):
        start = gr.Button("Score them", variant="primary", elem_id="score-start", min_width=140)
    problem = gr.HTML(padding=False, elem_id="score-problem")
    command = gr.HTML(padding=False, elem_id="score-command", elem_classes="cai-command")
    form = {"chains": chains, "pm": pm}

    def tell(*given: Any) -> list[str]:
        values = dict(zip(form, given, strict=True))
        return [goes_html(studio, values), command_html(values)]

    every = list(form.values())
    gr.on([c.change for c in every], tell, every, [goes, command], trigger_mode="always_last", **READING)
    return ScoringCard({**form, "name": name}, start, goes, problem)


def offers(studio: Studio) -> dict[str, Options]:
    """The menus' options as the session has them now."""
    return {"chains": chain_runs(studio), "pm": pm_options(studio)}


def start(studio: Studio, values: Values, who: str) -> str:
    """Put what the form asks for into the queue; returns the run's id. Raises UserError."""
    try:
        id = scoring.prepare(
            studio.store, studio.jobs.folder, _asked(studio, values), str(values["name"] or ""), who
        )
    except UserError as error:
        raise UserError(named(studio, str(error))) from error
    studio.jobs.wake()
    return id


def goes_html(studio: Studio, values: Values) -> str:
    """What the form comes to, and what speaks against it."""
    if not values["chains"] or not values["pm"]:
        missing = "Choose runs of chains and a preference model."
        return f'<p class="cai-goes cai-muted" role="status">{missing}</p>'
    try:
        what = _asked(studio, values)
        facts = [plural(len(what.chains), "run"), f"<b>{plural(len(what.every()), 'chain')}</b>"]
        facts += [f"<b>{plural(what.answers(), 'score')}</b>, each answer once"]
        notes = [escape(named(studio, note)) for note in scoring.require(what)]
    except UserError as error:
        return as_html(named(studio, str(error)))
    line = f'<p class="cai-goes" role="status">{" · ".join(facts)}</p>'
    return line + "".join(f'<p class="cai-muted">{note}.</p>' for note in notes)


def _asked(studio: Studio, values: Values) -> Asked:
    return scoring.asked(studio.jobs.folder, tuple(values["chains"] or ()), str(values["pm"] or ""))


def command_html(values: Values) -> str:
    """The same in a terminal."""
    with told():
        chains = ["CHAINS"] * max(1, len(values["chains"] or ()))
        line = shlex.join(["cai", "score", "--chains", *chains, "--pm", "PM", "--run", "DIR"])
        return f'<p class="cai-muted">The same in a terminal: <code>{exact(line)}</code></p>'
    return ""
