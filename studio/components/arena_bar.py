"""The bars of the arena: each key on its button, one bar for battles and one for the queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from studio.components.audit_bar import Actions, bar_html

SCRIPT = Path(__file__).with_name("arena_bar.js")
VOTES: Actions = (
    ("left", "1", "Left is better", "the left answer is better"),
    ("right", "2", "Right is better", "the right answer is better"),
    ("tie", "t", "Tie", "neither is better"),
    ("both_bad", "b", "Both bad", "neither will do; to a rating it is a tie, and it is kept as “both bad”"),
)
BATTLE: Actions = (
    *VOTES,
    ("next", "n", "Next prompt", "draw a held-out starter prompt, and have both answer it"),
    ("undo", "u", "Undo", "take back your last vote; that battle then takes no other, for you saw the names"),
    ("stop", "Esc", "Stop", "stop both answers; no vote can come of it"),
    ("help", "?", "Keys", "show or hide this list; ↑ and ↓ scroll"),
)
QUEUE: Actions = (
    *VOTES,
    ("skip", "s", "Skip", "the next pair first; this one comes again"),
    ("undo", "u", "Undo", "take back your last vote, and show that pair"),
    ("help", "?", "Keys", "show or hide this list; ↑ and ↓ scroll"),
)


def battle_bar() -> Any:
    """Put the bar for battles on the page. Its event `act` says what was asked of which battle."""
    return _bar("battle", BATTLE, "Vote on this battle")


def queue_bar() -> Any:
    """Put the bar for a tournament's pairs on the page."""
    return _bar("queue", QUEUE, "Vote on this pair")


def _bar(task: str, actions: Actions, label: str) -> Any:
    return gr.HTML(
        bar_html(task, actions, label),
        js_on_load=SCRIPT.read_text(encoding="utf-8").replace("TASK", task),
        padding=False,
        elem_id=f"{task}-bar",
    )
