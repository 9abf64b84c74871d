"""What annotators hold of pairs: people's judgments, and what data sets and models say, as they stand now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

from pipeline.records import AnnotatorKind, Axis, Judgment
from studio.store.database import Reader, Rows, moment

KINDS = get_args(AnnotatorKind)


class Annotator(NamedTuple):
    """Whose judgments there are on an axis: `pairs` that they hold something of, skipped ones left out."""

    annotator: str
    kind: AnnotatorKind
    axis: Axis
    pairs: int


@dataclass(frozen=True)
class Whose:
    """Everybody of one kind, or one of them by name: the same name may be of two kinds, never pooled."""

    kind: AnnotatorKind
    name: str | None = None


Whom = str | Sequence[str] | Whose | None
"""Whose judgments: a kind, a name, a list of names, one annotator of a kind; None for everybody's."""

COLUMNS = (
    *("pair", "axis", "annotator", "annotator_kind", "choice", "shown_first", "picked_by", "ranking"),
    *("blind", "seconds", "note", "epoch_us(time)"),
)
SELECT = f"SELECT {', '.join(COLUMNS)}"

# The statements below are put together from constants only; values go in as parameters.
# A blind judgment that is changed keeps the time of the first, too: an export has its place by nothing else.
HELD = """
WITH held AS (
    SELECT * REPLACE (CASE WHEN blind THEN arg_min(time, seq) FILTER (blind) OVER mine ELSE time END AS time),
        min(seq) OVER mine AS first
    FROM standing_judgments
    WHERE axis = $axis AND ($kind::VARCHAR IS NULL OR annotator_kind = $kind)
        AND ($names::VARCHAR[] IS NULL OR annotator IN (SELECT unnest($names::VARCHAR[])))
        AND (blind OR NOT $blind)
    WINDOW mine AS (PARTITION BY pair, annotator, annotator_kind)
    QUALIFY row_number() OVER (PARTITION BY pair, annotator, annotator_kind ORDER BY brought, seq DESC) = 1)
"""
CURRENT = f"{HELD} {SELECT} FROM held ORDER BY first"
# Which rows stand is seen in Python: a view with a window takes DuckDB twice as long, after every judgment.
OF_PAIR = f"{SELECT}, seq, undoes FROM judgments WHERE pair = ? ORDER BY brought DESC, seq"
ANNOTATORS = """
SELECT annotator, annotator_kind, axis, count(*) FILTER (choice <> 'skip') FROM current_judgments
GROUP BY ALL ORDER BY annotator_kind, annotator, axis
"""


def of_pair(store: Reader, pair: str) -> list[Judgment]:
    """What each annotator holds of a pair, on either axis; the oldest row first."""
    held = {row[1:4]: row for row in that_stand(store.query(OF_PAIR, [pair]))}  # by axis, name and kind
    return [of_row(row) for row in sorted(held.values(), key=lambda row: row[-2])]


def annotators(store: Reader) -> list[Annotator]:
    """Everybody who holds anything, by kind and name."""
    return [Annotator(*row) for row in store.recall(ANNOTATORS, (), tuple)]


def current(store: Reader, axis: Axis, annotators: Whom = None, *, blind: bool = False) -> list[Judgment]:
    """What is held on an axis, skips too, in the order of the first word on each pair.

    `annotators` is a kind, a name, or a list of names; with `blind` the newest blind judgment counts, where
    there is one, and others are left out.
    """
    rows = store.query(CURRENT, selection(axis, annotators, blind))
    return [of_row(row) for row in rows]


def selection(axis: Axis, annotators: Whom, blind: bool) -> dict[str, object]:
    """The parameters of HELD."""
    if isinstance(annotators, Whose):
        one = None if annotators.name is None else [annotators.name]
        return {"axis": axis, "kind": annotators.kind, "names": one, "blind": blind}
    kind = annotators if isinstance(annotators, str) and annotators in KINDS else None
    names = [annotators] if isinstance(annotators, str) else annotators
    several = None if kind or names is None else list(names)
    return {"axis": axis, "kind": kind, "names": several, "blind": blind}


def that_stand(rows: Rows) -> Rows:
    """Of all of somebody's rows on an axis, with `seq` and `undoes` last, those that stand."""
    undone = {undoes for *_, undoes in rows}
    return [row for row in rows if row[-1] is None and row[-2] not in undone]


def of_row(row: tuple[Any, ...]) -> Judgment:
    """A judgment from a row of COLUMNS."""
    # The columns are a judgment's fields, in their order. The table's own checks stand for them: after each
    # judgment all of its annotator's are read.
    at = len(COLUMNS) - 1
    return Judgment(*(*row[:at], moment(row[at]).isoformat()))
