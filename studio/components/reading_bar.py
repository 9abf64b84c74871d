"""The bar of the reading page: each key on its button, and the one place that listens to both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

# (action, key on the button, words, what `?` says)
ACTIONS = (
    ("accept", "a", "Accept", "accept for training, and go on"),
    ("reject", "r", "Reject", "reject, and go on"),
    ("skip", "s", "Skip", "leave it unjudged, and go on"),
    ("note", "n", "Note", "write a note; Enter keeps it, Esc leaves it as it was"),
    ("undo", "u", "Undo", "take back your last verdict or note, and show that chain"),
    ("previous", "k", "Back", "the one before; also ←"),
    ("next", "j", "Next", "the next one; also →"),
    ("help", "?", "Keys", "show or hide this list"),
)


def reading_bar() -> Any:
    """Put the bar on the page. Its event `act` carries `action`, `chain`, and a typed `note` or `last`."""
    script = Path(__file__).with_name("reading_bar.js").read_text(encoding="utf-8")
    return gr.HTML(bar_html(), js_on_load=script, padding=False, elem_id="reading-bar")


def bar_html() -> str:
    """The buttons, and the list of keys that `?` opens."""
    buttons = "".join(
        f'<button type="button" class="cai-small" data-act="{action}" aria-keyshortcuts="{key}"'
        f"{' aria-expanded=false aria-controls=reading-keys' if action == 'help' else ''}>"
        f"<kbd>{key}</kbd> {words}</button>"
        for action, key, words, _ in ACTIONS
    )
    keys = "".join(f"<dt><kbd>{key}</kbd></dt><dd>{help}</dd>" for _, key, _, help in ACTIONS)
    return (
        f'<div class="cai-keybar" role="toolbar" aria-label="Judge this chain">{buttons}</div>'
        f'<dl class="cai-keylist" id="reading-keys" hidden>{keys}</dl>'
    )
