"""The session's conversations as a list: what was said last comes first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from studio.store.conversations import first_words
from studio.store.database import Reader, Rows, moment


@dataclass(frozen=True)
class Listed:
    """A conversation in a list. `changed` is when its newest turn began."""

    id: str
    name: str
    author: str
    turns: int
    models: tuple[str, ...]
    changed: datetime


# A person's words are one piece, so that the first ones need no sum of all that was ever said.
LIST = """
WITH found AS (
    SELECT t.conversation, count(*) AS turns, max(t.created) AS changed, max(t.seq) AS newest,
        list(DISTINCT t.chatting ->> 'model') FILTER (t.chatting IS NOT NULL) AS models
    FROM turns t
    WHERE t.conversation IN (SELECT conversation FROM conversation_status WHERE NOT deleted)
      AND ($text = '' OR t.conversation IN (
        SELECT conversation FROM turns JOIN turn_texts ON turn = id
        WHERE $text <> '' AND contains(lower(text), lower($text))
        UNION SELECT conversation FROM conversation_status WHERE contains(lower(name), lower($text))))
    GROUP BY t.conversation ORDER BY newest DESC LIMIT $limit),
firsts AS (
    SELECT t.conversation, arg_min(p.text, t.seq) AS text FROM turns t JOIN turn_pieces p ON p.turn = t.id
    WHERE t.parent IS NULL AND t.conversation IN (SELECT conversation FROM found) GROUP BY t.conversation)
SELECT f.conversation, s.name, w.text, c.author, f.turns, f.models, epoch_us(f.changed)
FROM found f JOIN conversation_status s ON s.conversation = f.conversation
JOIN conversations c ON c.id = f.conversation
LEFT JOIN firsts w ON w.conversation = f.conversation ORDER BY f.newest DESC
"""


def listed(store: Reader, text: str = "", limit: int = 30) -> list[Listed]:
    """The conversations that hold a text, literally, whatever its case; what was said last comes first."""
    return list(store.recall(LIST, {"text": text, "limit": limit}, _listed))


def _listed(rows: Rows) -> tuple[Listed, ...]:
    return tuple(
        Listed(id, name or first_words(first or ""), author, turns, tuple(sorted(models or ())), moment(time))
        for id, name, first, author, turns, models, time in rows
    )
