"""The constitution page: its principles, a trial of them, and its history (paper sections 3.1 and 4.1).

Headless: `cai constitution`.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.components.constitution_files import FLUSH, constitution_files, known_names
from studio.components.principle_cards import look_at, looked_at, principle_cards
from studio.components.trial import trial
from studio.components.version_history import version_history
from studio.context import Studio
from studio.listening import on_change
from studio.store import constitutions, settings

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
LAST = "constitution.name"

LEAD = """<p class="cai-muted">The principles that critiques and comparisons draw from. What you edit is a
draft, kept as you type; a saved version never changes again.</p>"""

LINK = "(shown) => { const { name } = JSON.parse(shown || '{}');" + (
    "if (name) history.replaceState(null, '', location.pathname + '?name=' + encodeURIComponent(name)); }"
)


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the route."""
    with gr.Row(elem_classes="cai-page-head"):
        choose = gr.Dropdown(
            known_names(studio), label="Constitution", elem_id="constitution-name", scale=0, min_width=340
        )
        gr.HTML(LEAD, padding=False, min_width=500)
    with gr.Tabs(elem_id="constitution-tabs") as tabs:
        with gr.Tab("Principles", id="principles"):
            editor = principle_cards(studio)
        with gr.Tab("Try it"):
            trial(studio, editor)
        with gr.Tab("History", id="history"):
            version_history(studio, editor, tabs)
        with gr.Tab("New, import, export"):
            constitution_files(studio, editor, tabs)

    def first(request: gr.Request) -> str:
        known = known_names(studio)
        asked = str(request.query_params.get("name", ""))
        last = settings.get(studio.store, LAST)
        return look_at(asked or (last if last in known else next(iter(known), "")))

    def asked_version(request: gr.Request) -> Any:
        # A link from a checkpoint means a version: those are listed there.
        return gr.Tabs(selected="history") if request.query_params.get("version") else gr.skip()

    def chosen(name: str | None) -> Any:
        return look_at(name) if name else gr.skip()

    def names(shown: str) -> Any:
        name, drafts = looked_at(shown), set(constitutions.drafts(studio.store))
        choices = [(f"{one} · unsaved edits" if one in drafts else one, one) for one in known_names(studio)]
        if name and not studio.store.read_only and settings.get(studio.store, LAST) != name:
            settings.put(studio.store, LAST, name)
        return gr.update(choices=choices, value=name if (name, name) in choices or name in drafts else None)

    blocks.load(first, None, editor, **QUIET)
    blocks.load(asked_version, None, tabs, **QUIET)
    choose.input(chosen, choose, editor, js=FLUSH, **QUIET)
    on_change([editor.change], names, editor, choose, **QUIET)
    editor.change(None, editor, js=LINK)
