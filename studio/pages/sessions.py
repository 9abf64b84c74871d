"""Sessions: make, open, rename, back up, restore, export and import them.

Headless: `cai-studio sessions`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.errors import UserError
from studio.components import session_list
from studio.components.leaving import GO, LEAVE, MOVING, leave_for
from studio.components.problem import told
from studio.context import Studio
from studio.escaping import escape
from studio.moving import Move
from studio.store import archive, backups, migrate, sessions, unpacking
from studio.store.database import Store

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
WORK = {"show_progress": "minimal", "api_visibility": "private", "concurrency_id": "sessions"}
UNPACKED = 2 << 30  # bytes; an upload is 64 MB at most, and more goes over the command line

LEAD = """<h2 class="cai-title">Sessions</h2>
<p class="cai-lead">A session is one workspace: its constitutions, chains and runs, in one folder. The studio
has one of them open at a time. Whoever can use this studio can do all that is on this page: there are no
separate rights. The same from a terminal: <code>cai-studio sessions --help</code></p>"""

STOPS = "Chains that are being written now are stopped and kept. Whoever uses this studio moves along."
# Gradio has no dialog of its own. What a person declines comes back as an empty name.
OPEN = f"(name) => confirm(`Open the session “${{name}}”? {STOPS}`) ? name : ''"
RENAME = f"""(name, title, here) => [confirm(
  `Rename “${{name}}” to “${{title}}”?` + (name === here ? " It is closed for a moment. {STOPS}" : "")
) ? name : "", title, here]"""
RESTORE = f"""(name, copy, here) => [confirm(
  `Put this backup in the place of what “${{name}}” holds now? What it holds is kept among the backups.`
  + (name === here ? " {STOPS}" : "")
) ? name : "", copy, here]"""


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    gr.HTML(LEAD, padding=False)
    news = gr.HTML(padding=False, elem_id="news")
    with gr.Row(elem_classes="cai-columns"):
        with gr.Column(scale=3, min_width=420):
            listed = gr.HTML(padding=False, elem_id="sessions")
            gr.HTML(
                f'<p class="cai-muted cai-foot">In {escape(str(studio.folder.parent))}</p>', padding=False
            )
            with gr.Row(elem_classes="cai-makers"):
                _new(studio)
                _import(studio)
        with gr.Column(scale=2, min_width=340, elem_classes="cai-session-panel"):
            _chosen(blocks, studio, listed, news)
    blocks.load(lambda: _news(studio), None, news, **QUIET)


def _new(studio: Studio) -> None:
    with gr.Column(min_width=260, elem_classes="cai-maker"):
        name = gr.Textbox(label="New session", placeholder="its name", max_lines=1, elem_id="new-name")
        create = gr.Button("Create", elem_id="create")
        problem, going = gr.HTML(padding=False), gr.Textbox(visible=False)

    def make(name: str) -> list[str]:
        with told() as mistake:
            return ["", sessions.create_session(studio.folder.parent, name.strip()).name]
        return [mistake.html, ""]

    gr.on([create.click, name.submit], make, name, [problem, going], **LEAVE).then(None, going, js=GO)


def _import(studio: Studio) -> None:
    with gr.Column(min_width=260, elem_classes="cai-maker"):
        file = gr.File(
            label=f"Import a file *{archive.SUFFIX}, up to 64 MB",
            file_types=[".zip"],
            height=150,
            elem_id="file",
        )
        name = gr.Textbox(
            label="Name of the imported session",
            placeholder="the one it had",
            max_lines=1,
            elem_id="import-name",
        )
        take = gr.Button("Import", elem_id="import")
        problem, going = gr.HTML(padding=False), gr.Textbox(visible=False)

    def make(file: str | None, name: str) -> list[str]:
        with told() as mistake:
            if not file:
                raise UserError("Choose a file first: one that “Export to a file” made.")
            folder = unpacking.import_session(
                Path(file), studio.folder.parent, name.strip() or None, UNPACKED
            )
            return ["", folder.name]
        return [mistake.html, ""]

    take.click(make, [file, name], [problem, going], **LEAVE).then(None, going, js=GO)


def _chosen(blocks: gr.Blocks, studio: Studio, listed: gr.HTML, news: gr.HTML) -> None:
    """What can be done with the session that the address names."""
    name = gr.Textbox(visible=False)
    here = gr.Textbox(studio.session, visible=False)
    going = gr.Textbox(visible=False)
    head = gr.HTML(padding=False, elem_id="chosen")
    problem = gr.HTML(padding=False, elem_id="problem")
    open_ = gr.Button("Open", variant="primary", elem_id="open")
    with gr.Row(elem_classes="cai-line"):
        title = gr.Textbox(label="Name", elem_id="title", max_lines=1, scale=3)
        rename = gr.Button("Rename", elem_id="rename", min_width=110, scale=1)
    keep = gr.Button("Back up now", elem_id="back-up")
    with gr.Row(elem_classes="cai-line"):
        copies = gr.Dropdown(label="Backups", elem_id="backups", scale=3)
        restore = gr.Button("Restore", elem_id="restore", min_width=110, scale=1)
    export = gr.Button("Export to a file", elem_id="export")
    weights = gr.Checkbox(label="with the weights of trained models", elem_id="weights")
    download = gr.DownloadButton("Download", visible=False, variant="primary", elem_id="download")

    def show(request: gr.Request) -> list[Any]:
        wanted = str(request.query_params.get("name", ""))
        chosen = wanted if wanted in sessions.list_sessions(studio.folder.parent) else studio.session
        return [
            session_list.session_list(studio, chosen),
            chosen,
            session_list.heading(studio, chosen),
            gr.update(visible=chosen != studio.session),
            chosen,
            *_copies(studio, chosen),
        ]

    def back_up(chosen: str) -> list[Any]:
        with told() as mistake:
            kept = _with_store(studio, chosen, backups.back_up)
            listed_now = session_list.session_list(studio, chosen)
            return ["", _status(f"Backed up: {kept.name}"), listed_now, *_copies(studio, chosen)]
        return [mistake.html, "", gr.skip(), gr.skip(), gr.skip()]

    def export_(chosen: str, checkpoints: bool) -> list[Any]:
        with told() as mistake:
            out = _download_folder() / f"{chosen}{archive.SUFFIX}"
            _with_store(studio, chosen, lambda store: archive.export_session(store, out, checkpoints))
            label = f"Download {out.name} ({backups.size_text(out.stat().st_size)})"
            return ["", gr.update(value=str(out), label=label, visible=True)]
        return [mistake.html, gr.update(visible=False)]

    def acting(work: Callable[..., str]) -> Callable[..., list[str]]:
        def run(chosen: str, *given: Any) -> list[str]:
            with told() as mistake:
                # An empty name: the person was asked, and declined.
                return ["", work(studio, chosen, *given) if chosen else ""]
            return [mistake.html, ""]

        return run

    said = [problem, going]
    open_.click(acting(_open), name, said, js=OPEN, **LEAVE).then(None, going, js=GO)
    gr.on([rename.click, title.submit], acting(_rename), [name, title, here], said, js=RENAME, **LEAVE).then(
        None, going, js=GO
    )
    restore.click(acting(_restore), [name, copies, here], said, js=RESTORE, **LEAVE).then(None, going, js=GO)
    keep.click(back_up, name, [problem, news, listed, copies, restore], **WORK)
    export.click(export_, [name, weights], [problem, download], **WORK)
    blocks.load(show, None, [listed, name, head, open_, title, copies, restore], **QUIET)


def _open(studio: Studio, name: str) -> str:
    leave_for(studio, name)
    return MOVING


def _rename(studio: Studio, name: str, new: str, here: str) -> str:
    home, new = studio.folder.parent, new.strip()
    if name != studio.session:
        return sessions.rename_session(home, name, new).name
    sessions.free(home, new)
    backups.require_idle(studio.folder)

    def between() -> str:
        sessions.rename_session(home, name, new)
        return f"Renamed “{name}” to “{new}”."

    studio.mover.go(Move(new, between))
    return MOVING


def _restore(studio: Studio, name: str, copy: str | None, here: str) -> str:
    folder = sessions.existing(studio.folder.parent, name)
    if not copy:
        raise UserError("Choose a backup first.")
    backup = backups.find_backup(folder, copy)

    def between() -> str:
        aside = backups.restore_backup(folder, backup)
        return f"Restored {backup.name}. What it replaced is {aside.name}, among the backups."

    if name != studio.session:
        between()
        return name
    backups.require_idle(folder)
    studio.mover.go(Move(name, between))
    return MOVING


def _with_store(studio: Studio, name: str, work: Callable[[Store], Path]) -> Path:
    """Do it with the store that is open, or with another session's, opened for the moment."""
    if name == studio.session:
        return work(studio.store)
    store = Store.open(sessions.existing(studio.folder.parent, name))
    try:
        return work(store)
    finally:
        store.close()


def _copies(studio: Studio, name: str) -> list[Any]:
    """The dropdown of backups, the newest chosen, and whether Restore can be pressed."""
    folder = studio.folder.parent / name
    choices = [
        (f"{b.made.astimezone():%Y-%m-%d %H:%M:%S} · {backups.size_text(b.size)} · {b.why}", b.file.name)
        for b in backups.list_backups(folder)
    ]
    # Not what a restore replaced: one more press would undo it.
    newest = migrate.newest_backup(folder)
    chosen = gr.update(choices=choices, value=newest.name if newest else None)
    return [chosen, gr.update(interactive=bool(choices))]


def _download_folder() -> Path:
    """A folder that Gradio serves from, and that goes with the process."""
    return Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR")))


def _news(studio: Studio) -> str:
    """What came of the last move: told once."""
    mover = studio.mover
    text, mover.news = mover.news, ""
    if mover.failed and text:
        return f'<div class="cai-error" role="alert">{escape(text)}</div>'
    return _status(text) if text else ""


def _status(text: str) -> str:
    return f'<p class="cai-done" role="status">{escape(text)}</p>'
