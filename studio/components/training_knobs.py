"""The settings of a training stage as controls: a preset, the important ones, the rest folded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import gradio as gr

from pipeline import bundled, estimating
from pipeline.errors import UserError
from pipeline.models import bare
from pipeline.training_configs import Direct, Preferring, Reinforcing, Supervised, Training
from studio import forms
from studio.escaping import escape
from studio.jobs.launcher import CPU, devices
from studio.progress import plural

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
LOOK, SMALL, WHOLE = "A first look", "Small", "Everything"
INFO = {
    LOOK: "a few steps, to see that all of it works: about a minute on a processor",
    SMALL: "as much as a processor does in minutes",
    WHOLE: "all examples in full length: hours on a processor, for a GPU",
}
OFTEN = 5.0
"""Times that an example is seen, from which on the page warns."""
REPORTS = ("", "tensorboard", "wandb", "trackio")

Preset = Mapping[str, Any]
_SHORT = {"max_length": 512, "batch": 4, "save_every": 10, "sample_every": 20}
PRESETS: Mapping[type, Mapping[str, Preset]] = {
    Supervised: {
        LOOK: {"steps": 6, "batch": 2, "max_length": 256, "save_every": 2, "sample_every": 6},
        SMALL: {"steps": 40, **_SHORT},
        WHOLE: {"batch": 16},
    },
    Preferring: {
        LOOK: {"steps": 6, "batch": 4, "max_length": 256, "save_every": 3},
        SMALL: {"steps": 60, "batch": 8, "max_length": 384, "save_every": 20},
        WHOLE: {"batch": 32},
    },
    Reinforcing: {
        LOOK: {"steps": 3, "batch": 4, "answers": 2, "max_tokens": 16, "save_every": 1, "sample_every": 3},
        SMALL: {"steps": 20, "batch": 8, "max_tokens": 48, "save_every": 5, "sample_every": 10},
        WHOLE: {"steps": 200, "batch": 64, "answers": 8, "max_tokens": 256},
    },
    Direct: {
        LOOK: {"steps": 6, "batch": 2, "max_length": 256, "save_every": 2, "sample_every": 6},
        SMALL: {"steps": 40, **_SHORT},
        WHOLE: {"batch": 16},
    },
}
MAIN: Mapping[type, tuple[str, ...]] = {
    Supervised: ("model", "steps", "learning_rate", "batch", "max_length"),
    Preferring: ("model", "targets", "steps", "learning_rate", "batch", "heldout"),
    Reinforcing: ("model", "steps", "learning_rate", "batch", "answers", "max_tokens", "beta"),
    Direct: ("model", "steps", "learning_rate", "batch", "beta"),
}


def preset_here() -> str:
    """The preset that suits this machine."""
    return SMALL if devices() == (CPU,) else WHOLE


def names(kind: type) -> tuple[str, ...]:
    """All settings of a stage, the important ones first."""
    return (*MAIN[kind], *(f.name for f in fields(kind) if f.name not in MAIN[kind]))


def knobs(kind: type, prefix: str) -> tuple[gr.Radio, dict[str, Any]]:
    """Put the controls on a page; returns the preset, and the others by what they set.

    Among these are the run's `name`, and its `gpus` where there are several.
    """
    preset = gr.Radio(
        [LOOK, SMALL, WHOLE],
        value=preset_here(),
        label="Preset",
        info=" · ".join(f"{name}: {what}" for name, what in INFO.items()),
        elem_id=f"{prefix}-preset",
    )
    choices = {"model": ["bundled"], "report_to": REPORTS}
    found: dict[str, Any] = forms.controls(kind, MAIN[kind][:1], choices, prefix)
    for at in range(1, len(MAIN[kind]), 2):
        with gr.Row():
            found |= forms.controls(kind, MAIN[kind][at : at + 2], choices, prefix)
    rest = names(kind)[len(MAIN[kind]) :]
    with gr.Accordion("More settings", open=False):
        found["name"] = gr.Textbox(
            label="Name of the run", info="empty: named by what it trains", elem_id=f"{prefix}-name"
        )
        if len(devices()) > 1:
            found["gpus"] = gr.CheckboxGroup(
                list(devices()),
                label="GPUs",
                info="none: the first that is free; several work together, each on its share of a batch",
                elem_id=f"{prefix}-gpus",
            )
        for at in range(0, len(rest), 2):
            with gr.Row():
                found |= forms.controls(kind, rest[at : at + 2], choices, prefix)
    for name, value in values_of(kind, preset_here()).items():
        found[name].value = value
    changed = [name for name in found if name not in ("model", "name", "gpus")]

    def choose(wanted: str) -> list[Any]:
        values = values_of(kind, wanted)
        return [values[name] for name in changed]

    preset.input(choose, preset, [found[name] for name in changed], **QUIET)
    return preset, found


def values_of(kind: type, preset: str) -> dict[str, Any]:
    """All settings but the model, as a preset has them."""
    return {
        f.name: PRESETS[kind].get(preset, {}).get(f.name, f.default)
        for f in fields(kind)
        if f.name != "model"
    }


def plan(config: Training, examples: int) -> str:
    """How often each of so many examples is seen; empty where nothing goes in."""
    if not examples:
        return ""
    many = round(config.learnt(examples))
    if many < config.least:
        need = f"This takes {config.least} examples, and there are {many}: lower the batch, or bring more."
        return f'<p class="cai-error" role="status">{need}</p>'
    steps = config.steps_over(many)
    times = steps * config.batch / many
    often = f"{times:,.0f}" if times >= 10 else f"{times:.2g}"
    told = f"{plural(steps, 'step')} of {config.batch}: each example is seen about {often} times"
    if times > OFTEN:
        told += ". That often it is learnt by heart: fewer steps, or more examples, teach better"
    return f'<p class="cai-muted">{told}.</p>'


TYPICAL = 200
"""Tokens of an example, for the time that a run may take: a round guess, as no file is read for it."""


def needs(config: Training, many: int) -> str:
    """What a run may take of memory and time, before it is started; empty where nothing goes in."""
    if not many or (bare(config.model) in bundled.NAMES and not bundled.ready()):
        return ""
    usual = float(min(TYPICAL, config.max_length))
    lengths = [usual] * 99 + [float(config.max_length)]
    try:
        _, lines = estimating.foresee(config, lengths, config.steps_over(config.learnt(many)), download=False)
    except UserError:  # not here yet, or no model: the run says so
        return ""
    assumed = f"With examples of {usual:.0f} tokens, the longest of {config.max_length}"
    return f'<p class="cai-muted">{escape(assumed)}: {escape("; ".join(lines))}.</p>'


def read(kind: type, values: Mapping[str, Any]) -> Any:
    """The stage's config in a form's values. Raises UserError."""
    return forms.read(kind, {f.name: values[f.name] for f in fields(kind)})
