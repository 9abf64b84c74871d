"""“Preference model” and “DPO”: what is trained on judged pairs (paper section 4.1; DPO is no part of it).

Headless: `cai pm` and `cai dpo`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from pipeline import gate
from pipeline.records import Axis
from pipeline.training_configs import Direct, Preferring
from pipeline.written import SETS, PairSet
from studio.components import training_gate, training_knobs
from studio.components.pair_card import AXES
from studio.components.problem import told
from studio.components.training_card import Card, Values, card_of, chosen, leave_out
from studio.components.training_sources import (
    LabelRun,
    choices_html,
    import_of,
    import_options,
    label_options,
    label_runs,
    model_options,
)
from studio.context import Studio
from studio.jobs import training
from studio.jobs.stages import DPO, PM, Stage
from studio.jobs.training import Choices

OWN: list[tuple[str, PairSet]] = [(one.replace("-", ": "), one) for one in SETS]

ABOUT = {
    PM.name: """<p class="cai-muted">A model that scores answers as the labels would (section 4.1). It learns
the labels’ probabilities, not only which side they favour. The paper mixes AI labels for harmlessness with
people’s labels for helpfulness.</p>""",
    DPO.name: """<p class="cai-muted">Direct preference optimisation: a policy from the labels themselves,
with no preference model and no RL between. Not in the paper; a quick way to see what labels teach.</p>""",
}


def preference_card(studio: Studio, stage: Stage[Any]) -> Card:
    """Put the card of a stage that learns from judged pairs on a page."""
    of = stage.name
    gr.HTML(ABOUT[of], padding=False)
    again = gr.Textbox(visible=False)
    labels = gr.Dropdown(
        [], multiselect=True, label="AI labels", info="finished runs of this session", elem_id=f"{of}-labels"
    )
    calibrated = gr.Checkbox(
        label="Use the calibration that is kept for these labels",
        info="Agreement learns one from your judgments; without it probabilities are as labelled",
        elem_id=f"{of}-calibrated",
    )
    imports = gr.Dropdown(
        [],
        multiselect=True,
        label="People's comparisons",
        info="imported on the Labels page",
        elem_id=f"{of}-imports",
    )
    measured = gr.Dropdown(
        [],
        multiselect=True,
        visible=stage is PM,
        label="Measure on",
        info="comparisons that it does not learn from; its card says how well it knows them",
        elem_id=f"{of}-measured",
    )
    with gr.Accordion("Comparisons from files", open=False), gr.Row():
        files = gr.File(
            label="Files of judged comparisons", file_count="multiple", height=120, elem_id=f"{of}-files"
        )
        axis = gr.Dropdown(
            AXES,
            value="harmless",
            label="Axis of the files",
            info="what their people chose by",
            elem_id=f"{of}-axis",
        )
    leave_out(
        of,
        {"again": again, "files": files},
        lambda values: [f"{path.name} ({axis})" for path, axis in _reused(studio, values)],
    )
    with gr.Row():
        written = gr.CheckboxGroup(
            OWN,
            label="The project's own judged pairs",
            info="written on an axis, or what such models said, read blind by a language model",
            elem_id=f"{of}-written",
            min_width=180,
        )
        reserved = gr.Checkbox(
            label="Of these the reserved ones",
            info="for a judge: no reward learns from them",
            elem_id=f"{of}-reserved",
            min_width=180,
        )
    goes = gr.HTML(padding=False, elem_id=f"{of}-goes")
    with gr.Row(elem_classes="cai-anyway"):
        anyway = gr.Checkbox(label="Train anyway", elem_id=f"{of}-anyway", scale=1, min_width=130)
        reason = gr.Textbox(label="Why", placeholder="kept with the run", scale=3, elem_id=f"{of}-reason")
    sources = {
        "again": again,
        "labels": labels,
        "calibrated": calibrated,
        "imports": imports,
        "measured": measured,
        "files": files,
        "axis": axis,
        "written": written,
        "reserved": reserved,
        "anyway": anyway,
        "reason": reason,
    }

    def offers() -> dict[str, Any]:
        found = {"labels": label_options(studio), "imports": import_options(studio)}
        found["measured"] = found["imports"]
        return {**found, "model": [("bundled", "bundled")] if stage is PM else model_options(studio)}

    def begin(values: Values, who: str) -> str:
        kind: type = stage.config
        config: Preferring | Direct = training_knobs.read(kind, values)
        labelled = label_runs(studio, values["labels"] or ())
        state = gate.worst(one.gate for one in labelled) if labelled else None
        why = training_gate.require(state, bool(values["anyway"]), str(values["reason"] or ""))
        return training.prepare_choices(
            studio.store,
            studio.jobs.folder,
            stage,
            _choices(studio, values, labelled),
            config,
            (state or "", why),
            chosen(values),
            who,
        )

    def goes_in(values: Values) -> tuple[str, int]:
        labelled = label_runs(studio, values["labels"] or ())
        return choices_html(studio, labelled, _choices(studio, values, labelled))

    def warn(values: Values) -> str:
        labelled = label_runs(studio, values["labels"] or ())
        shut = [one for one in labelled if one.gate != "agrees"]
        state = gate.worst(one.gate for one in labelled) if labelled else None
        return training_gate.warning_html(state, [f"{one.run.name} ({one.gate})" for one in shut])

    def words(values: Values) -> list[str]:
        labelled = label_runs(studio, values["labels"] or ())
        choices = _choices(studio, values, labelled)
        human = [f"{axis}=HUMAN" for _, axis in (*choices.imports, *choices.files)]
        found = ["--labels", *(["LABELS"] * len(labelled))] if labelled else []
        found += ["--calibration", "CALIBRATION"] if labelled and choices.calibrated else []
        found += ["--human", *human] if human else []
        found += ["--eval", *(f"{axis}=HUMAN" for _, axis in choices.measured)] if choices.measured else []
        found += ["--written", *choices.written] if choices.written else []
        found += ["--reserved"] if choices.written and choices.reserved else []
        if labelled and (state := gate.worst(one.gate for one in labelled)):
            found += ["--gate", state]
            found += ["--override-gate", str(values["reason"] or "REASON")] if values["anyway"] else []
        return found

    return card_of(
        stage,
        sources,
        goes,
        button="Train the preference model" if stage is PM else "Train by DPO",
        offers=offers,
        begin=begin,
        goes_in=goes_in,
        warn=warn,
        words=words,
    )


def _choices(studio: Studio, values: Values, labelled: list[LabelRun]) -> Choices:
    axis = _axis(values["axis"])
    files = [(Path(path), axis) for path in values["files"] or ()] or _reused(studio, values)
    imports = [import_of(value) for value in values["imports"] or ()]
    own = [one for one in SETS if one in (values["written"] or ())]
    measured = [import_of(value) for value in values["measured"] or ()]
    runs = [one.run.id for one in labelled]
    calibrated = bool(values["calibrated"])
    return Choices(runs, imports, files, own, bool(values["reserved"]), measured, calibrated)


def _reused(studio: Studio, values: Values) -> list[tuple[Path, Axis]]:
    """The files of the run that is repeated, each of the axis that it had there; none where others came."""
    if values["files"] or not values["again"]:
        return []
    with told():  # where that run is gone, its files are too
        human = studio.jobs.known(str(values["again"])) / "inputs" / "human"
        return [(path, _axis(path.parent.name)) for path in sorted(human.glob("*/*")) if path.is_file()]
    return []


def _axis(name: Any) -> Axis:
    return "helpful" if name == "helpful" else "harmless"
