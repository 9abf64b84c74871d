"""What a vote on a tournament's waiting pair does: it is kept, and is a matchup of that run's models.

Who wrote what is not told here, so that a vote that is taken back can be given anew, as blind as before; once
the Elo page has told it, a vote stands.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.errors import UserError
from pipeline.matchups import Annotator, Matchup, Waiting
from pipeline.records import content_id
from studio.arena_acts import VOTED_SINCE, revealed
from studio.components.audit_sides import first_side
from studio.context import Studio
from studio.store import matchups, sightings, waiting
from studio.store.battles import Vote
from studio.store.database import Tx
from studio.store.waiting import Held, PairVote, Side

JUDGE = "tournament"
"""What people judged in; see `arena_acts.JUDGE`."""
SHARES: dict[PairVote, float] = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5}


def vote(studio: Studio, run: str, id: str, vote: Vote, annotator: str, seconds: float | None = None) -> Held:
    """Vote on a pair as this annotator sees it; returns what is kept. Twice is one vote. Raises UserError."""
    pair = waiting.load(studio.store, run, id)
    if pair is None:
        raise UserError("there is no such pair in this session")
    if held := waiting.held(studio.store, run, id, annotator):
        return held  # pressed twice
    first, void = first_side(id, annotator), _void(studio, pair)
    held = Held(run, id, turned(vote, first), void)
    with studio.store.tx() as tx:
        waiting.vote(tx, run, id, annotator, held.vote, first, void, seconds)
        _add(tx, pair, held, annotator, f"an answer reveals its model: {void}" if void else None)
    return held


def take_back(studio: Studio, annotator: str, last: str) -> str:
    """Take back a person's newest vote on a waiting pair; returns its `item`. Raises UserError for none.

    `last` is that of the vote that was the newest to whoever asks; see `arena_acts.take_back`.
    """
    with studio.store.tx() as tx:
        held = waiting.last_held(tx, annotator)
        if last != (held.item if held else ""):
            run, _, id = last.rpartition("/")
            if not last or waiting.held(tx, run, id, annotator):
                raise UserError(VOTED_SINCE)
            return last
        if held is None:
            raise UserError("there is no vote of yours to take back")
        pair = waiting.load(tx, held.run, held.id)
        if pair and sightings.shown(tx, f"{held.run}/{pair.prompt_id}", annotator):
            raise UserError("the Elo page has shown you who wrote these answers: your vote on them stands")
        waiting.take_back(tx, held, annotator)
        if pair:
            _add(tx, pair, held, annotator, "taken back")
    return held.item


def turned(vote: Vote, first: Side) -> PairVote:
    """A vote by side as one in the pair's own sides, where `first` is on the left."""
    sides: tuple[Side, Side] = ("a", "b") if first == "a" else ("b", "a")
    if vote == "left":
        return sides[0]
    return sides[1] if vote == "right" else vote


def as_seen(vote: PairVote, first: Side) -> Vote:
    """The same turned back: a vote in the pair's own sides as one by what was seen left and right."""
    if vote in ("tie", "both_bad"):
        return vote
    return "left" if vote == first else "right"


def _void(studio: Studio, pair: Waiting) -> str | None:
    models, texts = (pair.model_a, pair.model_b), (pair.response_a, pair.response_b)
    return revealed(studio, models, texts, pair.messages)


def _add(tx: Tx, pair: Waiting, held: Held, annotator: str, void: str | None) -> None:
    share = SHARES[held.vote]
    made = Matchup(
        id=content_id([held.run, pair.id, annotator]),
        prompt_id=pair.prompt_id,
        axis=pair.axis,
        model_a=pair.model_a,
        model_b=pair.model_b,
        judge=JUDGE,
        annotator=Annotator(annotator, "person"),
        p_ab=share,
        p_ba=share,
        p_a=share,
        kind=pair.kind,
        response_a=pair.response_a,
        response_b=pair.response_b,
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    weights = {pair.model_a: pair.revision_a, pair.model_b: pair.revision_b}
    revisions = {name: revision for name, revision in weights.items() if revision}
    matchups.add(tx, [made], held.run, revisions, {pair.prompt_id: pair.messages}, void)
