"""Judged pairs as a file: TRL's preferences, ICAI's annotated pairs, or rows; calibrated where it is kept."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from pipeline import export_files, preferences
from pipeline.calibration import Calibration
from pipeline.errors import UserError
from pipeline.preferences import By, Judged
from pipeline.preferences_command import FORMS
from pipeline.records import Judgment, as_json
from studio.components import agreement_asked, agreement_data
from studio.components.agreement_asked import Asked
from studio.components.agreement_data import Floats, Picture, places
from studio.components.agreement_section import QUIET, Section
from studio.components.problem import told
from studio.context import Studio
from studio.escaping import escape
from studio.listening import on_change
from studio.progress import plural
from studio.store import audit, calibrations, gates, held_judgments, labels, pairs
from studio.store.database import Store
from studio.store.pairs import PairFilter

NAMES = [
    ("TRL: prompt, chosen, rejected, margin, p", "trl"),
    ("ICAI: annotated pairs", "icai"),
    ("Rows: a pair a row, all that is held of it", "rows"),
    ("Judgments: human.jsonl, for --human in a terminal", "human"),
]
JUDGMENTS = "human"  # the form of the session's judgments: no choice of an AI, and so not of the command
FILES = {**FORMS, JUDGMENTS: (".jsonl",)}
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
    about = gr.HTML(padding=False, elem_id="export-about")
    said = gr.HTML(padding=False, elem_id="export-said")
    file = gr.File(label="Download", visible=False, interactive=False, elem_id="export-file")
    command = gr.HTML(padding=False, elem_classes="cai-command", elem_id="export-command")

    def render(picture: Picture) -> list[Any]:
        kept = calibrations.kept(studio.store, picture.labeller, picture.asked.axis) is not None
        info = "as kept under Calibration" if kept else "none is kept yet: see Calibration"
        shown = _command(studio, picture.asked, "trl", FORMS["trl"][0], "ai")
        return [
            gr.update(interactive=kept, value=False, info=info),
            "",
            gr.update(visible=False),
            *("trl", FORMS["trl"][0], "ai", shown),
            about_html(studio, picture),
        ]

    def export(form: str, kind: str, by: By, calibrated: bool, *values: Any) -> list[Any]:
        with told() as mistake:
            picture = agreement_data.picture(studio.store, agreement_asked.of_controls(studio.store, values))
            if picture is None:
                raise UserError("there are no AI labels to export")
            path, words = write(studio, picture, form, kind, by, calibrated)
            gate = "" if form == JUDGMENTS else f" {gate_said(studio, picture)}"
            shown = f'<p class="cai-muted" role="status">{escape(words + gate)}</p>'
            return [shown, gr.update(value=str(path), visible=True)]
        return [mistake.html, gr.update(value=None, visible=False)]

    def equal(form: str, kind: str, by: str, *values: Any) -> str:
        asked = agreement_asked.of_controls(studio.store, values)
        return "" if asked.labeller is None else _command(studio, asked, form, kind, by)

    options = [form, kind, by]
    form.change(lambda form: gr.update(choices=list(FILES[form]), value=FILES[form][0]), form, kind, **QUIET)
    on_change([control.change for control in options], equal, [*options, *chosen], command, **QUIET)
    start.click(export, [*options, calibrated, *chosen], [said, file], **QUIET)
    return Section((calibrated, said, file, form, kind, by, command, about), render)


def about_html(studio: Studio, picture: Picture) -> str:
    """What the numbers of a file are, and what is known of the labeller whose they are."""
    return (
        f'<p class="cai-muted">{escape(preferences.P_AND_MARGIN)} {escape(preferences.CALIBRATED)}</p>'
        f"<p>{escape(gate_said(studio, picture))}</p>"
    )


def gate_said(studio: Studio, picture: Picture) -> str:
    """The gate of all people together, as training reads it, whomever the page compares with."""
    found = gates.gate_for(studio.store, picture.labeller, picture.asked.axis)
    time = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    return f"The gate of this labeller on {time} UTC: {' '.join(found.words())}"


def write(
    studio: Studio, picture: Picture, form: str, kind: str, by: By, calibrated: bool
) -> tuple[Path, str]:
    """Write the export into a folder of its own; the file, and what it holds in words. Raises UserError."""
    name = f"{studio.session}-{form}"
    # A folder of its own, which goes with the studio: never the session's.
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=os.environ.get("GRADIO_TEMP_DIR")))
    path = folder / f"{name}{kind}"
    if kind not in FILES[form]:
        raise UserError(f"the form {form} is written as {' or '.join(FILES[form])}")
    if form == JUDGMENTS:
        found = looked_at(studio.store, picture.asked)
        export_files.write([as_json(one) for one in found], path)
        return path, f"{plural(len(found), 'judgment')}, skips and those that were not blind too."
    items = gathered(studio, picture, calibrated)
    ties = sum(item.p == 0.5 for item in items) if calibrated else 0
    tied = f" Ties by the calibrated probabilities: {plural(ties, 'pair')}." if ties else ""
    if kind == ".json":
        time = datetime.now(UTC).isoformat(timespec="seconds")
        data = preferences.icai(items, picture.constitution, picture.labeller.model, name, time)
        export_files.put(json.dumps(data, ensure_ascii=False, indent=1) + "\n", path)
        of = plural(len(data["annotators"]), "annotator")
        return path, f"{plural(len(items), 'pair')} with {of}.{tied}"
    rows = preferences.trl(items, by) if form == "trl" else preferences.flat(items)
    if form == "icai":
        rows = preferences.icai_rows(items, by)
    if not rows:
        raise UserError("no pair has a choice by these that is not a tie: there is nothing to export")
    changed = export_files.write(rows, path)
    safe = f" {plural(changed, 'cell')} got an apostrophe, lest a spreadsheet runs it." if changed else ""
    return path, f"{plural(len(rows), 'row')} of {plural(len(items), 'labelled pair')}.{tied}{safe}"


def looked_at(store: Store, asked: Asked) -> list[Judgment]:
    """The judgments that the page looks at, as `cai agreement` and `cai preferences` read them.

    Where one that was not blind is the newest, the blind one before it, which the figures count, stands
    before it. Raises UserError where there are none.
    """
    blind = held_judgments.current(store, asked.axis, asked.judges.whose, blind=True)
    there = set(blind)
    newest = held_judgments.current(store, asked.axis, asked.judges.whose)
    found = [*blind, *(one for one in newest if one not in there)]
    if not found:
        raise UserError("there are no judgments to export")
    return found


def run_of(studio: Studio, asked: Asked) -> tuple[str, str]:
    """The newest run of a labeller as a command's argument, and `--human` where that lacks the judgments.

    A run of the studio holds the labels alone; one that brought a data set's choices holds these too.
    """
    runs = labels.runs_of(studio.store, asked.labeller) if asked.labeller else []
    folder = studio.jobs.of(runs[0]) if runs else None
    brought = folder is not None and (folder / "inputs" / "human.jsonl").is_file()
    if asked.judges.kind == "imported" and brought:
        return str(folder), ""
    return str(folder) if folder else "DIR", "human.jsonl"


def gathered(studio: Studio, picture: Picture, calibrated: bool) -> list[Judged]:
    """The labelled pairs with the labeller's probabilities and the judgments that the page looks at."""
    asked, labeller = picture.asked, picture.labeller
    found = pairs.select(studio.store, PairFilter(labelled=labeller))
    some = held_judgments.current(studio.store, asked.axis, asked.judges.whose)
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
    return [  # a run that goes on may have labelled more since the picture was drawn
        _labelled(item, picture, place[item.pair.id], p, logit, calibration)
        for item in items
        if item.pair.id in place
    ]


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


def _command(studio: Studio, asked: Asked, form: str, kind: str, by: str) -> str:
    if form == JUDGMENTS:
        return '<p class="cai-muted">For <code>cai agreement</code> and <code>cai preferences</code>.</p>'
    folder, human = run_of(studio, asked)
    if by == "ai" and form == "trl":
        human = ""  # these rows are the AI's alone
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
        asked.axis,
        *(["--human", human] if human else []),
        "-o",
        f"OUT{kind}",
    ]
    line = escape(shlex.join(words))
    first = "download the judgments (form above) as human.jsonl, then " if human else ""
    return f'<p class="cai-muted">The same in a terminal, as labelled: {first}<code>{line}</code></p>'
