"""The constitution page: not written yet."""

from __future__ import annotations

import gradio as gr

from studio.context import Studio


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the route."""
    gr.HTML('<p class="cai-muted">This page is being built.</p>')
