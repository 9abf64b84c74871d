"""Conversations: trees of turns, each reply with all that made it.

Nothing that is whole is overwritten. A retry or an edit is another child of the same parent, an undo another
place to be shown up to. A reply's text is stored in pieces as it comes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from pipeline.chat import Chatting
from pipeline.errors import UserError
from pipeline.records import Finish, parse
from studio.store.database import Reader, Rows, Store, Tx, moment

Status = Literal["writing", "finished", "stopped", "failed", "interrupted"]
Role = Literal["user", "assistant"]
FIRST_WORDS = 120  # characters of a message that a conversation is called by
LONGEST_NAME = 200


@dataclass(frozen=True)
class NewTurn:
    """What is settled before the first token. `chatting` is None for what a person typed."""

    id: str
    conversation: str
    parent: str | None
    role: Role
    author: str
    chatting: Chatting | None = None


@dataclass(frozen=True)
class Outcome:
    """How a reply stands: how it ended or was cut, by which weights, and at what cost."""

    status: Status = "finished"
    detail: str = ""
    revision: str | None = None
    form: str | None = None
    finish: Finish | None = None
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Turn(NewTurn):
    """One turn as it stands."""

    text: str = ""
    outcome: Outcome = Outcome()
    created: datetime = datetime.min


@dataclass(frozen=True)
class Conversation:
    """A tree of turns, the oldest first; `places` are where it was shown up to, the newest first."""

    id: str
    name: str
    places: tuple[str | None, ...] = ()
    turns: tuple[Turn, ...] = ()

    @property
    def at(self) -> str | None:
        """The turn that it is shown up to; None for its beginning, where all was undone."""
        return self.places[0] if self.places else None

    def turn(self, id: str | None) -> Turn | None:
        """The turn of this id."""
        return next((turn for turn in self.turns if turn.id == id), None)

    def path(self, id: str | None) -> tuple[Turn, ...]:
        """The turns from the first words up to this one."""
        found: list[Turn] = []
        turn = self.turn(id)
        while turn is not None:
            found.append(turn)
            turn = self.turn(turn.parent)
        return tuple(reversed(found))

    @property
    def shown(self) -> tuple[Turn, ...]:
        """The turns that are on the page."""
        return self.path(self.at)

    def after(self, id: str | None) -> tuple[Turn, ...]:
        """The tries that follow a turn, or for None the tries of the first words."""
        return tuple(turn for turn in self.turns if turn.parent == id)

    def tries(self, turn: Turn) -> tuple[Turn, ...]:
        """The turn among those in its place, the oldest first."""
        return self.after(turn.parent)

    def left_at(self, turn: Turn) -> str:
        """The end of the path through a turn that was shown last; the turn itself where none was."""
        paths = (self.path(place) for place in self.places)
        return next((path[-1].id for path in paths if turn in path), turn.id)


THERE = "SELECT name FROM conversation_status WHERE conversation = ? AND NOT deleted"
PLACES = "SELECT turn FROM conversation_places WHERE conversation = ? ORDER BY seq DESC"
TURNS = """
WITH mine AS (SELECT * FROM turns WHERE conversation = $id),
texts AS (
    SELECT turn, string_agg(text, '' ORDER BY seq) AS text FROM turn_pieces
    WHERE turn IN (SELECT id FROM mine) GROUP BY turn),
ends AS (
    SELECT * FROM turn_events WHERE turn IN (SELECT id FROM mine)
    QUALIFY row_number() OVER (PARTITION BY turn ORDER BY seq DESC) = 1)
SELECT t.id, t.conversation, t.parent, t.role, t.author, t.chatting, coalesce(x.text, ''),
    s.status, s.detail, s.revision, s.form, s.finish, s.tokens, s.seconds, epoch_us(t.created)
FROM mine t LEFT JOIN texts x ON x.turn = t.id LEFT JOIN ends s ON s.turn = t.id ORDER BY t.seq
"""


def new_id(store: Reader) -> str:
    """An id for a conversation or a turn: a UUIDv7."""
    return str(store.query("SELECT uuidv7()")[0][0])


def begin(tx: Tx, id: str, author: str) -> None:
    """Add an empty conversation."""
    tx.query("INSERT INTO conversations (id, author) VALUES (?, ?)", [id, author])
    _state(tx, id, None, False, author)


def add_turn(tx: Tx, turn: NewTurn, text: str = "") -> None:
    """Add a turn under its parent, and show the conversation up to it; a reply is being written from now on.

    Raises UserError where the conversation, or the parent in it, is not there.
    """
    _require(tx, turn.conversation)
    known = "SELECT 1 FROM turns WHERE id = ? AND conversation = ? LIMIT 1"
    if turn.parent is not None and not tx.query(known, [turn.parent, turn.conversation]):
        raise UserError("there is no such turn in this conversation")
    put_turn(tx, turn, text)
    _place(tx, turn.conversation, turn.id)


def put_turn(tx: Tx, turn: NewTurn, text: str = "") -> None:
    """Add a turn, whatever it is a turn of; a reply is being written from now on."""
    chatting = json.dumps(asdict(turn.chatting), ensure_ascii=False) if turn.chatting else None
    tx.query(
        "INSERT INTO turns (id, conversation, parent, role, author, chatting) VALUES (?, ?, ?, ?, ?, ?)",
        [turn.id, turn.conversation, turn.parent, turn.role, turn.author, chatting],
    )
    if text:
        _piece(tx, turn.id, text)
    if turn.role == "assistant":
        _event(tx, turn.id, Outcome("writing"))


def add_piece(store: Store, turn: str, text: str) -> None:
    """Keep what a reply has grown by."""
    with store.tx() as tx:
        _piece(tx, turn, text)


def end_turn(store: Store, turn: str, text: str, outcome: Outcome, anew: bool = False) -> None:
    """Keep the last piece of a reply, and how it ended; `anew`: it is all, and takes the others' place."""
    with store.tx() as tx:
        if anew:
            tx.query("DELETE FROM turn_pieces WHERE turn = ?", [turn])
        if text:
            _piece(tx, turn, text)
        _event(tx, turn, outcome)


def show_up_to(store: Store, conversation: str, turn: str | None) -> None:
    """Show a conversation up to a turn from now on."""
    with store.tx() as tx:
        _require(tx, conversation)
        _place(tx, conversation, turn)


def load(store: Reader, id: str) -> Conversation | None:
    """A conversation with all its turns; None if there is none of that id, or it was deleted."""
    there = store.query(THERE, [id])
    if not there:
        return None
    [(name,)] = there
    places = tuple(turn for (turn,) in store.query(PLACES, [id]))
    turns = turns_of(store, id)
    return Conversation(id, name or first_words(turns[0].text if turns else ""), places, turns)


def turns_of(store: Reader, id: str) -> tuple[Turn, ...]:
    """The turns of a conversation, or of a battle of the arena, the oldest first."""
    return store.recall(TURNS, {"id": id}, _turns)


def rename(store: Store, id: str, name: str, author: str) -> None:
    """Call a conversation something; empty: by its first words again. Raises UserError if it isn't there."""
    with store.tx() as tx:
        _require(tx, id)
        _state(tx, id, " ".join(name.split())[:LONGEST_NAME] or None, False, author)


def delete(store: Store, id: str, author: str) -> None:
    """Take a conversation from the list and its link; its turns stay. Raises UserError if it isn't there."""
    with store.tx() as tx:
        _require(tx, id)
        _state(tx, id, None, True, author)


def mark_interrupted(store: Store) -> int:
    """At the studio's start: no reply is written yet, so those said to be were cut. Returns how many."""
    with store.tx() as tx:
        rows = tx.query(
            "INSERT INTO turn_events (turn, status, detail, revision, form, tokens, seconds) "
            "SELECT turn, 'interrupted', 'The studio stopped while this reply was written.', revision, form, "
            "tokens, seconds FROM turn_status WHERE status = 'writing' RETURNING turn"
        )
    return len(rows)


def add_scores(store: Store, pm: str, revision: str, scores: Mapping[str, float]) -> None:
    """Keep what a preference model, by its run, says of replies."""
    with store.tx() as tx:
        for turn, score in scores.items():
            tx.query(
                "INSERT INTO turn_scores (turn, pm, revision, score) VALUES (?, ?, ?, ?)",
                [turn, pm, revision, score],
            )


def scores(store: Reader, pm: str, turns: Iterable[str]) -> dict[str, float]:
    """What a preference model said of those of these replies that it has scored."""
    rows = store.query(
        "SELECT turn, score FROM current_turn_scores WHERE pm = ? AND turn IN (SELECT unnest(?::VARCHAR[]))",
        [pm, list(turns)],
    )
    return dict(rows)


def first_words(text: str) -> str:
    """What a conversation without a name is called: the beginning of its first message, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= FIRST_WORDS else line[: FIRST_WORDS - 1] + "…"


def _turns(rows: Rows) -> tuple[Turn, ...]:
    return tuple(map(_turn, rows))


def _turn(row: tuple[Any, ...]) -> Turn:
    id, conversation, parent, role, author, chatting, text, *outcome, created = row
    asked = parse(Chatting, json.loads(chatting)) if chatting else None
    stands = Outcome(*outcome) if outcome[0] else Outcome()
    return Turn(id, conversation, parent, role, author, asked, text, stands, moment(created))


def _require(tx: Tx, id: str) -> None:
    if not tx.query(THERE, [id]):
        raise UserError("there is no such conversation in this session")


def _piece(tx: Tx, turn: str, text: str) -> None:
    tx.query("INSERT INTO turn_pieces (turn, text) VALUES (?, ?)", [turn, text])


def _event(tx: Tx, turn: str, outcome: Outcome) -> None:
    row = {"turn": turn, **asdict(outcome)}
    marks = ", ".join("?" for _ in row)
    tx.query(f"INSERT INTO turn_events ({', '.join(row)}) VALUES ({marks})", list(row.values()))  # noqa: S608


def _place(tx: Tx, conversation: str, turn: str | None) -> None:
    tx.query("INSERT INTO conversation_places (conversation, turn) VALUES (?, ?)", [conversation, turn])


def _state(tx: Tx, id: str, name: str | None, deleted: bool, author: str) -> None:
    tx.query(
        "INSERT INTO conversation_states (conversation, name, deleted, author) VALUES (?, ?, ?, ?)",
        [id, name, deleted, author],
    )
