"""Runs: a batch of chains from a file of prompts, in a process of its own (paper section 3.1).

Headless: `cai critique --prompts FILE --constitution FILE --run DIR`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline import configs
from pipeline.bundled import CRITIC
from pipeline.configs import Drawing
from pipeline.errors import UserError
from studio import forms
from studio.components.notice import content_notice
from studio.components.problem import told
from studio.components.prompt_source import SOURCES, asked, prompt_source
from studio.components.run_controls import LINK, Shelf, run_controls
from studio.components.version_choice import choices, version_choice
from studio.context import Studio, author
from studio.escaping import escape
from studio.guard import is_loopback
from studio.jobs import batch
from studio.jobs.importing import import_run
from studio.jobs.stages import CRITIQUE
from studio.store import constitutions, runs, settings

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# A file of many thousand rows takes seconds: it says how far it is.
READING = {"concurrency_limit": None, "api_visibility": "private"}
PROGRESS = gr.Progress()
FORM = "runs.form"
MAIN = ("model", "revisions", "max_tokens", "seed")
MORE = ("critiques", "critic", "temperature", "top_p", "form")
DRAWN = (*MAIN, *MORE)

SHARED = """<p class="cai-muted">Runs work one at a time on each device and wait for each other. The live
model of the Chains page shares this machine: release it there where memory is short.</p>"""

EMPTY = """<div class="cai-empty"><h2>No runs yet</h2><ol>
<li>Choose the prompts: a file, or a few typed lines.</li>
<li>Press <b>Start the batch</b>. Each prompt becomes a chain: a response, its critique and its revision,
many at once.</li>
<li>Go where you like. A run has a process of its own: it survives a closed tab and a studio that is
started again, and <b>Stop</b> keeps each chain that is complete.</li>
</ol><p class="cai-muted">The finished chains appear on the Chains page one by one, as they are written.</p>
</div>"""
SHELF = Shelf("runs", (CRITIQUE,), EMPTY)


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    with gr.Row(elem_classes="cai-behind-notice cai-columns"):
        with gr.Column(scale=2, min_width=400):
            form, buttons, problem = _form(studio)
            folder, bring, brought = _importer()
        with gr.Column(scale=3, min_width=480):
            current = gr.Textbox(visible=False)
            again = run_controls(blocks, studio, current, SHELF)
    values = list(form.values())

    def start(request: gr.Request, *given: Any) -> tuple[Any, str]:
        with told() as mistake:
            return _start(studio, dict(zip(form, given, strict=True)), author(request)), ""
        return gr.skip(), mistake.html

    def remembered() -> list[Any]:
        return _filled(studio, form, json.loads(settings.get(studio.store, FORM) or "{}"))

    def fill(id: str) -> list[Any]:
        run = runs.load(studio.store, id)
        known = (
            {
                "critiques": True,
                **run.config,
                "constitution": run.constitution,
                "again": id,
                "typed": "",
                "shipped": "",
            }
            if run
            else {}
        )
        return _filled(studio, form, {name: "" if v is None else v for name, v in known.items()})

    def take(path: str, request: gr.Request) -> tuple[Any, str]:
        with told() as mistake:
            return _import(studio, path, request)
        return gr.skip(), mistake.html

    buttons.click(start, values, [current, problem], **QUIET).then(None, current, js=LINK)
    again.click(fill, current, values, **QUIET)
    bring.click(take, folder, [current, brought], **QUIET).then(None, current, js=LINK)
    blocks.load(remembered, None, values, **QUIET)


def _form(studio: Studio) -> tuple[dict[str, Any], gr.Button, gr.HTML]:
    """The controls by the name of what they set, the button that starts, and where mistakes are told."""
    gr.HTML('<h2 class="cai-heading">Start a batch</h2>', padding=False)
    sources = prompt_source(studio)
    constitution = version_choice()
    main: dict[str, Any] = {}
    for pair in (MAIN[:2], MAIN[2:]):
        with gr.Row():
            main |= forms.controls(Drawing, pair, {"model": ["bundled"]})
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            more = forms.controls(Drawing, MORE, {"critic": ["", CRITIC, "bundled"]})
        name = gr.Textbox(label="Name of the run", info="empty: named by constitution and size")
    with gr.Row(elem_classes="cai-actions"):
        button = gr.Button("Start the batch", variant="primary", elem_id="start", min_width=160)
    problem = gr.HTML(padding=False, elem_id="problem")
    command = gr.HTML(padding=False, elem_id="command", elem_classes="cai-command")
    gr.HTML(SHARED, padding=False)
    form = {**sources, "constitution": constitution, **main, **more}
    drawn = [constitution, *main.values(), *more.values()]
    gr.on([c.change for c in drawn], _command, drawn, command, **QUIET)
    return {**form, "name": name}, button, problem


def _importer() -> tuple[gr.Textbox, gr.Button, gr.HTML]:
    with gr.Accordion("Import a run", open=False):
        folder = gr.Textbox(
            label="Folder",
            info="what `--run` named in a terminal on this machine; it is copied, once however often you try",
            placeholder="/home/me/runs/first",
            elem_id="import-folder",
        )
        button = gr.Button("Import", size="sm", elem_id="import")
        said = gr.HTML(padding=False, elem_id="imported")
    return folder, button, said


def _start(studio: Studio, values: Mapping[str, Any], who: str) -> str:
    drawing = forms.read(Drawing, {name: values[name] for name in DRAWN})
    found = asked(studio, *(values[name] for name in SOURCES)).prompts
    if not values["constitution"]:
        raise UserError("choose a constitution")
    constitution = constitutions.load_version(studio.store, str(values["constitution"]))
    name = str(values["name"] or "")
    id = batch.prepare_critique(studio.store, studio.jobs.folder, found, constitution, drawing, name, who)
    kept = {name: values[name] for name in ("constitution", *DRAWN)}
    settings.put(studio.store, FORM, json.dumps(kept))
    studio.jobs.wake()
    return id


def _command(constitution: str | None, *drawn: Any) -> str:
    with told() as mistake:
        drawing = forms.read(Drawing, dict(zip(DRAWN, drawn, strict=True)))
        options = shlex.join(configs.as_arguments(drawing))
        line = f"cai critique --constitution constitution.yaml --prompts PROMPTS.jsonl --run DIR {options}"
        return f'<p class="cai-muted">The same in a terminal: <code>{escape(line)}</code></p>'
    return mistake.html


def _filled(studio: Studio, form: Mapping[str, Any], saved: Mapping[str, Any]) -> list[Any]:
    """Updates that put saved values into the form; the constitutions as they are now."""
    updates = {name: gr.update(value=saved[name]) if name in saved else gr.update() for name in form}
    updates["constitution"] = choices(studio, saved.get("constitution"))
    return list(updates.values())


def _import(studio: Studio, path: str, request: gr.Request) -> tuple[str, str]:
    if request.client is None or not is_loopback(request.client.host):
        raise UserError("only who sits at this machine may import from its disk: use the command line there")
    if not str(path or "").strip():
        raise UserError("name the folder of a run")
    done = import_run(studio.store, Path(path.strip()), author(request))
    return done.id, f'<p role="status">{escape(done.told)}</p>'
