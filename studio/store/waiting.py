"""Pairs of tournaments that wait for people, and what people say of them. Append-only.

Everybody gets them in the same order, which is that of a hash: those that were judged first are a random part
of all. A pair that a person judged is not asked of them again, unless they take it back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.matchups import Waiting
from pipeline.records import Axis, parse
from studio.store.bulk import insert
from studio.store.database import Reader, Tx

PairVote = Literal["a", "b", "tie", "both_bad"]
Side = Literal["a", "b"]


@dataclass(frozen=True)
class Queue:
    """The pairs of one run: how many, and how many of them one person judged, and anybody."""

    run: str
    name: str
    axis: Axis
    total: int
    mine: int
    anybody: int


@dataclass(frozen=True)
class Held:
    """What a person said of a pair. `void`: the words by which an answer told who wrote it."""

    run: str
    id: str
    vote: PairVote
    void: str | None

    @property
    def item(self) -> str:
        """The pair for the page's scripts: its run, too."""
        return f"{self.run}/{self.id}"


COLUMNS = (
    *("id", "prompt_id", "axis", "messages", "model_a", "model_b", "response_a", "response_b"),
    *("kind", "revision_a", "revision_b"),
)
LOAD = f"SELECT {', '.join(COLUMNS)} FROM waiting WHERE run = ? AND id = ?"  # noqa: S608 - of constants
QUEUES = """
SELECT w.run, any_value(r.name), any_value(w.axis), count(*)
FROM waiting w JOIN runs r ON r.id = w.run
WHERE w.run NOT IN (SELECT run FROM deleted_runs)
GROUP BY w.run ORDER BY max(r.created) DESC
"""
JUDGED = """
SELECT run, count(*) FILTER (mine), count(*) FROM (
    SELECT run, id, bool_or(annotator = ?) AS mine FROM current_waiting_votes
    WHERE vote <> 'none' GROUP BY run, id) GROUP BY run
"""
LEFT = """
SELECT id FROM waiting WHERE run = $run AND id NOT IN (
    SELECT id FROM current_waiting_votes WHERE run = $run AND annotator = $annotator AND vote <> 'none')
ORDER BY id <= $after, id LIMIT 1
"""
OPEN = """
SELECT DISTINCT run, prompt_id FROM waiting w WHERE NOT EXISTS (
    SELECT 1 FROM current_waiting_votes v
    WHERE v.run = w.run AND v.id = w.id AND v.annotator = ? AND v.vote <> 'none')
"""
HELD = "SELECT run, id, vote, void FROM current_waiting_votes WHERE annotator = ? AND vote <> 'none'"


def add(tx: Tx, some: Sequence[Waiting], run: str) -> None:
    """Add the pairs that are not there yet."""
    there = tx.query(
        "SELECT id FROM waiting WHERE run = ? AND id IN (SELECT unnest(?::VARCHAR[]))",
        [run, [one.id for one in some]],
    )
    known = {id for (id,) in there}
    new = {one.id: one for one in some if one.id not in known}
    insert(tx, "waiting", [_row(one, run) for one in new.values()])


def queues(store: Reader, annotator: str) -> list[Queue]:
    """The runs whose pairs wait for people, the newest first."""
    judged = {run: counts for run, *counts in store.recall(JUDGED, [annotator], tuple)}
    # A vote changes the one, and not the other.
    return [Queue(*row, *judged.get(row[0], (0, 0))) for row in store.recall(QUEUES, [], tuple)]


def load(store: Reader, run: str, id: str) -> Waiting | None:
    """A pair; None if there is none of that id in that run."""
    rows = store.recall(LOAD, [run, id], tuple)
    if not rows:
        return None
    row = dict(zip(COLUMNS, rows[0], strict=True))
    return parse(Waiting, {**row, "messages": json.loads(row["messages"])})


def next_pair(store: Reader, run: str, annotator: str, after: str = "") -> str | None:
    """The next pair that a person has not judged, the first ones once more after the last; None for none."""
    rows = store.query(LEFT, {"run": run, "annotator": annotator, "after": after})
    return str(rows[0][0]) if rows else None


def unjudged(store: Reader, annotator: str) -> set[tuple[str, str]]:
    """The runs and prompts of which a pair still waits for a person: its answers are in other pairs, too."""
    return {(run, prompt) for run, prompt in store.query(OPEN, [annotator])}


def held(store: Reader, run: str, id: str, annotator: str) -> Held | None:
    """What a person said of a pair, if they did."""
    rows = store.query(f"{HELD} AND run = ? AND id = ?", [annotator, run, id])
    return Held(*rows[0]) if rows else None


def vote(
    tx: Tx,
    run: str,
    id: str,
    annotator: str,
    vote: PairVote,
    first: Side,
    void: str | None,
    seconds: float | None,
) -> None:
    """Keep what a person says of a pair. Raises UserError where they have judged it already."""
    if held(tx, run, id, annotator):
        raise UserError("you have judged this pair already: u takes your last vote back")
    _vote(tx, [run, id, annotator, vote, first, void, seconds])


def last_held(store: Reader, annotator: str) -> Held | None:
    """The newest vote of a person on a waiting pair, if one stands."""
    rows = store.query(f"{HELD} ORDER BY seq DESC LIMIT 1", [annotator])
    return Held(*rows[0]) if rows else None


def take_back(tx: Tx, was: Held, annotator: str) -> None:
    """Take back a person's vote on a waiting pair."""
    _vote(tx, [was.run, was.id, annotator, "none", "a", None, None])


def _vote(tx: Tx, values: list[object]) -> None:
    tx.query(
        "INSERT INTO waiting_votes (run, id, annotator, vote, shown_first, void, seconds) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        values,
    )


def _row(one: Waiting, run: str) -> dict[str, Any]:
    messages = json.dumps([asdict(message) for message in one.messages], ensure_ascii=False)
    return {"run": run, **{name: getattr(one, name) for name in COLUMNS}, "messages": messages}
