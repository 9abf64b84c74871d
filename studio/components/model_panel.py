"""The model process: what the bundled model is, fetching it where it is missing, and freeing memory."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline import bundled
from studio.components.problem import told
from studio.context import Studio
from studio.escaping import escape

REFRESH = 3.0  # seconds


def model_panel(blocks: gr.Blocks, studio: Studio) -> None:
    """Put the panel on a page."""
    with gr.Accordion("Model", open=not bundled.available()):
        cards = {"bundled": bundled.CARD, **{name: card for name, (_, card) in bundled.TAUGHT.items()}}
        for name, card in cards.items():
            gr.HTML(f'<p class="cai-muted"><b>{name}</b>: {escape(card)}</p>', padding=False)
        state = gr.HTML(padding=False, elem_id="model-state")
        get = gr.Button("Get the bundled model", visible=False, variant="primary", elem_id="get-bundled")
        halt = gr.Button("Stop fetching", visible=False, size="sm", elem_id="stop-fetching")
        release = gr.Button("Release the model", interactive=False, size="sm", elem_id="release")

    def refresh(shown: str) -> list[Any]:
        fresh = picture(studio)
        return [gr.skip()] * len(fresh) if fresh[0] == shown else fresh

    def start() -> list[Any]:
        with told() as mistake:
            studio.bundled.start()
        fresh = picture(studio)
        return [mistake.html or fresh[0], *fresh[1:]]

    def stop() -> list[Any]:
        studio.bundled.stop()
        return picture(studio)

    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    panel = [state, get, halt, release]
    get.click(start, None, panel, **quiet)
    halt.click(stop, None, panel, **quiet)
    # What runs is told that its model was killed, and offers to continue.
    release.click(studio.live.worker.stop, **quiet)
    blocks.load(refresh, state, panel, **quiet)
    gr.Timer(REFRESH).tick(refresh, state, panel, **quiet)


def picture(studio: Studio) -> list[Any]:
    """What the panel shows now: the line, then the buttons to fetch, to stop that, and to release."""
    seconds, here = studio.bundled.seconds, bundled.available()
    return [
        _state(studio, seconds, here),
        gr.update(visible=seconds is None and not here),
        gr.update(visible=seconds is not None),
        gr.update(interactive=studio.live.worker.pid is not None),
    ]


def _state(studio: Studio, seconds: float | None, here: bool) -> str:
    if seconds is not None:
        # The count is not for screen readers: they would hear it every few seconds.
        return _line(
            "Fetching the bundled model, about 90 MB, then converting it; this runs once.",
            f' <span aria-hidden="true">{seconds:.0f} s so far.</span>',
        )
    if not here:
        problem = studio.bundled.problem
        if problem:
            return f'<div class="cai-error" role="alert">{escape(problem)}</div>'
        return _line("The bundled model is not on this machine yet.")
    worker = studio.live.worker
    if worker.pid is None:
        return _line("No model is loaded; the next chain or reply loads one.")
    # In steps of 50 MB, so that the line does not flicker with every token.
    held = f"{_megabytes(worker.memory)} of memory"
    if worker.gpu_memory:
        held += f" and {_megabytes(worker.gpu_memory)} on the GPU"
    return _line(f"The model process holds {held} (process {worker.pid}).")


def _megabytes(size: int) -> str:
    return f"{round(size / 50e6) * 50:,} MB"


def _line(text: str, html: str = "") -> str:
    return f'<p class="cai-muted" role="status">{escape(text)}{html}</p>'
