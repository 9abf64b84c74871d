"""New constitutions, and constitutions as files: import and export in every form that we read.

Headless: `cai constitution import`, `cai constitution export`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from pipeline.constitution import problems
from pipeline.errors import UserError
from pipeline.foreign import Form, export, import_files
from pipeline.records import Constitution
from studio.components import draft_state
from studio.components.principle_cards import look_at, looked_at, to_cards
from studio.components.problem import told
from studio.context import Studio, author
from studio.store import constitutions

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
LONGEST_NAME = 80

FORMS: dict[str, str] = {
    "yaml": "YAML: all of it",
    "paper-critique": "the paper's critique and revision requests",
    "paper-comparison": "the paper's comparisons",
    "paper-few-shot-critique": "the paper's few-shot critiques",
    "paper-few-shot-feedback": "the paper's few-shot comparisons",
    "paper-few-shot-reasoned": "the paper's few-shot reasoned comparisons",
    "llm-swarm": "llm-swarm's file",
}
HOW = (
    ("as a new constitution", "new"),
    ("over the draft that is open", "over"),
    ("added to the draft that is open", "add"),
)

# The editor sends what was typed last before anything here reads the draft.
FLUSH = (
    "async (...values) => { await document.querySelector('#constitution-editor')?.flush?.(); return values; }"
)
DOWNLOAD = """(file) => {
  if (!file) return;
  const { name, text } = JSON.parse(file);
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}"""


def constitution_files(studio: Studio, editor: Any, tabs: Any) -> None:
    """Put the controls on a page. What they make opens in the editor, whose tab of `tabs` comes forward."""
    with gr.Row():
        with gr.Column(min_width=240):
            name = gr.Textbox(
                label="New constitution", placeholder="its name", max_length=LONGEST_NAME, elem_id="new-name"
            )
            copy = gr.Checkbox(label="begin as a copy of the one that is open", elem_id="new-copy")
            create = gr.Button("Create", size="md", elem_id="create")
        with gr.Column(min_width=240):
            how = gr.Radio(list(HOW), value="new", label="Import", elem_id="import-how")
            files = gr.UploadButton(
                "Import files…",
                file_count="multiple",
                file_types=[".yaml", ".yml", ".json"],
                size="md",
                elem_id="import",
            )
        with gr.Column(min_width=240):
            form = gr.Dropdown(
                [(f"{words} ({key})" if key != "yaml" else words, key) for key, words in FORMS.items()],
                value="yaml",
                label="Export what is open",
                info="refused, with the reason, where anything would be lost",
                elem_id="export-form",
            )
            write = gr.Button("Download", size="md", elem_id="export")
    problem = gr.HTML(padding=False, elem_id="files-problem")
    # Hidden, not absent: its value has to reach the browser.
    file = gr.Textbox(visible="hidden")

    def start(text: str, copied: bool, shown: str, request: gr.Request) -> tuple[Any, ...]:
        with told() as mistake:
            made = new_constitution(studio, text, looked_at(shown) if copied else None, author(request))
            return (
                look_at(made, f"“{made}” is a draft until you save its first version."),
                to_cards(),
                "",
                "",
                False,
            )
        return gr.skip(), gr.skip(), mistake.html, gr.skip(), gr.skip()

    def read(paths: list[str] | None, way: str, shown: str, request: gr.Request) -> tuple[Any, ...]:
        with told() as mistake:
            made, what = take_in(
                studio, [Path(path) for path in paths or []], way, looked_at(shown), author(request)
            )
            return look_at(made, what), to_cards(), ""
        return gr.skip(), gr.skip(), mistake.html

    def hand_out(wanted: str, shown: str) -> tuple[str, str]:
        with told() as mistake:
            return json.dumps(as_file(studio, looked_at(shown), wanted)), ""
        return "", mistake.html

    gr.on(
        [create.click, name.submit],
        start,
        [name, copy, editor],
        [editor, tabs, problem, name, copy],
        js=FLUSH,
        **QUIET,
    )
    files.upload(read, [files, how, editor], [editor, tabs, problem], js=FLUSH, **QUIET)
    write.click(hand_out, [form, editor], [file, problem], js=FLUSH, **QUIET).then(None, file, js=DOWNLOAD)


def new_constitution(studio: Studio, text: str, copied: str | None, who: str) -> str:
    """Start a draft under a new name, blank or with the content of another. Raises UserError."""
    name = _fresh_name(studio, text)
    if copied is None:
        body = draft_state.plain(Constitution(name, ()))
    else:
        state = draft_state.read(studio.store, copied)
        if state.body is None:
            raise UserError(f"“{copied}” can't be copied: it has not the shape of a constitution.")
        body = {**state.body, "name": name}
    constitutions.save_draft(
        studio.store, name, body, "new" if copied is None else f"copy {copied}", who, None
    )
    return name


def take_in(studio: Studio, paths: Sequence[Path], way: str, shown: str, who: str) -> tuple[str, str]:
    """Read files into a draft; returns its name and what was done, in words. Raises UserError."""
    if not paths:
        raise UserError("choose a file first")
    into = draft_state.content(draft_state.read(studio.store, shown)) if way == "add" else None
    try:
        read = import_files(paths, into)
    except UserError as error:
        # Where the upload happens to lie is no help.
        raise UserError(_without_folders(str(error), paths)) from error
    names = ", ".join(path.name for path in paths)
    if way == "new":
        name, expected = _free_name(studio, read.name), None
    else:
        now = constitutions.draft(studio.store, shown)
        name, expected = shown, now.seq if now else None
    body = draft_state.plain(replace(read, name=name))
    wrong = problems(body)
    if wrong:
        raise UserError("\n".join(wrong))
    constitutions.save_draft(studio.store, name, body, f"import {names}", who, expected)
    return (
        name,
        f"Read {names}: {len(read.principles)} principles are in the draft “{name}”. Save it to keep it.",
    )


def as_file(studio: Studio, name: str, form: str) -> dict[str, str]:
    """The draft in a form, as the name and text of a file. Raises UserError where anything would be lost."""
    if form not in get_args(Form):
        raise UserError(f"{form} is no form to write")
    constitution = draft_state.content(draft_state.read(studio.store, name))
    try:
        text = export(constitution, form)  # type: ignore[arg-type]
    except UserError as error:
        # The way out that the command line has is none of a page's.
        lines = [line for line in str(error).splitlines() if "--lossy" not in line]
        raise UserError("\n".join([*lines, "Export YAML to keep everything."])) from error
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "constitution"
    return {"name": f"{stem}.yaml" if form == "yaml" else f"{stem}.{form}.json", "text": text}


def known_names(studio: Studio) -> list[str]:
    """The names with a saved version or a draft, in alphabetical order."""
    return sorted({*constitutions.names(studio.store), *constitutions.drafts(studio.store)})


def _fresh_name(studio: Studio, text: str) -> str:
    name = " ".join(str(text or "").split())[:LONGEST_NAME]
    if not name:
        raise UserError("type a name for it first")
    if name in known_names(studio):
        raise UserError(f"there is a constitution named “{name}” already")
    return name


def _free_name(studio: Studio, wanted: str) -> str:
    """The name, with a number if it is taken: an import never covers what is there."""
    known, stem = known_names(studio), " ".join(wanted.split())[:LONGEST_NAME] or "imported"
    name, number = stem, 1
    while name in known:
        number += 1
        name = f"{stem} {number}"
    return name


def _without_folders(message: str, paths: Sequence[Path]) -> str:
    for path in paths:
        message = message.replace(f"{path.parent}/", "")
    return message
