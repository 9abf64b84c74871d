"""Checkpoints: what training left, what each came from, and how others get it.

Headless: `cai lineage CHECKPOINT`, `cai export CHECKPOINT --to FOLDER`.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.errors import UserError
from pipeline.train.saving import read_card
from studio.components import checkpoint_view
from studio.components.checkpoint_view import Titles
from studio.components.problem import as_html, told
from studio.context import Studio
from studio.escaping import escape
from studio.jobs import exporting
from studio.jobs.exporting import Export
from studio.listening import on_change
from studio.store import backups, checkpoints, runs
from studio.store.checkpoints import Checkpoint

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
WORK = {"show_progress": "minimal", "api_visibility": "private", "concurrency_id": "export"}
REFRESH = 2.0  # seconds
# Gradio has no dialog of its own. What a person declines comes back as an empty id.
ASK = "(id, warning) => [id && confirm(warning) ? id : '', warning]"
LINK = """(id) => {
  history.replaceState(null, "", location.pathname + (id ? `?checkpoint=${encodeURIComponent(id)}` : ""));
}"""
EXPLAINED = """<p class="cai-muted"><b>Download</b> is the checkpoint as it is: an adapter needs its base
beside it. <b>The whole model</b> is a folder on this machine that plain transformers loads, the adapter added
to its base. Both come with tokenizer, chat template and a model card that states the lineage. To the hub it
goes from a terminal: the second command below with <code>--push org/name</code>, where HF_TOKEN is set.
</p>"""


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    table = gr.HTML(padding=False, elem_id="checkpoints")
    with gr.Column(elem_classes="cai-columns"):
        current = gr.Textbox(visible=False)
        detail = gr.HTML(padding=False, elem_id="checkpoint", elem_classes="cai-run-holder")
        with gr.Column(elem_classes="cai-with-run cai-export"):
            gr.HTML('<h3 class="cai-heading">Export</h3>' + EXPLAINED, padding=False)
            with gr.Row(elem_classes="cai-actions"):
                pack = gr.Button("Download as a zip", size="sm", elem_id="pack", min_width=160)
                whole = gr.Button("Export the whole model", size="sm", elem_id="whole", min_width=190)
                stop = gr.Button("Stop", size="sm", elem_id="stop", min_width=80)
                delete = gr.Button(
                    "Delete", size="sm", elem_id="delete", min_width=90, elem_classes="cai-danger"
                )
            download = gr.DownloadButton("Download", visible=False, variant="primary", elem_id="download")
            problem = gr.HTML(padding=False, elem_id="problem")
            state = gr.HTML(padding=False, elem_id="export-state")
            command = gr.HTML(padding=False, elem_id="command", elem_classes="cai-command")
    warning = gr.Textbox(visible=False)
    seen = gr.State([])
    outputs = [seen, table, detail, command, warning, delete, whole, stop, state]

    def look(before: list[str], id: str) -> list[Any]:
        return _look(studio, before, id)

    def linked(request: gr.Request) -> str:
        asked = str(request.query_params.get("checkpoint", ""))
        newest = checkpoints.listed(studio.store, studio.jobs.folder)
        return asked or next((one.id for one in newest), "")

    def zip_(id: str) -> list[Any]:
        with told() as mistake:
            one = _known(studio, id)
            folder = Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR")))
            out = exporting.zipped(one.source, folder, one.name)
            label = f"Download {out.name} ({backups.size_text(out.stat().st_size)})"
            return ["", gr.update(value=str(out), label=label, visible=True)]
        return [mistake.html, gr.update(visible=False)]

    def export(id: str) -> str:
        with told() as mistake:
            one = _known(studio, id)
            goal = exporting.free_goal(studio.exports.folder, one.name)
            studio.exports.start(one.id, one.source, goal)
        return mistake.html

    def remove(id: str, _: str) -> list[Any]:
        with told() as mistake:
            if id:
                _delete(studio, id)
                left = checkpoints.listed(studio.store, studio.jobs.folder)
                return [next((one.id for one in left), ""), ""]
        return [gr.skip(), mistake.html]

    seeing = {"fn": look, "inputs": [seen, current], "outputs": outputs, **QUIET}
    # What was said of one checkpoint, or packed of it, is not the next one's.
    on_change([current.change], lambda: ["", gr.update(visible=False)], None, [problem, download], **QUIET)
    gr.on([current.change, gr.Timer(REFRESH).tick], **seeing)
    blocks.load(linked, None, current, **QUIET).then(**seeing)
    pack.click(zip_, current, [problem, download], **WORK)
    whole.click(export, current, problem, **QUIET).then(**seeing)
    stop.click(studio.exports.stop, **QUIET).then(**seeing)
    delete.click(remove, [current, warning], [current, problem], js=ASK, **QUIET).then(
        None, current, js=LINK
    ).then(**seeing)


def _known(studio: Studio, id: str) -> Checkpoint:
    one = checkpoints.load(studio.store, studio.jobs.folder, id)
    if one is None:
        raise UserError("this checkpoint is gone; choose another")
    return one


def _delete(studio: Studio, id: str) -> None:
    studio.store.require_writable()
    one = _known(studio, id)
    if one.at_work:
        raise UserError("its run is at work: stop it first")
    if not one.snapshot and runs.load(studio.store, one.run):
        studio.jobs.delete(one.run)
    else:
        checkpoints.delete_folder(one)


def _look(studio: Studio, before: list[str], id: str) -> list[Any]:
    """The parts that have changed since `before`, which begins with stamps of what they are made from."""
    work = studio.exports.state
    exported = export_html(work, id)
    busy = work is not None and work.runs
    # With the end of an export too: the next one goes to another folder.
    stamp = f"{checkpoints.stamp(studio.jobs.folder)} {runs.stamp(studio.store)} {busy} {id}"
    if before and before[0] == stamp:
        same = before[-2:] == [exported, str(busy)]
        after = [*before[:-2], exported, str(busy)]
        return [after, *([gr.skip()] * 5), *([gr.skip()] * 3 if same else _buttons(busy, exported, id))]
    session = studio.store.folder
    every = checkpoints.listed(studio.store, studio.jobs.folder)
    titles = Titles(studio.store, every)
    # One card says it for a run's snapshots too.
    of_run = {run: _under(studio, one) for run, one in {one.run: one for one in reversed(every)}.items()}
    under = {one.id: of_run[one.run] for one in every}
    one = next((one for one in every if one.id == id), None)
    gone = f'<p class="cai-muted">This session has no checkpoint {escape(id)}.</p>' if id else ""
    parts = [
        checkpoint_view.list_html(every, under, id, titles),
        checkpoint_view.detail_html(one, session, titles) if one else gone,
        _commands(studio, one) if one else "",
    ]
    warning = _warning(one, checkpoints.descendants(one, every, session)) if one else ""
    shown = [
        new if len(before) <= at or before[at] != new else gr.skip() for at, new in enumerate(parts, start=1)
    ]
    return [
        [stamp, *parts, exported, str(busy)],
        *shown,
        warning,
        gr.update(interactive=one is not None and not one.at_work),
        *_buttons(busy, exported, id if one else ""),
    ]


def _buttons(busy: bool, exported: str, id: str) -> list[Any]:
    return [gr.update(interactive=bool(id) and not busy), gr.update(interactive=busy), exported]


def _under(studio: Studio, one: Checkpoint) -> list[tuple[str, str]]:
    with told():  # a broken card: the table says so
        return checkpoints.under(studio.store, checkpoints.lineage_of(one, studio.store.folder))
    return []


def _commands(studio: Studio, one: Checkpoint) -> str:
    goal = exporting.free_goal(studio.exports.folder, one.name)
    lines = [["lineage", str(one.source)], exporting.words(one.source, goal, merged=True)]
    shown = "<br>".join(f"<code>{escape(shlex.join(['cai', *words]))}</code>" for words in lines)
    return f'<p class="cai-muted">The same in a terminal: the lineage, and the whole model<br>{shown}</p>'


def _warning(one: Checkpoint, after: list[str]) -> str:
    """What the person is asked before it is deleted: plain text, for the browser's own dialog."""
    what = "this snapshot" if one.snapshot else "this run, its checkpoint, its snapshots and its log"
    said = f"Delete {what} ({one.name})? Exports stay."
    if after:
        said += f" It went into {', '.join(after[:5])}, whose lineage will then end here; an adapter on it "
        said += "can no longer be loaded."
    return said


def export_html(work: Export | None, id: str) -> str:
    """How the export stands, for the checkpoint that is looked at; another's only while it runs."""
    if work is None or (work.checkpoint != id and not work.runs):
        return ""
    if work.problem:
        return as_html(work.problem)
    where = f"<code>{escape(str(work.goal))}</code>"
    if work.runs:
        said = "" if work.said.startswith("cai:") else f": {escape(work.said[-120:])}"
        time = f'<span aria-hidden="true">({work.seconds:.0f} s)</span>'
        return (
            f'<p role="status">Writing {where}{said} {time}</p>'
            '<div class="cai-meter cai-moving" role="progressbar" aria-label="Export"><span></span></div>'
        )
    kind = "SequenceClassification" if read_card(work.goal).get("method") == "pm" else "CausalLM"
    line = f"AutoModelFor{kind}.from_pretrained({str(work.goal)!r})"
    return f'<p class="cai-done" role="status">Exported to {where}<br><code>{escape(line)}</code></p>'
