"""Judgments: which response of a pair people prefer, and what data sets and models say (paper section 4.1).

Append-only. What an annotator holds of a pair is their newest row that stands; undo takes back their newest
act, a ranking whole, by appending what stood before it. An annotator is a name and a kind: nobody sees or
overwrites another's rows, and what came along under one's own name gives way to what was judged here.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.records import Axis, Choice, Judgment, Pair, PickedBy
from studio.store import pairs, sightings
from studio.store.bulk import insert
from studio.store.database import Reader, Rows, Store, Tx, instant
from studio.store.held_judgments import COLUMNS, SELECT, of_row, that_stand

COPIED = COLUMNS[:-1]
OWN = "pair = $pair AND annotator = $annotator AND annotator_kind = $kind AND NOT brought"
MINE = f"{OWN} AND axis = $axis"

HERE = f"""
{SELECT}, seq, undoes FROM judgments
WHERE annotator = $annotator AND axis = $axis AND annotator_kind = 'person' AND NOT brought ORDER BY seq
"""
ACTS = f"{SELECT}, seq, undoes FROM judgments WHERE {OWN} ORDER BY seq"
STATE = f"{SELECT} FROM standing_judgments WHERE {MINE} AND seq <> $taken ORDER BY seq DESC LIMIT 1"
UNDONE = "SELECT pair FROM judgments WHERE undoes::VARCHAR = ? AND annotator = ?"
THERE = """
SELECT pair, axis, annotator, annotator_kind, choice, blind FROM judgments
WHERE pair IN (SELECT unnest(?::VARCHAR[]))
"""
AXIS, CHOICE, PICKED_BY, RANKING, BLIND = map(
    COLUMNS.index, ("axis", "choice", "picked_by", "ranking", "blind")
)


@dataclass(frozen=True)
class Own:
    """What a person holds here on an axis, in the order of the first word on each pair, and their last blind
    words; and their newest act, of single pairs and of rankings, each as its number, pair and ranking.
    """

    held: tuple[Judgment, ...]
    blind: tuple[Judgment, ...]
    single: tuple[int, str, str | None] | None
    ranking: tuple[int, str, str | None] | None

    def newest(self, ranked: bool | None) -> tuple[int, str, str | None] | None:
        """The newest act of one kind, or of both."""
        of = {None: (self.single, self.ranking), False: (self.single,), True: (self.ranking,)}[ranked]
        return max((act for act in of if act), default=None)


def judge(store: Store, judgment: Judgment, instead_of: Judgment | Literal["any"] | None = "any") -> None:
    """Keep what an annotator holds of a pair from now on.

    Where they have seen the AI's label of it, the judgment is not blind, whatever it says; and a pair that
    was put before them for a reason is never random later. `instead_of` is what they held to whoever asks;
    where they hold something else by now nothing is kept: of two presses at once the first counts. Raises
    UserError if there is no such pair.
    """
    with store.tx() as tx:
        if not tx.query("SELECT 1 FROM pairs WHERE id = ? LIMIT 1", [judgment.pair_id]):
            raise UserError("there is no such pair in this session")
        acts = _acts(tx, judgment)
        if instead_of in ("any", _held(acts, judgment.axis)):
            _append(tx, _honest(tx, judgment, acts), None)


def rank(
    store: Store,
    group: str,
    levels: Sequence[Sequence[str]],
    axis: Axis,
    annotator: str,
    *,
    picked_by: PickedBy,
    blind: bool,
    seconds: float | None = None,
    note: str = "",
    instead_of: list[Judgment] | Literal["any"] = "any",
) -> str | None:
    """Keep a ranking as all the pairs that it implies; returns its id, or None where nothing is kept.

    `levels` are the texts of the group's responses, the best level first, ties inside a level. `instead_of`
    is as in `judge`: what they held of the group's pairs, in the order of these. Raises UserError where
    `levels` are not each response once.
    """
    place = {text: at for at, level in enumerate(levels) for text in level}
    id = str(uuid.uuid4())
    with store.tx() as tx:
        members = pairs.group(tx, group)
        if not members:
            raise UserError("there is no such group of responses in this session")
        texts = {text for pair in members for text in (pair.response_a, pair.response_b)}
        if place.keys() != texts or sum(map(len, levels)) != len(texts):
            raise UserError("a ranking names each response of its group once: reload the page, and rank anew")
        more: Any = (None, picked_by, id, blind, seconds, note)
        made = [Judgment(pair.id, axis, annotator, "person", implied(pair, place), *more) for pair in members]
        acts = [_acts(tx, one) for one in made]
        if instead_of not in ("any", [now for of in acts if (now := _held(of, axis))]):
            return None
        for one, of in zip(made, acts, strict=True):
            _append(tx, _honest(tx, one, of), None)
    return id


def implied(pair: Pair, place: Mapping[str, int]) -> Choice:
    """What a ranking says of a pair; `place` is the level of each response, 0 the best."""
    lead = place[pair.response_b] - place[pair.response_a]
    return "a" if lead > 0 else "b" if lead < 0 else "tie"


def newest(store: Reader, annotator: str, axis: Axis, ranked: bool | None = None) -> str:
    """The number of the act that `undo` would take back; empty where there is none."""
    return _number(_own(store, annotator, axis).newest(ranked))


def undo(
    store: Store, annotator: str, axis: Axis, ranked: bool | None = None, last: str | None = None
) -> str | None:
    """Take back a person's newest act on an axis; returns its pair, or one of its ranking's pairs.

    `ranked`: of their rankings alone, or of single pairs alone. `last` is what `newest` was to whoever asks.
    Where it is not any more nothing is taken back: a second press must not take the act before it, nor one
    tab what another has kept since. None if there is nothing of theirs to take back. Raises UserError.
    """
    with store.tx() as tx:
        found = _own(tx, annotator, axis).newest(ranked)
        if last not in (None, _number(found)):
            undone = tx.query(UNDONE, [last, annotator])
            if not undone:
                raise UserError("you have judged since this was shown: reload the page to take that back")
            return str(undone[0][0])
        if not found:
            return None
        seq, pair, ranking = found
        taken = [(seq, pair)]
        if ranking is not None:
            taken = tx.query(
                "SELECT seq, pair FROM standing_judgments WHERE ranking = ? AND NOT brought", [ranking]
            )
        for seq, pair in sorted(taken):
            before = _state(tx, pair, axis, annotator, "person", seq)
            _append(tx, before or Judgment(pair, axis, annotator, "person", "skip"), seq, none=before is None)
    return str(pair)


def seen(store: Reader, pair: str, annotator: str) -> bool:
    """Whether a person may have seen the AI's label of a pair: by any act of theirs but a blind skip, or on
    a page that listed it with its label.

    An act on either axis: a label has none, so it is revealed after both questions alike.
    """
    acts = store.query(ACTS, {"pair": pair, "annotator": annotator, "kind": "person"})
    return _revealed(acts) or sightings.shown(store, pair, annotator)


def add_imported(tx: Tx, judgments: Sequence[Judgment], run: str | None) -> int:
    """Add what came along with a run or a file; returns how many were new.

    An annotator's last blind word on a pair is taken and their last other one, in their order, unless they
    are there already or there is no such pair.
    """
    words: dict[tuple[str, ...], dict[bool, Judgment]] = {}
    for judgment in judgments:
        said = words.setdefault(_identity(judgment), {})
        said.pop(judgment.blind, None)  # the later one stands behind the other
        said[judgment.blind] = judgment
    ids = list({judgment.pair_id for judgment in judgments})
    known = {
        id for (id,) in tx.query("SELECT id FROM pairs WHERE id IN (SELECT unnest(?::VARCHAR[]))", [ids])
    }
    there = set(tx.query(THERE, [ids]))
    rows = [
        {**_row(judgment), "brought": True, "run": run}
        for (pair, *_), said in words.items()
        if pair in known
        for judgment in _unknown(said.values(), there)
    ]
    insert(tx, "judgments", rows)
    return len(rows)


def mine(store: Reader, annotator: str, axis: Axis, *, blind: bool = False) -> list[Judgment]:
    """What a person has judged or skipped here on an axis, in the order of the first word on each pair.

    What came along under the same name is left out: it may be another person's. `blind` is as in `current`.
    """
    own = _own(store, annotator, axis)
    return list(own.blind if blind else own.held)


def _own(store: Reader, annotator: str, axis: Axis) -> Own:
    return store.recall(HERE, {"annotator": annotator, "axis": axis}, _of_rows)


def _of_rows(rows: Rows) -> Own:
    standing = that_stand(rows)
    held = {row[0]: row[-2] for row in standing}
    blind = {row[0]: row[-2] for row in standing if row[BLIND]}
    kept = {*held.values(), *blind.values()}
    said = {row[-2]: of_row(row) for row in standing if row[-2] in kept}
    acts = {row[RANKING] is not None: (row[-2], row[0], row[RANKING]) for row in standing}
    return Own(
        tuple(said[seq] for seq in held.values()),
        tuple(said[seq] for seq in blind.values()),
        acts.get(False),
        acts.get(True),
    )


def _number(act: tuple[int, str, str | None] | None) -> str:
    return str(act[0]) if act else ""


def _acts(tx: Tx, judgment: Judgment) -> Rows:
    """All that its annotator has done with its pair, on either axis."""
    of = {"pair": judgment.pair_id, "annotator": judgment.annotator, "kind": judgment.annotator_kind}
    return tx.query(ACTS, of)


def _held(acts: Rows, axis: Axis) -> Judgment | None:
    """What is held on an axis after these acts."""
    standing = that_stand([row for row in acts if row[AXIS] == axis])
    return of_row(standing[-1]) if standing else None


def _honest(tx: Tx, judgment: Judgment, acts: Rows) -> Judgment:
    """A judgment with what the acts before it say of it."""
    pair, axis, who, kind = judgment.pair_id, judgment.axis, judgment.annotator, judgment.annotator_kind
    here, now = [row for row in acts if row[AXIS] == axis], _held(acts, axis)
    same = now is not None and now.choice == judgment.choice  # its note or so is changed
    known = seen(tx, pair, who) if kind != "person" else _revealed(acts) or sightings.shown(tx, pair, who)
    blind = now.blind if now and same else judgment.blind and not known
    picked_by = here[0][PICKED_BY] if here and judgment.picked_by == "random" else judgment.picked_by
    return replace(judgment, blind=blind, picked_by=picked_by)


def _revealed(acts: Rows) -> bool:
    """Whether one of somebody's acts on a pair was more than a blind skip."""
    return any(row[-1] is None and not (row[CHOICE] == "skip" and row[BLIND]) for row in acts)


def _state(tx: Tx, pair: str, axis: Axis, annotator: str, kind: str, taken: int) -> Judgment | None:
    """What an annotator holds of a pair without one of the rows: what is newer than it stays."""
    who = {"pair": pair, "axis": axis, "annotator": annotator, "kind": kind, "taken": taken}
    rows = tx.query(STATE, who)
    return of_row(rows[0]) if rows else None


def _identity(judgment: Judgment) -> tuple[str, str, str, str]:
    return judgment.pair_id, judgment.axis, judgment.annotator, judgment.annotator_kind


def _unknown(said: Iterable[Judgment], there: set[tuple[Any, ...]]) -> Iterable[Judgment]:
    """An annotator's words from the first that is not there: what was said after it must stay the newest."""
    return dropwhile(lambda one: (*_identity(one), one.choice, one.blind) in there, said)


def _append(tx: Tx, judgment: Judgment, undoes: int | None, none: bool = False) -> None:
    row = {**_row(judgment), "brought": False, "undoes": undoes}
    insert(tx, "judgments", [{**row, "choice": "none"} if none else row])


def _row(judgment: Judgment) -> dict[str, object]:
    values = (*_identity(judgment), judgment.choice, judgment.shown_first, judgment.picked_by)
    rest = (judgment.ranking_id, judgment.blind, judgment.seconds, judgment.note, instant(judgment.time))
    return dict(zip((*COPIED, "time"), (*values, *rest), strict=True))
