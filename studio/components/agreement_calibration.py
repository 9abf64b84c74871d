"""Calibration: the AI's probabilities against how often people agree, before and after, and keeping it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from pipeline import agreement, calibration
from pipeline.calibration import Calibration, Quality
from pipeline.errors import UserError
from studio.components import agreement_asked, agreement_data, charts
from studio.components.agreement_data import BINS, Picture
from studio.components.agreement_section import QUIET, Section
from studio.components.agreement_words import number
from studio.components.problem import told
from studio.context import Studio
from studio.progress import plural
from studio.store import calibrations

KINDS = {"platt": "Platt’s logistic curve", "isotonic": "isotonic regression"}
LEAD = """<p class="cai-muted">A labeller may be right and still too sure, or too shy. A calibration maps its
probabilities to how often people agree. It turns no label round; but isotonic regression makes ties of labels
that people agree with no more often than not. “After” is cross-validated, in folds by prompt.</p>"""


def calibration_section(studio: Studio, chosen: Sequence[Any]) -> Section:
    """Put the section on the page."""
    gr.HTML(LEAD, padding=False)
    with gr.Row(elem_classes="cai-columns"):
        with gr.Column(min_width=480):
            plot = gr.Plot(show_label=False, elem_id="calibration-plot", elem_classes="cai-plot")
        with gr.Column(min_width=440):
            table = gr.HTML(padding=False, elem_id="calibration")
            state = gr.HTML(padding=False, elem_id="calibration-state")
            problem = gr.HTML(padding=False, elem_id="calibration-problem")
            with gr.Row(elem_classes="cai-actions"):
                # Off until there is one to keep: a press before the figures are drawn would be wiped by them.
                keep = gr.Button(
                    "Keep this calibration", variant="primary", interactive=False, elem_id="calibration-keep"
                )
                drop = gr.Button("Use probabilities as labelled", elem_id="calibration-drop")

    def render(picture: Picture) -> list[Any]:
        found, why = _learnt(picture)
        return [
            _plot(picture, found),
            _table(found, why),
            _state(studio, picture),
            gr.update(interactive=found is not None),
        ]

    def act(picture: Picture, forget: bool) -> None:
        if forget:
            calibrations.drop(studio.store, picture.labeller, picture.asked.axis)
            return
        if picture.asked.judges.kind != "person":
            raise UserError(
                "a calibration for training is learnt from people’s judgments: choose people above"
            )
        calibrations.keep(studio.store, picture.labeller, picture.asked.axis, learn(picture))

    def press(forget: bool, values: Sequence[Any]) -> list[Any]:
        picture = agreement_data.picture(studio.store, agreement_asked.of_controls(studio.store, values))
        if picture is None:
            return ["", ""]
        with told() as mistake:
            act(picture, forget)
        return [_state(studio, picture), mistake.html]

    # What was wrong before goes when something is started: learning may take a while.
    gr.on([keep.click, drop.click, *(c.input for c in chosen)], None, None, problem, js="() => ['']", **QUIET)
    keep.click(lambda *values: press(False, values), list(chosen), [state, problem], **QUIET)
    drop.click(lambda *values: press(True, values), list(chosen), [state, problem], **QUIET)
    return Section((plot, table, state, keep), render)


def learn(picture: Picture) -> Calibration:
    """The calibration of a comparison's random share. Raises UserError if opposed, or on too few."""
    c = picture.random
    return calibration.calibrate(c.p_a, c.choice, c.cluster)


def _learnt(picture: Picture) -> tuple[Calibration | None, str]:
    """The same; or None, and why as HTML."""
    with told() as mistake:
        return learn(picture), ""
    return None, mistake.html


def _plot(picture: Picture, found: Calibration | None) -> Any:
    c, who = picture.random.decided(), picture.asked.judges.noun
    before = agreement.reliability(c, BINS)
    after: list[agreement.Bin] = []
    if found is not None:
        unseen = calibration.held_out(c.p_a, c.choice, c.cluster, found.kind)
        after = agreement.reliability(replace(c, p_a=unseen), BINS)
    return charts.reliability(before, after=after, who=who)


def _table(found: Calibration | None, why: str) -> str:
    if found is None:
        return why
    rows = "".join(
        _quality(name, quality) for name, quality in (("before", found.before), ("after", found.after))
    )
    return (
        f"<p>{KINDS[found.kind]}, from {plural(found.n, 'judgment')} of {plural(found.clusters, 'prompt')}; "
        "slope "
        f"{found.slope:.2f} on the logit{_meaning(found.slope)}.</p>"
        '<table class="cai-table"><thead><tr><th></th><th>ECE</th><th>Brier</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _meaning(slope: float) -> str:
    if slope > 1.1:
        return ": the AI is too shy"
    return ": the AI is too sure" if slope < 0.9 else ""


def _quality(name: str, quality: Quality) -> str:
    return f"<tr><th>{name}</th><td>{number(quality.ece)}</td><td>{number(quality.brier)}</td></tr>"


def _state(studio: Studio, picture: Picture) -> str:
    kept = calibrations.kept(studio.store, picture.labeller, picture.asked.axis)
    if kept is None:
        return '<p role="status">In force: the probabilities as labelled.</p>'
    return (
        f'<p role="status">In force: <b>{KINDS[kept.kind]}</b>, learnt from {plural(kept.n, "judgment")}. '
        "Exports can use it; training will read it.</p>"
    )
