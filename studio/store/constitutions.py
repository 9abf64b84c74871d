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
from typing import Any, TypeVar

from pipeline.errors import UserError
from pipeline.records import Constitution, as_json, parse
from studio.store.database import Reader, Store, Tx, clean, moment
from studio.store.draft_history import History

PROJECT = "project"  # the author of what the studio ships
Row = TypeVar("Row")
WHATEVER = "whatever"  # as `over`: the caller looked at no version


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


@dataclass(frozen=True)
class Standing:
    """What there is of a name at one moment: the unsaved edits, and the newest version with its content."""

    draft: Draft | None
    saved: Version | None
    latest: Constitution | None
    history: History

    @property
    def can_redo(self) -> bool:
        """Whether `redo_draft` has somewhere to go, also when undo has reached the saved version."""
        return self.history.can_redo


VERSION_ROWS = """
SELECT seq, version, name, note, parent, author, epoch_us(saved), body
FROM constitution_versions WHERE name = $name ORDER BY seq DESC
"""
NEWEST_VERSION = f"{VERSION_ROWS} LIMIT 1"
# One statement sees one moment, without the write lock: tabs ask for this at every pause in typing.
STANDING = f"""
SELECT history.rows, edit.seq, edit.body, edit.author, epoch_us(edit.saved), version.*
FROM (SELECT list((seq, undo_to, body IS NULL) ORDER BY seq) AS rows FROM drafts WHERE name = $name) history
LEFT JOIN (SELECT * FROM drafts WHERE name = $name ORDER BY seq DESC LIMIT 1) edit ON true
LEFT JOIN ({NEWEST_VERSION}) version ON true
"""  # noqa: S608 - made of constants


def save_version(
    store: Store,
    constitution: Constitution,
    note: str,
    author: str,
    *,
    expected: int | None = None,
    over: str | None = WHATEVER,
) -> Version:
    """Save as the newest version of its name, and end the draft, which it replaces.

    An older content may be saved again: that restores it. Raises NothingChanged if it equals the latest;
    StaleDraft as `save_draft` does.
    """
    kept, body = _storable(constitution)
    with store.tx() as tx:
        now = _as_looked_at(tx, kept.name, expected, over)
        if now.saved and now.saved.version == kept.version:
            raise NothingChanged(f"Nothing changed: this is the latest version of “{kept.name}” already.")
        if now.draft or now.can_redo:
            _append(tx, kept.name, "save", author, body=None)
        return _insert(tx, kept, body, note, author, now.saved)


def versions(store: Reader, name: str) -> list[Version]:
    """The history of a name, newest first."""
    return [_version(*row) for row in store.query(VERSION_ROWS, {"name": name})]


def latest(store: Reader, name: str) -> Constitution | None:
    """The newest version of a name."""
    rows = store.query(NEWEST_VERSION, {"name": name})
    return parse(Constitution, json.loads(rows[0][-1])) if rows else None


def load_version(store: Reader, version: str) -> Constitution:
    """The constitution of that content hash. Raises UserError if this session has none."""
    rows = store.query("SELECT body FROM constitution_versions WHERE version = ? LIMIT 1", [version])
    if not rows:
        raise UserError(f"This session has no constitution of version {version}.")
    return parse(Constitution, json.loads(rows[0][0]))


def name_of(store: Reader, version: str) -> str | None:
    """The name that a version was last saved under; None if this session has no such version."""
    rows = store.query(
        "SELECT name FROM constitution_versions WHERE version = ? ORDER BY seq DESC LIMIT 1", [version]
    )
    return str(rows[0][0]) if rows else None


def names(store: Reader) -> list[str]:
    """The names that have a saved version, in alphabetical order."""
    return [name for (name,) in store.query("SELECT DISTINCT name FROM constitution_versions ORDER BY name")]


def seed_shipped(store: Store, constitutions: Iterable[Constitution]) -> None:
    """Add what the studio ships, and its new wordings, but never over a version of the user's own."""
    with store.tx() as tx:
        for constitution in constitutions:
            kept, body = _storable(constitution)
            newest = _newest(tx, kept.name)
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


def standing(store: Reader, name: str) -> Standing:
    """The draft of a name and its newest version, as they were together at one moment."""
    [(rows, seq, body, author, saved, *newest)] = store.query(STANDING, {"name": name})
    version = _version(*newest) if newest[0] is not None else None
    history = History(rows or [], version is not None)
    edits = None
    if history.live:
        edits = Draft(seq, name, json.loads(body), author, moment(saved), history.can_undo, history.can_redo)
    latest = parse(Constitution, json.loads(newest[-1])) if version else None
    return Standing(edits, version, latest, history)


def draft(store: Reader, name: str) -> Draft | None:
    """The unsaved edits of a name; None if there are none."""
    return standing(store, name).draft


def drafts(store: Reader) -> list[str]:
    """The names that have unsaved edits, saved versions or not, in alphabetical order."""
    rows = store.query(
        "SELECT name FROM drafts GROUP BY name "
        "HAVING arg_max({'body': body}, seq).body IS NOT NULL ORDER BY name"
    )
    return [name for (name,) in rows]


def save_draft(
    store: Store,
    name: str,
    body: dict[str, Any],
    action: str,
    author: str,
    expected: int | None,
    over: str | None = WHATEVER,
) -> Draft:
    """Keep the editor's state; `action` says in words what was done.

    `expected` is the seq of the draft that was looked at, None if there was none; `over` the newest
    version then, None if none was saved. Raises StaleDraft if either is another by now. A state equal
    to the newest adds nothing.
    """
    text = clean(json.dumps(body, ensure_ascii=False))
    with store.tx() as tx:
        now = _as_looked_at(tx, name, expected, over).draft
        if now and now.body == json.loads(text):
            return now
        _append(tx, name, action, author, body=text)
        return _present(draft(tx, name))


def undo_draft(store: Store, name: str, author: str, *, expected: int | None) -> Draft | None:
    """Go back one state, ever further at each call, at last to the saved version (None).

    Nothing lies before a save or a discard. Where no version is saved, the first state stays. This,
    redo and discard raise StaleDraft if the draft is not the `expected` one.
    """
    with store.tx() as tx:
        history = _as_looked_at(tx, name, expected).history
        if history.can_undo:
            _return_to(tx, name, "undo", author, history.below)
        return draft(tx, name)


def redo_draft(store: Store, name: str, author: str, *, expected: int | None) -> Draft | None:
    """Take back the last undo; does nothing after an edit. None: the saved version stands."""
    with store.tx() as tx:
        above = _as_looked_at(tx, name, expected).history.above
        if above is not None:
            _return_to(tx, name, "redo", author, above)
        return draft(tx, name)


def discard_draft(store: Store, name: str, author: str, *, expected: int | None) -> None:
    """Drop the unsaved edits: the saved version stands. Undo doesn't bring them back."""
    with store.tx() as tx:
        now = _as_looked_at(tx, name, expected)
        if now.draft or now.can_redo:
            _append(tx, name, "discard", author, body=None)


def _as_looked_at(tx: Tx, name: str, expected: int | None, over: str | None = WHATEVER) -> Standing:
    """What there is now, if it is what the caller acts on. In its transaction: nobody comes between."""
    now = standing(tx, name)
    draft_is_other = (now.draft.seq if now.draft else None) != expected
    if draft_is_other or over not in (WHATEVER, now.saved.version if now.saved else None):
        raise StaleDraft(
            f"“{name}” was edited or saved in another tab or by another person meanwhile. "
            "Reload the page to see that state, then make your change again."
        )
    return now


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
    return _present(_newest(tx, constitution.name))


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


def _newest(store: Reader, name: str) -> Version | None:
    return next((_version(*row) for row in store.query(NEWEST_VERSION, {"name": name})), None)


def _version(
    seq: int, version: str, name: str, note: str, parent: str | None, author: str, saved: int, body: str
) -> Version:
    principles = len(json.loads(body)["principles"])
    return Version(seq, version, name, note, parent, author, moment(saved), principles)


def _present(found: Row | None) -> Row:
    if found is None:
        raise RuntimeError("a row just written is not there")
    return found
