"""Judged pairs as a file: TRL's preferences, ICAI's annotated pairs, or rows; calibrated where that is "
"kept."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from pipeline import export_files, preferences
from pipeline.calibration import Calibration
from pipeline.errors import UserError
from pipeline.preferences import By, Judged
from pipeline.preferences_command import FORMS
from studio.components import agreement_asked, agreement_data
from studio.components.agreement_data import Floats, Picture, places
from studio.components.agreement_section import QUIET, Section
from studio.components.problem import told
from studio.context import Studio
from studio.progress import plural
from studio.store import audit, calibrations, judgments, labels, pairs
from studio.store.labels import Labeller
from studio.store.pairs import PairFilter

NAMES = [
    ("TRL: prompt, chosen, rejected, margin, p", "trl"),
    ("ICAI: annotated pairs", "icai"),
    ("Rows: a pair a row, all that is held of it", "rows"),
]
WHO = [("The AI", "ai"), ("The human", "human"), ("The human, else the AI", "both")]


def exports_section(studio: Studio, chosen: Sequence[Any]) -> Section:
    """Put the section on the page."""
    with gr.Row():
        form = gr.Radio(NAMES, value="trl", label="Form", elem_id="export-form")
        kind = gr.Radio(list(FORMS["trl"]), value=FORMS["trl"][0], label="File", elem_id="export-kind")
        by = gr.Radio(WHO, value="ai", label="Who chooses", elem_id="export-by")
    calibrated = gr.Checkbox(label="Calibrated probabilities", interactive=False, elem_id="export-calibrated")
    with gr.Row(elem_classes="cai-actions"):
        start = gr.Button("Export", variant="primary", elem_id="export", min_width=140)
    said = gr.HTML(padding=False, elem_id="export-said")
    file = gr.File(label="Download", visible=False, interactive=False, elem_id="export-file")
    command = gr.HTML(padding=False, elem_classes="cai-command", elem_id="export-command")

    def render(picture: Picture) -> list[Any]:
        kept = calibrations.kept(studio.store, picture.labeller, picture.asked.axis) is not None
        info = "as kept under Calibration" if kept else "none is kept yet: see Calibration"
        shown = _command(studio, picture.labeller, picture.asked.axis, "trl", FORMS["trl"][0], "ai")
        return [
            gr.update(interactive=kept, value=False, info=info),
            "",
            gr.update(visible=False),
            *("trl", FORMS["trl"][0], "ai", shown),
        ]

    def export(form: str, kind: str, by: By, calibrated: bool, *values: Any) -> list[Any]:
        with told() as mistake:
            picture = agreement_data.picture(studio.store, agreement_asked.of_controls(studio.store, values))
            if picture is None:
                raise UserError("there are no AI labels to export")
            path, words = write(studio, picture, form, kind, by, calibrated)
            shown = f'<p class="cai-muted" role="status">{escape(words)}</p>'
            return [shown, gr.update(value=str(path), visible=True)]
        return [mistake.html, gr.update(value=None, visible=False)]

    def equal(form: str, kind: str, by: str, *values: Any) -> str:
        asked = agreement_asked.of_controls(studio.store, values)
        return "" if asked.labeller is None else _command(studio, asked.labeller, asked.axis, form, kind, by)

    options = [form, kind, by]
    form.change(lambda form: gr.update(choices=list(FORMS[form]), value=FORMS[form][0]), form, kind, **QUIET)
    gr.on([control.change for control in options], equal, [*options, *chosen], command, **QUIET)
    start.click(export, [*options, calibrated, *chosen], [said, file], **QUIET)
    return Section((calibrated, said, file, form, kind, by, command), render)


def write(
    studio: Studio, picture: Picture, form: str, kind: str, by: By, calibrated: bool
) -> tuple[Path, str]:
    """Write the export into a folder of its own; the file, and what it holds in words. Raises UserError."""
    items = gathered(studio, picture, calibrated)
    name = f"{studio.session}-{form}"
    # A folder of its own, which goes with the studio: never the session's.
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=os.environ.get("GRADIO_TEMP_DIR")))
    path = folder / f"{name}{kind}"
    if kind not in FORMS[form]:
        raise UserError(f"the form {form} is written as {' or '.join(FORMS[form])}")
    if kind == ".json":
        time = datetime.now(UTC).isoformat(timespec="seconds")
        data = preferences.icai(items, picture.constitution, picture.labeller.model, name, time)
        export_files.put(json.dumps(data, ensure_ascii=False, indent=1) + "\n", path)
        return path, f"{plural(len(items), 'pair')} with {plural(len(data['annotators']), 'annotator')}."
    rows = preferences.trl(items, by) if form == "trl" else preferences.flat(items)
    if form == "icai":
        rows = preferences.icai_rows(items, by)
    if not rows:
        raise UserError("no pair has a choice by these that is not a tie: there is nothing to export")
    changed = export_files.write(rows, path)
    safe = f" {plural(changed, 'cell')} got an apostrophe, lest a spreadsheet runs it." if changed else ""
    return path, f"{plural(len(rows), 'row')} of {plural(len(items), 'labelled pair')}.{safe}"


def gathered(studio: Studio, picture: Picture, calibrated: bool) -> list[Judged]:
    """The labelled pairs with the labeller's probabilities and the judgments that the page looks at."""
    asked, labeller = picture.asked, picture.labeller
    found = pairs.select(studio.store, PairFilter(labelled=labeller))
    some = judgments.current(studio.store, asked.axis, asked.judges.whose)
    items = preferences.judged(found, (), None, some, asked.axis)
    own = audit.own_weights(studio.store, labeller)
    matrix = picture.matrix
    p = audit.aggregated(matrix, own, complete=False).p_a
    mean = replace(matrix, p_a=(matrix.logit_ab + matrix.logit_ba) / 2)
    logit = audit.aggregated(mean, own, complete=False).p_a  # the same means, of log-odds
    calibration = calibrations.kept(studio.store, labeller, asked.axis) if calibrated else None
    if calibrated and calibration is None:
        raise UserError("no calibration is kept for this labeller: keep one under Calibration first")
    place = places(matrix)
    return [_labelled(item, picture, place[item.pair.id], p, logit, calibration) for item in items]


def _labelled(
    item: Judged, picture: Picture, at: int, p: Floats, logit: Floats, calibration: Calibration | None
) -> Judged:
    matrix = picture.matrix
    by_principle = {
        id: float(matrix.p_a[at, column])
        for column, id in enumerate(matrix.principles)
        if not np.isnan(matrix.p_a[at, column])
    }
    if calibration is None:
        return replace(item, p=float(p[at]), logit=float(logit[at]), principles=by_principle)
    calibrated = float(calibration.apply(p[at : at + 1])[0])
    inside = min(max(calibrated, 1e-6), 1 - 1e-6)
    return replace(item, p=calibrated, logit=float(np.log(inside / (1 - inside))), principles=by_principle)


def _command(studio: Studio, labeller: Labeller, axis: str, form: str, kind: str, by: str) -> str:
    runs = labels.runs_of(studio.store, labeller)
    folder = str(studio.jobs.of(runs[0])) if runs else "DIR"
    words = [
        "cai",
        "preferences",
        "--labels",
        folder,
        "--form",
        form,
        "--by",
        by,
        "--axis",
        axis,
        "-o",
        f"OUT{kind}",
    ]
    line = escape(shlex.join(words))
    return f'<p class="cai-muted">The same in a terminal, as labelled: <code>{line}</code></p>'
