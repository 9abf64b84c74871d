"""The model process: what the bundled model is, fetching it where it is missing, and freeing memory."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import gradio as gr

from pipeline import bundled
from studio.components.problem import told
from studio.context import Studio

REFRESH = 3.0  # seconds


def model_panel(blocks: gr.Blocks, studio: Studio) -> None:
    """Put the panel on a page."""
    with gr.Accordion("Model", open=not bundled.available()):
        gr.HTML(f'<p class="cai-muted"><b>bundled</b>: {escape(bundled.CARD)}</p>', padding=False)
        state = gr.HTML(padding=False, elem_id="model-state")
        get = gr.Button("Get the bundled model", visible=False, variant="primary", elem_id="get-bundled")
        release = gr.Button("Release the model", interactive=False, size="sm", elem_id="release")

    def refresh(shown: str) -> list[Any]:
        fresh = _state(studio)
        if fresh == shown:
            return [gr.skip()] * 3
        held = studio.live.worker.pid is not None
        return [fresh, gr.update(visible=not bundled.available()), gr.update(interactive=held)]

    def fetch() -> Iterator[list[Any]]:
        yield [
            _line("fetching the bundled model, about 90 MB, then converting it; this runs once…"),
            gr.skip(),
        ]
        with told() as mistake:
            bundled.get()
        yield [mistake.html or _state(studio), gr.update(visible=not bundled.available())]

    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    get.click(fetch, None, [state, get], show_progress="hidden", api_visibility="private")
    # What runs is told that its model was killed, and offers to continue.
    release.click(studio.live.worker.stop, **quiet)
    blocks.load(refresh, state, [state, get, release], **quiet)
    gr.Timer(REFRESH).tick(refresh, state, [state, get, release], **quiet)


def _state(studio: Studio) -> str:
    if not bundled.available():
        return _line("The bundled model is not on this machine yet.")
    worker = studio.live.worker
    if worker.pid is None:
        return _line("No model is loaded; the next chain loads one.")
    # In steps of 50 MB, so that the line does not flicker with every token.
    return _line(f"The model process holds {round(worker.memory / 50e6) * 50:,} MB (process {worker.pid}).")


def _line(text: str) -> str:
    return f'<p class="cai-muted" role="status">{escape(text)}</p>'
