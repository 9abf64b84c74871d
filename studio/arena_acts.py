"""What a vote in the arena does: it is kept, and is a matchup of the session, both or neither.

A vote on answers that tell who wrote them is void: kept, and no matchup. A vote that is taken back takes its
matchup along, and its battle takes no other: the names were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.errors import UserError
from pipeline.matchups import Annotator, Matchup
from pipeline.records import Message
from pipeline.reveals import reveals
from studio.components.chat_models import names
from studio.context import Studio
from studio.store import battles, matchups
from studio.store.battles import SHARES, Battle, Vote
from studio.store.database import Tx

JUDGE = "arena"
"""What people judged in: ratings of the arena's votes stand apart from those of a tournament's."""
VOTED_SINCE = "you have voted since this was shown: reload the page to take that vote back"


def vote(studio: Studio, id: str, vote: Vote, annotator: str) -> None:
    """Vote on a battle. Twice is one vote. Raises UserError where it takes none."""
    battle = battles.load(studio.store, id)
    if battle is None:
        raise UserError("there is no such battle in this session")
    if battle.annotator != annotator:
        raise UserError("this battle is another person's: press n for one of your own")
    if battle.vote:
        return  # pressed twice
    models = [turn.chatting.model for turn in battle.sides if turn.chatting]
    void = revealed(studio, models, [turn.text for turn in battle.sides], battle.messages)
    with studio.store.tx() as tx:
        battles.vote(tx, battle, vote, void)
        _add(tx, battle, vote, f"an answer reveals its model: {void}" if void else None)


def take_back(studio: Studio, annotator: str, last: str) -> str:
    """Take back a person's newest vote; returns its battle's id. Raises UserError where there is none.

    `last` is the battle of the vote that was the newest to whoever asks, empty where there was none. Where it
    is not any more nothing is taken back: a second press must not take the vote before it, too.
    """
    with studio.store.tx() as tx:
        newest = battles.last_voted(tx, annotator)
        if last != newest:
            asked = battles.load(tx, last)
            if asked is None or asked.vote != "none":
                raise UserError(VOTED_SINCE)
            return last
        battle = battles.load(tx, newest)
        if battle is None:
            raise UserError("there is no vote of yours to take back")
        battles.take_back(tx, battle)
        if battle.vote in SHARES:
            _add(tx, battle, battle.vote, "taken back")
    return battle.id


def unfinished(studio: Studio, annotator: str) -> str:
    """The battle that a person began last, where it is still to be voted on; else empty."""
    id = battles.newest(studio.store, annotator)
    battle = battles.load(studio.store, id) if id else None
    return battle.id if battle and battle.blind else ""


def revealed(
    studio: Studio, models: Sequence[str], texts: Sequence[str], messages: Sequence[Message]
) -> str | None:
    """The words by which one of the answers tells who wrote it, if one does."""
    called = names(studio, models)
    prompt = "\n".join(message.content for message in messages)
    return next(filter(None, (reveals(text, called, prompt) for text in texts)), None)


def _add(tx: Tx, battle: Battle, vote: Vote, void: str | None) -> None:
    made = matchup(battle, vote)
    models = (made.model_a, made.model_b)
    revisions = {
        name: turn.outcome.revision
        for name, turn in zip(models, battle.sides, strict=True)
        if turn.outcome.revision
    }
    matchups.add(tx, [made], revisions=revisions, asked={battle.prompt_id: battle.messages}, void=void)


def matchup(battle: Battle, vote: Vote) -> Matchup:
    """The matchup of a vote: the left answer is `response_a`, and was shown first to whoever voted."""
    left, right = battle.sides
    share = SHARES[vote]
    return Matchup(
        id=battle.id,
        prompt_id=battle.prompt_id,
        axis=battle.axis,
        model_a=left.chatting.model if left.chatting else "",
        model_b=right.chatting.model if right.chatting else "",
        judge=JUDGE,
        annotator=Annotator(battle.annotator, "person"),
        p_ab=share,
        p_ba=share,
        p_a=share,
        kind=battle.kind,
        response_a=left.text,
        response_b=right.text,
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
