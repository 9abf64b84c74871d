"""Verdicts: which chains people accept for training (paper section 3.2 trains on the revisions).

Append-only. The state of a chain is its newest row; undo takes back the newest row of its author that
still stands, by appending what stood before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import UserError
from studio.store.database import Reader, Rows, Store, Tx

Judgement = Literal["accepted", "rejected", "none"]


@dataclass(frozen=True)
class Verdict:
    """What is thought of one chain; `author` is empty where nobody has judged it."""

    verdict: Judgement = "none"
    note: str = ""
    author: str = ""


# A row stands unless it is an undo or was undone.
STANDING = "undoes IS NULL AND seq NOT IN (SELECT undoes FROM verdicts WHERE undoes IS NOT NULL)"

NEWEST = f"SELECT seq, chain FROM verdicts WHERE author = ? AND {STANDING} ORDER BY seq DESC LIMIT 1"  # noqa: S608
UNDONE = """
SELECT chain FROM verdicts
WHERE seq::VARCHAR = ? AND author = ? AND seq IN (SELECT undoes FROM verdicts WHERE undoes IS NOT NULL)
"""


def load(store: Reader, chain: str) -> Verdict:
    """The verdict on a chain as it stands."""
    rows = store.query("SELECT verdict, note, author FROM current_verdicts WHERE chain = ?", [chain])
    return Verdict(*rows[0]) if rows else Verdict()


def judge(
    store: Store, chain: str, author: str, verdict: Judgement | None = None, note: str | None = None
) -> Verdict:
    """Set a chain's verdict or note or both; None keeps what there is. No row where nothing changes.

    Raises UserError if there is no such chain, or it is not finished.
    """
    with store.tx() as tx:
        status = tx.query("SELECT status FROM chain_status WHERE chain = ?", [chain])
        if status != [("finished",)]:
            raise UserError("only a finished chain can be judged" if status else "there is no such chain")
        before = load(tx, chain)
        after = Verdict(
            before.verdict if verdict is None else verdict, before.note if note is None else note, author
        )
        if (after.verdict, after.note) == (before.verdict, before.note):
            return before
        _append(tx, chain, after, None)
    return after


def newest(store: Reader, author: str) -> str:
    """The number of the judgement that `undo` would take back; empty where there is none."""
    return _number(store.query(NEWEST, [author]))


def undo(store: Store, author: str, last: str | None = None, chain: str | None = None) -> str | None:
    """Take back the author's newest judgement that stands; returns its chain, or None if there is none.

    `last` is what `newest` was to whoever asks: where it is not any more nothing is taken back, since a
    second press must not take the judgement before it; unless the newest is of `chain`, the one before them,
    which they have judged just now. Raises UserError where the author has judged since, or somebody else
    that chain.
    """
    with store.tx() as tx:
        found = tx.query(NEWEST, [author])
        if last not in (None, _number(found)):
            undone = tx.query(UNDONE, [last, author])
            if undone:
                return str(undone[0][0])
            if not found or str(found[0][1]) != chain:
                raise UserError("you have judged since this was shown: reload the page to take that back")
        if not found:
            return None
        [(seq, chain)] = found
        others = tx.query(
            f"SELECT author FROM verdicts WHERE chain = ? AND seq > ? AND {STANDING} LIMIT 1",  # noqa: S608
            [chain, seq],
        )
        if others:
            raise UserError(f"{others[0][0]} has judged this chain since: judge it anew instead")
        before = tx.query(
            f"SELECT verdict, note, author FROM verdicts WHERE chain = ? AND seq < ? AND {STANDING} "  # noqa: S608
            "ORDER BY seq DESC LIMIT 1",
            [chain, seq],
        )
        _append(tx, chain, Verdict(*before[0]) if before else Verdict(author=author), seq)
    return str(chain)


def _number(found: Rows) -> str:
    return str(found[0][0]) if found else ""


def _append(tx: Tx, chain: str, state: Verdict, undoes: int | None) -> None:
    tx.query(
        "INSERT INTO verdicts (chain, verdict, note, author, undoes) VALUES (?, ?, ?, ?, ?)",
        [chain, state.verdict, state.note, state.author, undoes],
    )
