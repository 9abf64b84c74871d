"""Arena: two models answer the same prompt, blind and shuffled, and a person votes; and pairs of tournaments
that wait for people (paper section 4, figures 2 and 3: there crowd workers voted in the same way).

It has no stage and no command: `cai evaluate` has models compete on many prompts at once.
"""

from __future__ import annotations

import gradio as gr

from studio.components.arena_battles import battle_tab
from studio.components.notice import content_notice
from studio.context import Studio


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    with gr.Column(elem_classes="cai-behind-notice cai-auditing cai-arena"):
        battle_tab(blocks, studio)
