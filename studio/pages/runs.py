"""Runs: a batch of chains from a file of prompts, in a process of its own (paper section 3.1).

Headless: `cai critique --prompts FILE --constitution FILE --run DIR`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline import configs, prompts
from pipeline.configs import Drawing
from pipeline.errors import UserError
from pipeline.prompts import OnProgress, PromptFile, silent
from studio import forms
from studio.components import run_view
from studio.components.notice import content_notice
from studio.components.problem import told
from studio.components.run_controls import run_controls
from studio.context import Studio, author
from studio.guard import is_loopback
from studio.jobs import batch
from studio.jobs.importing import import_run
from studio.store import constitutions, runs, settings

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# A file of many thousand rows takes seconds: it says how far it is.
READING = {"concurrency_limit": None, "api_visibility": "private"}
PROGRESS = gr.Progress()
FORM = "runs.form"
MAIN = ("model", "revisions", "max_tokens", "seed")
MORE = ("critic", "temperature", "top_p", "form")
DRAWN = (*MAIN, *MORE)
SOURCES = ("again", "file", "shipped", "typed")

# Gradio's pages have a <base>, so the path must be said.
LINK = """(id) => {
  history.replaceState(null, "", location.pathname + (id ? `?run=${encodeURIComponent(id)}` : ""));
}"""
SHARED = """<p class="cai-muted">Runs work one at a time on each device and wait for each other. The live
model of the Chains page shares this machine: release it there where memory is short.</p>"""


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    with gr.Row(elem_classes="cai-behind-notice cai-columns"):
        with gr.Column(scale=2, min_width=400):
            form, buttons, problem = _form(studio)
            folder, bring, brought = _importer()
        with gr.Column(scale=3, min_width=480):
            current = gr.Textbox(visible=False)
            again = run_controls(blocks, studio, current)
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
            {**run.config, "constitution": run.constitution, "again": id, "typed": "", "shipped": ""}
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
    again = gr.Textbox(visible=False)
    file = gr.File(label="Prompt file", height=140, elem_id="prompt-file")
    shipped = gr.Dropdown(
        [
            ("none", ""),
            *((f"{name}, {split}", f"{name}:{split}") for name in prompts.SETS for split in prompts.SPLITS),
        ],
        value="",
        label="Or a shipped set",
        info="held-out prompts are for measuring: don't train on their answers",
        elem_id="shipped",
    )
    typed = gr.Textbox(
        label="Or type prompts, one a line",
        lines=3,
        max_lines=10,
        placeholder="How can I light a fire in the forest?",
        elem_id="typed",
    )
    found = gr.HTML(padding=False, elem_id="found")
    constitution = gr.Dropdown(
        label="Constitution", info="a saved version; it goes into the run's folder", elem_id="constitution"
    )
    main: dict[str, Any] = {}
    for pair in (MAIN[:2], MAIN[2:]):
        with gr.Row():
            main |= forms.controls(Drawing, pair, {"model": ["bundled"]})
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            more = forms.controls(Drawing, MORE, {"critic": ["", "bundled"]})
        name = gr.Textbox(label="Name of the run", info="empty: named by constitution and size")
    with gr.Row(elem_classes="cai-actions"):
        button = gr.Button("Start the batch", variant="primary", elem_id="start", min_width=160)
    problem = gr.HTML(padding=False, elem_id="problem")
    command = gr.HTML(padding=False, elem_id="command", elem_classes="cai-command")
    gr.HTML(SHARED, padding=False)
    form = {
        "again": again,
        "file": file,
        "shipped": shipped,
        "typed": typed,
        "constitution": constitution,
        **main,
        **more,
    }
    drawn = [constitution, *main.values(), *more.values()]
    gr.on([c.change for c in drawn], _command, drawn, command, **QUIET)

    def check(*values: Any) -> str:
        return _found(studio, *values)

    def check_file(of: str, path: str | None, set: str, lines: str, progress: gr.Progress = PROGRESS) -> str:
        return _found(
            studio, of, path, set, lines, lambda rows, done: progress(done, desc=f"{rows:,} rows read")
        )

    sources = [again, file, shipped, typed]
    gr.on([again.change, shipped.change, typed.change], check, sources, found, **QUIET)
    file.change(check_file, sources, found, **READING)
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
    asked = _asked(studio, *(values[name] for name in SOURCES)).prompts
    if not values["constitution"]:
        raise UserError("choose a constitution")
    constitution = constitutions.load_version(studio.store, str(values["constitution"]))
    name = str(values["name"] or "")
    id = batch.prepare(studio.store, studio.jobs.folder, asked, constitution, drawing, name, who)
    kept = {name: values[name] for name in ("constitution", *DRAWN)}
    settings.put(studio.store, FORM, json.dumps(kept))
    studio.jobs.wake()
    return id


def _asked(
    studio: Studio, again: str, file: str | None, shipped: str, typed: str, on_progress: OnProgress = silent
) -> PromptFile:
    """The prompts of the file, the set and the typed lines; those of an earlier run where there are none."""
    read = prompts.read(Path(file), on_progress) if file else PromptFile((), (), 0)
    more = [prompts.from_text(line) for line in str(typed or "").splitlines() if line.strip()]
    if shipped:
        with prompts.find(shipped) as path:
            more = [*prompts.read(path).prompts, *more]
    if more:
        all_ = {prompt.id: prompt for prompt in (*read.prompts, *more)}
        double = len(read.prompts) + len(more) - len(all_)
        read = PromptFile(tuple(all_.values()), read.problems, read.duplicates + double)
    if not read.prompts and again:
        read = prompts.read(batch.asked_in(studio.jobs.of(again)))
    if not read.prompts:
        raise UserError("choose a prompt file or a shipped set, or type a prompt")
    return read


def _found(
    studio: Studio, again: str, file: str | None, shipped: str, typed: str, on_progress: OnProgress = silent
) -> str:
    own = file or shipped or str(typed or "").strip()
    if not (again or own):
        return ""
    # The copy that was uploaded lies in a folder of no interest.
    folder = f"{Path(file).parent}/" if file else ""
    with told() as mistake:
        read = _asked(studio, again, file, shipped, typed, on_progress)
        html = run_view.found_html(
            read.prompts, read.duplicates, [p.replace(folder, "") for p in read.problems]
        )
        reused = again and not own
        return html + ('<p class="cai-muted">Those of the run that you chose.</p>' if reused else "")
    return mistake.html.replace(escape(folder), "") if folder else mistake.html


def _command(constitution: str | None, *drawn: Any) -> str:
    with told() as mistake:
        drawing = forms.read(Drawing, dict(zip(DRAWN, drawn, strict=True)))
        options = shlex.join(configs.as_arguments(drawing))
        line = f"cai critique --constitution constitution.yaml --prompts PROMPTS.jsonl --run DIR {options}"
        return f'<p class="cai-muted">The same in a terminal: <code>{escape(line)}</code></p>'
    return mistake.html


def _filled(studio: Studio, form: Mapping[str, Any], saved: Mapping[str, Any]) -> list[Any]:
    """Updates that put saved values into the form; the constitutions as they are now."""
    choices = _versions(studio)
    updates = {name: gr.update(value=saved[name]) if name in saved else gr.update() for name in form}
    known = [version for _, version in choices]
    chosen = saved.get("constitution")
    harmless = next((version for label, version in choices if label.startswith("harmless ")), None)
    value = chosen if chosen in known else harmless or next(iter(known), None)
    updates["constitution"] = gr.update(choices=choices, value=value)
    return list(updates.values())


def _versions(studio: Studio) -> list[tuple[str, str]]:
    """Every saved version by a name to choose it by, the newest of each constitution first."""
    found: dict[str, str] = {}
    for name in constitutions.names(studio.store):
        for at, version in enumerate(constitutions.versions(studio.store, name)):
            when = "newest" if at == 0 else f"{version.saved:%b %d %H:%M}"
            found.setdefault(version.version, f"{name} · {when} · {version.version[:8]}")
    return [(label, version) for version, label in found.items()]


def _import(studio: Studio, path: str, request: gr.Request) -> tuple[str, str]:
    if request.client is None or not is_loopback(request.client.host):
        raise UserError("only who sits at this machine may import from its disk: use the command line there")
    if not str(path or "").strip():
        raise UserError("name the folder of a run")
    done = import_run(studio.store, Path(path.strip()), author(request))
    return done.id, f'<p role="status">{escape(done.told)}</p>'
