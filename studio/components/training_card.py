"""What the cards of the training page share: a form, what goes in, the button, and the same in a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.configs import as_arguments
from studio.components import training_knobs
from studio.components.problem import told
from studio.components.training_sources import Options
from studio.context import Studio
from studio.escaping import escape, isolated
from studio.jobs.stages import Stage
from studio.listening import on_change
from studio.store.runs import Run

SHAPING = ("model", "tuning", "rank", "steps", "epochs", "batch", "at_once", "max_length", "checkpointing")
"""The settings that decide how long a run takes, and how much memory."""
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Card:
    """One stage's controls, by the names of what they set.

    `offers` are the menus' options as the session has them now; `begin` puts what the form asks for into the
    queue, and returns the run's id or raises UserError; `filled` are the form's values of an earlier run.
    """

    stage: Stage[Any]
    form: dict[str, Any]
    preset: gr.Radio
    goes: gr.HTML
    start: gr.Button
    problem: gr.HTML
    offers: Callable[[], dict[str, Options]]
    begin: Callable[[Values, str], str]
    tell: Callable[..., str]
    filled: Callable[[Run], dict[str, Any]]


def card_of(
    stage: Stage[Any],
    sources: dict[str, Any],
    goes: gr.HTML,
    *,
    button: str,
    offers: Callable[[], dict[str, Options]],
    begin: Callable[[Values, str], str],
    goes_in: Callable[[Values], tuple[str, int]],
    words: Callable[[Values], list[str]],
    warn: Callable[[Values], str] = lambda values: "",
) -> Card:
    """Put the settings and the button under a card's `sources`; `goes` says what of these goes in.

    `goes_in` gives that and how many examples they are, 0 where that says nothing of the steps;
    `warn` is what must not be overlooked.
    `words` are the options of the command that name the inputs.
    """
    preset, settings = training_knobs.knobs(stage.config, stage.name)
    with gr.Row(elem_classes="cai-actions"):
        start = gr.Button(button, variant="primary", elem_id=f"{stage.name}-start", min_width=160)
    problem = gr.HTML(padding=False, elem_id=f"{stage.name}-problem")
    command = gr.HTML(padding=False, elem_id=f"{stage.name}-command", elem_classes="cai-command")
    form = {**sources, **settings}

    def tell(*given: Any) -> str:
        values = dict(zip(form, given, strict=True))
        with told() as mistake:
            html, many = goes_in(values)
            with told():  # the line of the command says what is wrong with a setting
                config = training_knobs.read(stage.config, values)
                html += training_knobs.plan(config, many) + training_knobs.needs(config, many)
            return html + warn(values)
        return mistake.html

    def say(*given: Any) -> str:
        values = dict(zip(form, given, strict=True))
        with told() as mistake:
            config = training_knobs.read(stage.config, values)
            line = shlex.join(["cai", stage.name, *words(values), "--run", "DIR", *as_arguments(config)])
            return f'<p class="cai-muted">The same in a terminal: <code>{escape(line)}</code></p>'
        return mistake.html

    every = list(form.values())
    counted = [*sources.values(), *(form[name] for name in SHAPING)]
    on_change([c.change for c in counted], tell, every, goes, **QUIET)
    on_change([c.change for c in every], say, every, command, **QUIET)
    return Card(stage, form, preset, goes, start, problem, offers, begin, tell, _filler(stage))


def leave_out(of: str, uploads: Mapping[str, Any], reused: Callable[[Values], list[str]]) -> None:
    """Put a button on a card that names the files of the run that is repeated, while there are any, and
    leaves them out.

    `uploads` are the controls that these come from: `again`, and those of files that would go in instead.
    """
    button = gr.Button(visible=False, size="sm", elem_id=f"{of}-leave-out")

    def name(*given: Any) -> Any:
        names = reused(dict(zip(uploads, given, strict=True)))
        said = f"Leave out the files of the run that is repeated: {', '.join(map(isolated, names))}"
        return gr.update(value=said, visible=bool(names))

    every = list(uploads.values())
    on_change([control.change for control in every], name, every, button, **QUIET)
    button.click(lambda: "", None, uploads["again"], **QUIET)


def chosen(form_values: Values) -> dict[str, Any]:
    """What a run keeps of the form that asked for it, to fill it again; uploads are in its inputs."""
    plain = (str, bool, int, float, list, type(None))
    return {
        name: value
        for name, value in form_values.items()
        if isinstance(value, plain) and name not in ("demos", "helpful", "files", "file", "again")
    }


def uploaded(studio: Studio, values: Values, name: str, pattern: str) -> Path | None:
    """The file that was brought under this name; where there is none, that of the run that is repeated."""
    if values.get(name):
        return Path(values[name])
    if again := str(values.get("again") or ""):
        with told():  # where that run is gone, its files are too
            return next(iter(sorted((studio.jobs.known(again) / "inputs").glob(pattern))), None)
    return None


def _filler(stage: Stage[Any]) -> Callable[[Run], dict[str, Any]]:
    def filled(run: Run) -> dict[str, Any]:
        config = {name: "" if value is None else value for name, value in run.config.items()}
        settings = {name: config[name] for name in training_knobs.names(stage.config) if name in config}
        kept = config.get("chosen")
        return {**(kept if isinstance(kept, dict) else {}), **settings, "again": run.id, "name": ""}

    return filled
