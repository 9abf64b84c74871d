"""The bars of the audit page: each key on its button, one bar for pairs and one for rankings.

Each act names the pair or the group that was on the screen: the scripts beside this file say how.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

# (action, key on the button, words, what `?` says)
PAIRS = (
    ("a", "a", "A is better", "the left response is better"),
    ("b", "b", "B is better", "the right response is better"),
    ("tie", "t", "Tie", "neither is better"),
    ("skip", "s", "Skip", "leave it unjudged; it does not come again by itself"),
    ("note", "n", "Note", "write a note first; Enter goes back to the keys, Esc drops it"),
    ("undo", "u", "Undo", "take back your last judgment, and show that pair"),
    ("previous", "k", "Back", "the pair that you judged before this one"),
    ("next", "j", "Next", "forward again; also Enter or Space once a pair is judged"),
    ("show", "x", "Show without judging", "reveal the AI’s label now: a later judgment is then not blind"),
    ("help", "?", "Keys", "show or hide this list; ↑ and ↓ scroll, r unfolds the last pair"),
)
RANKING = (
    ("letter", "a…i", "", "take the response of that letter; j and k or Tab go from one to the next"),
    ("up", "↑", "Up", "move it one place up"),
    ("down", "↓", "Down", "move it one place down; 1 to 9 put it at that place"),
    ("tie", "=", "Tie", "as good as the one above; again: no longer"),
    ("rank", "Enter", "Save", "keep this order, and go on"),
    ("skip", "s", "Skip", "leave these unranked for now"),
    ("undo", "u", "Undo", "take back your last ranking, and show it"),
    ("help", "?", "Keys", "show or hide this list; r unfolds the last ranking"),
)
Actions = tuple[tuple[str, str, str, str], ...]


def pairs_bar() -> Any:
    """Put the bar for pairs on the page. Its event `act` says what was asked of which pair."""
    return _bar("pairs", PAIRS, "Judge this pair", "audit_pairs.js")


def ranking_bar() -> Any:
    """Put the bar for rankings on the page. Its event `act` carries the order of the cards too."""
    return _bar("ranking", RANKING, "Rank these responses", "audit_ranking.js")


def bar_html(task: str, actions: Actions, label: str) -> str:
    """The buttons, and the list of keys that `?` opens."""
    buttons = "".join(
        f'<button type="button" class="cai-small" data-act="{action}" aria-keyshortcuts="{key}"'
        f"{f' aria-expanded=false aria-controls={task}-keys' if action == 'help' else ''}>"
        f"<kbd>{key}</kbd> {words}</button>"
        for action, key, words, _ in actions
        if words
    )
    keys = "".join(f"<dt><kbd>{key}</kbd></dt><dd>{help}</dd>" for _, key, _, help in actions)
    return (
        f'<div class="cai-keybar cai-keybar-{task}" role="toolbar" aria-label="{label}">{buttons}</div>'
        f'<dl class="cai-keylist" id="{task}-keys" hidden>{keys}</dl>'
    )


def _bar(task: str, actions: Actions, label: str, file: str) -> Any:
    script = Path(__file__).with_name(file).read_text(encoding="utf-8")
    return gr.HTML(
        bar_html(task, actions, label),
        js_on_load=script,
        padding=False,
        elem_id=f"{task}-bar",
        elem_classes=f"cai-bar-{task}",
    )
