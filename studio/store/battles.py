"""Battles of the arena: two answers to one prompt, and the vote on them. Append-only.

The answers are turns, as those of the chat: kept as they grow, and marked where a studio died over them. A
vote and the matchup that it makes come in together, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.records import Axis, Message, Prompt, PromptKind, parse
from studio.store import conversations
from studio.store.conversations import NewTurn, Turn
from studio.store.database import Reader, Tx

Side = Literal["left", "right"]
Vote = Literal["left", "right", "tie", "both_bad"]
# writing: not both answers are there; open: to be voted on; over: an answer was cut or failed, and no vote
# can come; void: an answer revealed its model; taken back: its vote was, and it is not blind any more.
State = Literal["writing", "open", "over", "voted", "void", "taken back"]
SHARES: dict[Vote, float] = {"left": 1.0, "right": 0.0, "tie": 0.5, "both_bad": 0.5}
"""The left side's share of the win."""


@dataclass(frozen=True)
class Battle:
    """One battle as it stands. `vote` is None before the vote, `none` where it was taken back."""

    id: str
    prompt_id: str
    kind: PromptKind
    messages: tuple[Message, ...]
    axis: Axis
    seed: int
    annotator: str
    left: Turn
    right: Turn
    vote: Vote | Literal["none"] | None = None
    void: str | None = None

    @property
    def sides(self) -> tuple[Turn, Turn]:
        """The answers, the left one first."""
        return self.left, self.right

    @property
    def state(self) -> State:
        """What can be done with it, and what of it may be told."""
        if self.vote == "none":
            return "taken back"
        if self.vote:
            return "void" if self.void else "voted"
        ends = {turn.outcome.status for turn in self.sides}
        if ends == {"finished"}:
            return "open"
        return "writing" if "writing" in ends and ends <= {"writing", "finished"} else "over"

    @property
    def blind(self) -> bool:
        """Whether nobody may be told yet who wrote what."""
        return self.state in ("writing", "open")


@dataclass(frozen=True)
class Counts:
    """How many votes of one annotator count on an axis, and how many are void."""

    counted: int
    void: int


COLUMNS = "b.id, b.prompt_id, b.kind, b.messages, b.axis, b.seed, b.annotator, b.left_turn, b.right_turn"
LOAD = f"""
SELECT {COLUMNS}, v.vote, v.void FROM battles b LEFT JOIN current_battle_votes v ON v.battle = b.id
WHERE b.id = ?
"""  # noqa: S608 - of constants; values are parameters


def add(tx: Tx, id: str, prompt: Prompt, axis: Axis, seed: int, left: NewTurn, right: NewTurn) -> None:
    """Add a battle whose answers are being written from now on."""
    messages = json.dumps([asdict(message) for message in prompt.messages], ensure_ascii=False)
    tx.query(
        "INSERT INTO battles (id, prompt_id, kind, messages, axis, seed, left_turn, right_turn, annotator) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [id, prompt.id, prompt.kind, messages, axis, seed, left.id, right.id, left.author],
    )
    for turn in (left, right):
        conversations.put_turn(tx, turn)


def load(store: Reader, id: str) -> Battle | None:
    """A battle with its answers; None if there is none of that id."""
    rows = store.recall(LOAD, [id], tuple)
    return _battle(rows[0], conversations.turns_of(store, id)) if rows else None


def vote(tx: Tx, battle: Battle, vote: Vote, void: str | None) -> None:
    """Keep the vote on a battle. Raises UserError where it can't be voted on, or was already."""
    now = load(tx, battle.id)  # as this transaction sees it: another tab may have been faster
    if now is None or now.state != "open":
        raise UserError("this battle takes no vote: it has one already, or an answer was cut")
    _vote(tx, battle, vote, void)


def last_voted(store: Reader, annotator: str) -> str:
    """The battle of a person's newest vote that stands; empty where there is none."""
    rows = store.query(
        "SELECT battle FROM current_battle_votes WHERE annotator = ? AND vote <> 'none' "
        "ORDER BY seq DESC LIMIT 1",
        [annotator],
    )
    return str(rows[0][0]) if rows else ""


def take_back(tx: Tx, battle: Battle) -> None:
    """Take back the vote on a battle."""
    _vote(tx, battle, "none", None)


def counts(store: Reader, annotator: str, axis: Axis) -> Counts:
    """How far a person has come on an axis."""
    [(counted, void)] = store.query(
        "SELECT count(*) FILTER (v.void IS NULL), count(*) FILTER (v.void IS NOT NULL) FROM battles b "
        "JOIN current_battle_votes v ON v.battle = b.id AND v.vote <> 'none' "
        "WHERE b.annotator = ? AND b.axis = ?",
        [annotator, axis],
    )
    return Counts(counted, void)


def asked(store: Reader, annotator: str, axis: Axis) -> dict[str, int]:
    """How often each prompt was asked in a person's battles on an axis."""
    rows = store.query(
        "SELECT prompt_id, count(*) FROM battles WHERE annotator = $annotator AND axis = $axis "
        "GROUP BY prompt_id",
        {"annotator": annotator, "axis": axis},
    )
    return dict(rows)


def newest(store: Reader, annotator: str) -> str | None:
    """The battle that a person began last."""
    rows = store.query("SELECT id FROM battles WHERE annotator = ? ORDER BY seq DESC LIMIT 1", [annotator])
    return str(rows[0][0]) if rows else None


def _vote(tx: Tx, battle: Battle, vote: Vote | Literal["none"], void: str | None) -> None:
    tx.query(
        "INSERT INTO battle_votes (battle, vote, void, annotator) VALUES (?, ?, ?, ?)",
        [battle.id, vote, void, battle.annotator],
    )


def _battle(row: tuple[Any, ...], turns: Sequence[Turn]) -> Battle:
    id, prompt_id, kind, messages, axis, seed, annotator, left, right, vote, void = row
    of = {turn.id: turn for turn in turns}
    said = parse(tuple[Message, ...], json.loads(messages))
    return Battle(id, prompt_id, kind, said, axis, seed, annotator, of[left], of[right], vote, void)
