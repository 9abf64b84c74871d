"""The session's conversations as links: what was said last comes first; each can be renamed and deleted."""

from __future__ import annotations

from pathlib import Path

from studio.components.chat_models import called
from studio.components.training_sources import Options
from studio.escaping import escape, exact, isolated
from studio.progress import plural
from studio.store import conversation_list
from studio.store.conversation_list import Listed
from studio.store.database import Reader

PAGE = 30
SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def chat_list(store: Reader, text: str, shown: int, current: str, models: Options) -> tuple[str, bool]:
    """The first `shown` that hold a text, `current` marked, and whether there are more."""
    rows = conversation_list.listed(store, text.strip(), shown + 1)
    if not rows:
        return (
            f'<p class="cai-muted">{"No conversation matches." if text.strip() else "None yet."}</p>',
            False,
        )
    items = "".join(_item(row, row.id == current, models) for row in rows[:shown])
    return f'<ol class="cai-list cai-conversations">{items}</ol>', len(rows) > shown


def _item(row: Listed, current: bool, models: Options) -> str:
    here = ' aria-current="true"' if current else ""
    names = ", ".join(isolated(called(model, models)) for model in row.models)
    facts = f"{plural(row.turns, 'turn')} · {row.changed.astimezone():%b %d %H:%M} · {names}"
    id, name = exact(row.id), escape(row.name)
    return (
        f'<li data-conversation="{id}" data-name="{exact(row.name)}"><a href="chat?conversation={id}"{here}>'
        f'<span class="cai-list-prompt">{name}</span><span class="cai-muted">{escape(facts)}</span></a>'
        f'<span class="cai-acts"><button type="button" class="cai-link" data-do="rename" '
        f'aria-label="Rename {name}">Rename</button><button type="button" class="cai-link" '
        f'data-do="delete" aria-label="Delete {name}">Delete</button></span></li>'
    )
