"""AI labels: what a feedback model holds of each pair under each principle (paper section 4.1).

Append-only: the newest label of a pair by the same labeller under the same principle counts, and those of a
deleted run don't.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import cast, get_args

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError
from pipeline.records import Label, Method, parse
from studio.store.bulk import insert
from studio.store.database import Reader, Store, Tx, moment

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labeller:
    """One AI judge: a model that judges by a method under a version of a constitution (its hash)."""

    model: str
    method: Method
    constitution: str

    @property
    def key(self) -> str:
        """For addresses and menus: `choice:0123456789abcdef:bundled`. A model's name may hold anything."""
        return f"{self.method}:{self.constitution}:{self.model}"

    @classmethod
    def of(cls, key: str) -> Labeller:
        """The labeller of a key. Raises UserError for what is none."""
        method, _, rest = key.partition(":")
        constitution, colon, model = rest.partition(":")
        if method not in get_args(Method) or not colon:
            raise UserError(f"{key!r} names no labeller: it is METHOD:CONSTITUTION:MODEL")
        return cls(model, cast(Method, method), constitution)


@dataclass(frozen=True)
class LabellerRow:
    """How much a labeller has said; `rows` are all its labels, those too that a newer one has replaced.

    `constitution_name` is empty where the session does not know it; `axis` is that of the newest run.
    """

    labeller: Labeller
    constitution_name: str
    pairs: int
    rows: int
    runs: int
    newest: datetime
    axis: str


@dataclass(frozen=True)
class Matrix:
    """A labeller's labels, a row for each of n pairs and a column for each of k principles; NaN: missing.

    `logit_ab` and `p_ab` are those with a shown first, `logit_ba` and `p_ba` those with b shown first; all
    are about a being the better one.
    """

    pairs: list[str]
    principles: list[str]
    logit_ab: Floats
    logit_ba: Floats
    p_a: Floats
    p_ab: Floats
    p_ba: Floats


VALUES = ("logit_ab", "logit_ba", "p_a", "p_ab", "p_ba")
COLUMNS = (
    *("principle", "method", "model", "constitution", "seed", *VALUES),
    *("revision", "form", "rationale_ab", "rationale_ba"),
)
OF = "model = $model AND method = $method AND constitution = $constitution"

# The statements below are put together from constants only; values go in as parameters.
LABELLERS = """
SELECT model, method, l.constitution, coalesce(any_value(r.constitution_name), ''),
    count(DISTINCT pair), count(*), count(DISTINCT run), epoch_us(max(time)),
    coalesce(json_extract_string(arg_max(r.config, l.seq), '$.axis'), 'harmless')
FROM labels l LEFT JOIN runs r ON r.id = l.run
WHERE l.run NOT IN (SELECT run FROM deleted_runs)
GROUP BY model, method, l.constitution ORDER BY max(l.seq) DESC
"""
OF_PAIR = f"SELECT pair, {', '.join(COLUMNS)} FROM current_labels WHERE pair = $pair"  # noqa: S608
# Older rows come first and are written over: much faster than a window over a hundred thousand rows.
CELLS = f"""
SELECT p.row AS row, list_position($principles, l.principle) - 1 AS col, {", ".join(VALUES)}
FROM labels l JOIN (SELECT id, row_number() OVER (ORDER BY seq) - 1 AS row FROM pairs) p ON p.id = l.pair
WHERE {OF} AND run NOT IN (SELECT run FROM deleted_runs)
    AND list_contains($principles, l.principle)
ORDER BY l.seq
"""  # noqa: S608
PRINCIPLES = f"SELECT DISTINCT principle FROM labels WHERE {OF} ORDER BY principle"  # noqa: S608


SELECTIONS = "SELECT id FROM runs WHERE json_extract_string(config, '$.selection') <> ''"
"""The runs whose pairs were chosen for what an AI had said of them, as by triage."""
SELECTED = f"""
SELECT pair FROM labels
WHERE {OF} AND run NOT IN (SELECT run FROM deleted_runs)
GROUP BY pair HAVING bool_and(run IN ({SELECTIONS}))
"""  # noqa: S608


def add(tx: Tx, labels: Sequence[Label], run: str) -> int:
    """Add a run's labels, each pair and principle of it once; returns how many were new."""
    new = {(label.pair_id, label.principle): label for label in reversed(labels)}
    there = tx.query(
        "SELECT pair, principle FROM labels WHERE run = ? AND pair IN (SELECT unnest(?::VARCHAR[]))",
        [run, [pair for pair, _ in new]],
    )
    for pair, principle in there:
        new.pop((pair, principle), None)
    insert(tx, "labels", [_row(label, run) for label in reversed(new.values())])
    return len(new)


def labellers(store: Reader) -> list[LabellerRow]:
    """Who has labelled, the one with the newest label first."""
    return [
        LabellerRow(Labeller(model, method, constitution), name, pairs, rows, runs, moment(newest), axis)
        for model, method, constitution, name, pairs, rows, runs, newest, axis in store.recall(
            LABELLERS, (), tuple
        )
    ]


def runs_of(store: Reader, labeller: Labeller) -> list[str]:
    """The runs that a labeller's labels are of, the newest first, without deleted ones."""
    rows = store.query(
        f"SELECT run FROM current_labels WHERE {OF} GROUP BY run ORDER BY max(seq) DESC",  # noqa: S608
        asdict(labeller),
    )
    return [run for (run,) in rows]


def selected(store: Reader, labeller: Labeller) -> frozenset[str]:
    """The pairs that a labeller has labels of only because they were chosen for what an AI said of them.

    A version that is made to mend some pairs and measured on these would be measured on what it was chosen
    by: they are none of its random share until a run over more than them has labelled them too.
    """
    if not store.query(f"{SELECTIONS} LIMIT 1"):
        return frozenset()
    return frozenset(pair for (pair,) in store.query(SELECTED, asdict(labeller)))


def of_pair(store: Reader, pair: str, labeller: Labeller | None = None) -> list[Label]:
    """The labels of a pair that count, by one labeller or by all; the oldest first."""
    only = f" AND {OF}" if labeller else ""
    who = asdict(labeller) if labeller else {}
    rows = store.recall(f"{OF_PAIR}{only} ORDER BY seq", {"pair": pair, **who}, tuple)
    return [parse(Label, dict(zip(("pair_id", *COLUMNS), row, strict=True))) for row in rows]


def matrix(store: Store, labeller: Labeller) -> Matrix:
    """All that a labeller has said of the session's pairs, the oldest pair first, principles by name."""
    who = asdict(labeller)
    principles = [principle for (principle,) in store.query(PRINCIPLES, who)]
    cells = store.columns(CELLS, {**who, "principles": principles})
    pairs = store.columns("SELECT id FROM pairs ORDER BY seq")["id"]
    rows, row = np.unique(cells["row"], return_inverse=True)
    col = cells["col"].astype(np.int64)
    some = np.unique(col)  # a deleted run's principles may have no label left
    place = np.searchsorted(some, col)

    def table(name: str) -> Floats:
        values = np.full((len(rows), len(some)), np.nan)
        values[row, place] = cells[name]
        return values

    return Matrix(pairs[rows].tolist(), [principles[at] for at in some], *map(table, VALUES))


def _row(label: Label, run: str) -> dict[str, object]:
    return {"pair": label.pair_id, **{name: getattr(label, name) for name in COLUMNS}, "run": run}
