"""Constitutions: every saved version for good, and what is being edited, with undo.

A version is immutable and named by its content. A draft is the newest state of the editor, saved as
one goes; the history of a name is a tree of such states, which `undo_draft` walks down and
`redo_draft` up again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.errors import UserError
from pipeline.records import Constitution, as_json, parse
from studio.store.database import Reader, Store, Tx, clean, moment

PROJECT = "project"  # the author of what the studio ships


class StaleDraft(UserError):
    """The draft was changed elsewhere since it was loaded."""


class NothingChanged(UserError):
    """The content is that of the latest version already."""


@dataclass(frozen=True)
class Version:
    """A row of the history; `version` may occur again where an old content was restored."""

    seq: int
    version: str
    name: str
    note: str
    parent: str | None
    author: str
    saved: datetime
    principles: int


@dataclass(frozen=True)
class Draft:
    """Unsaved edits. `body` has the shape of `as_json(Constitution)` but may not be valid."""

    seq: int
    name: str
    body: dict[str, Any]
    author: str
    saved: datetime
    can_undo: bool
    can_redo: bool


VERSION_ROWS = """
SELECT seq, version, name, note, parent, author, epoch_us(saved), body
FROM constitution_versions WHERE name = ? ORDER BY seq DESC
"""


def save_version(store: Store, constitution: Constitution, note: str, author: str) -> Version:
    """Save as the newest version of its name, and end the draft, which it replaces.

    An older content may be saved again: that restores it. Raises NothingChanged if it equals the latest.
    """
    kept, body = _storable(constitution)
    with store.tx() as tx:
        newest = next(iter(versions(tx, kept.name)), None)
        if newest and newest.version == kept.version:
            raise NothingChanged(f"Nothing changed: this is the latest version of “{kept.name}” already.")
        if _History(tx, kept.name).rows:
            _append(tx, kept.name, "save", author, body=None)
        return _insert(tx, kept, body, note, author, newest)


def versions(store: Reader, name: str) -> list[Version]:
    """The history of a name, newest first."""
    rows = store.query(VERSION_ROWS, [name])
    return [
        Version(seq, version, name, note, parent, author, moment(saved), len(json.loads(body)["principles"]))
        for seq, version, name, note, parent, author, saved, body in rows
    ]


def latest(store: Reader, name: str) -> Constitution | None:
    """The newest version of a name."""
    rows = store.query(
        "SELECT body FROM constitution_versions WHERE name = ? ORDER BY seq DESC LIMIT 1", [name]
    )
    return parse(Constitution, json.loads(rows[0][0])) if rows else None


def load_version(store: Reader, version: str) -> Constitution:
    """The constitution of that content hash. Raises UserError if this session has none."""
    rows = store.query("SELECT body FROM constitution_versions WHERE version = ? LIMIT 1", [version])
    if not rows:
        raise UserError(f"This session has no constitution of version {version}.")
    return parse(Constitution, json.loads(rows[0][0]))


def names(store: Reader) -> list[str]:
    """The names that have a saved version, in alphabetical order."""
    return [name for (name,) in store.query("SELECT DISTINCT name FROM constitution_versions ORDER BY name")]


def seed_shipped(store: Store, constitutions: Iterable[Constitution]) -> None:
    """Add what the studio ships, and its new wordings, but never over a version of the user's own."""
    with store.tx() as tx:
        for constitution in constitutions:
            kept, body = _storable(constitution)
            newest = next(iter(versions(tx, kept.name)), None)
            if newest is None:
                _insert(tx, kept, body, "Shipped with CAI Studio", PROJECT, None)
            elif newest.author == PROJECT and newest.version != kept.version:
                _insert(tx, kept, body, "Updated with CAI Studio", PROJECT, newest)


def keep_version(store: Store, constitution: Constitution, note: str, author: str) -> None:
    """Add a version that came with something else, unless it is there. The newest of its name stays so."""
    kept, body = _storable(constitution)
    with store.tx() as tx:
        history = versions(tx, kept.name)
        if any(version.version == kept.version for version in history):
            return
        brought = _insert(tx, kept, body, note, author, history[0] if history else None)
        if history:
            newest = _storable(load_version(tx, history[0].version))
            _insert(tx, *newest, "In force again: the version before it was only kept", author, brought)


def draft(store: Reader, name: str) -> Draft | None:
    """The unsaved edits of a name; None if there are none."""
    history = _History(store, name)
    if not history.live:
        return None
    # The row that the history ends with, not the newest by now: another thread may have saved between.
    [(seq, body, author, saved)] = store.query(
        "SELECT seq, body, author, epoch_us(saved) FROM drafts WHERE seq = ?", [history.rows[-1][0]]
    )
    return Draft(
        seq, name, json.loads(body), author, moment(saved), history.can_undo, history.above is not None
    )


def drafts(store: Reader) -> list[str]:
    """The names that have unsaved edits, saved versions or not, in alphabetical order."""
    rows = store.query(
        "SELECT name FROM drafts GROUP BY name "
        "HAVING arg_max({'body': body}, seq).body IS NOT NULL ORDER BY name"
    )
    return [name for (name,) in rows]


def save_draft(
    store: Store, name: str, body: dict[str, Any], action: str, author: str, expected: int | None
) -> Draft:
    """Keep the editor's state; `action` says in words what was done.

    `expected` is the seq of the draft that was edited, None if there was none. Raises StaleDraft if
    that is no longer the newest. A state equal to the newest adds nothing.
    """
    text = clean(json.dumps(body, ensure_ascii=False))
    with store.tx() as tx:
        now = draft(tx, name)
        if (now.seq if now else None) != expected:
            raise StaleDraft(
                f"“{name}” was edited or saved in another tab or by another person meanwhile. "
                "Reload the page to see that state, then make your change again."
            )
        if now and now.body == json.loads(text):
            return now
        _append(tx, name, action, author, body=text)
        return _present(draft(tx, name))


def undo_draft(store: Store, name: str, author: str) -> Draft | None:
    """Go back one state, ever further at each call, at last to the saved version (None).

    Nothing lies before a save or a discard. Where no version is saved, the first state stays.
    """
    with store.tx() as tx:
        history = _History(tx, name)
        if history.can_undo:
            _return_to(tx, name, "undo", author, history.below)
        return draft(tx, name)


def redo_draft(store: Store, name: str, author: str) -> Draft | None:
    """Take back the last undo; does nothing after an edit. None: the saved version stands."""
    with store.tx() as tx:
        above = _History(tx, name).above
        if above is not None:
            _return_to(tx, name, "redo", author, above)
        return draft(tx, name)


def can_redo(store: Reader, name: str) -> bool:
    """Whether `redo_draft` has somewhere to go, also when undo has reached the saved version."""
    return _History(store, name).above is not None


def discard_draft(store: Store, name: str, author: str) -> None:
    """Drop the unsaved edits: the saved version stands. Undo doesn't bring them back."""
    with store.tx() as tx:
        if _History(tx, name).rows:
            _append(tx, name, "discard", author, body=None)


class _History:
    """The tree of states of a draft, read off the rows.

    A state is named by the seq of the row that first had it, 0 being the saved version before all
    edits. An edit grows from the state that was current just before it.
    """

    def __init__(self, store: Reader, name: str) -> None:
        self.rows = store.query(
            "SELECT seq, undo_to, body IS NULL FROM drafts WHERE name = ? ORDER BY seq", [name]
        )
        grown_from: dict[int, int] = {}
        empty, state = {0}, 0
        for seq, undo_to, is_empty in self.rows:
            if undo_to is not None:
                state = undo_to
                continue
            if is_empty:
                empty.add(seq)
            else:
                grown_from[seq] = state
            state = seq
        self.live = state not in empty
        self.below = grown_from.get(state, 0)
        self.above = max((seq for seq, base in grown_from.items() if base == state), default=None)
        saved = store.query("SELECT 1 FROM constitution_versions WHERE name = ? LIMIT 1", [name])
        self.can_undo = self.live and (self.below not in empty or bool(saved))


def _storable(constitution: Constitution) -> tuple[Constitution, str]:
    """The constitution as it will be read back, and its JSON: the version must be the hash of that."""
    body = clean(json.dumps(as_json(constitution), ensure_ascii=False))
    return parse(Constitution, json.loads(body)), body


def _insert(
    tx: Tx, constitution: Constitution, body: str, note: str, author: str, newest: Version | None
) -> Version:
    tx.query(
        "INSERT INTO constitution_versions (version, name, body, note, parent, author) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [constitution.version, constitution.name, body, note, newest.version if newest else None, author],
    )
    return versions(tx, constitution.name)[0]


def _append(tx: Tx, name: str, action: str, author: str, body: str | None) -> None:
    tx.query(
        "INSERT INTO drafts (name, action, body, author) VALUES (?, ?, ?, ?)", [name, action, body, author]
    )


def _return_to(tx: Tx, name: str, action: str, author: str, state: int) -> None:
    tx.query(
        "INSERT INTO drafts (name, action, body, undo_to, author) "
        "VALUES (?, ?, (SELECT body FROM drafts WHERE seq = ?), ?, ?)",
        [name, action, state, state, author],
    )


def _present(found: Draft | None) -> Draft:
    if found is None:
        raise RuntimeError("a draft just written is not there")
    return found
