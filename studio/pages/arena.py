"""Arena: two models answer the same prompt, blind and shuffled, and a person votes; and pairs of tournaments
that wait for people (paper section 4, figures 2 and 3: there crowd workers voted in the same way).

It has no stage and no command: `cai evaluate` has models compete on many prompts at once.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.components.arena_battles import battle_tab
from studio.components.arena_queue import queue_tab
from studio.components.notice import content_notice
from studio.context import Studio

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    seen = "cai-behind-notice cai-auditing cai-arena"
    with gr.Column(elem_classes=seen), gr.Tabs(elem_id="arena-tabs") as tabs:
        with gr.Tab("Battles", id="battles"):
            battle_tab(blocks, studio)
        with gr.Tab("Queue", id="queue") as queue:
            queue_tab(blocks, studio, queue)

    def arrive(request: gr.Request) -> Any:
        return gr.Tabs(selected="queue") if request.query_params.get("tab") == "queue" else gr.skip()

    blocks.load(arrive, None, tabs, **QUIET)
