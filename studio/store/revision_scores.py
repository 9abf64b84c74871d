"""Preference-model scores of chains by number of revisions, as runs of `cai score` bring them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields

from pipeline.revision_scores import RevisionScore
from studio.store.bulk import insert
from studio.store.database import Reader, Tx

COLUMNS = ", ".join(field.name for field in fields(RevisionScore))
# Put together from constants only; values go in as parameters.
CURRENT = f"SELECT {COLUMNS} FROM current_revision_scores ORDER BY seq"  # noqa: S608
BY_RUN = """
SELECT run, count(*) FROM revision_scores WHERE run IN (SELECT run FROM current_revision_scores)
GROUP BY run ORDER BY min(seq)
"""
OF_RUN = f"SELECT {COLUMNS} FROM revision_scores WHERE run = ? ORDER BY seq"  # noqa: S608


def add(tx: Tx, some: Sequence[RevisionScore], run: str) -> None:
    """Add what a run has scored; what is there of it already stays as it is."""
    new = {one.id: one for one in some}
    for (id,) in tx.query(
        "SELECT id FROM revision_scores WHERE run = ? AND id IN (SELECT unnest(?::VARCHAR[]))",
        [run, list(new)],
    ):
        del new[id]
    insert(tx, "revision_scores", [{"run": run, **asdict(one)} for one in new.values()])


def rows(store: Reader, run: str | None = None) -> list[RevisionScore]:
    """All scores, oldest first: of one run, or each answer's newest by each preference model."""
    found = store.query(CURRENT) if run is None else store.query(OF_RUN, [run])
    return [RevisionScore(*row) for row in found]


def by_run(store: Reader) -> dict[str, int]:
    """How many scores each run has of which any counts, the oldest first."""
    return dict(store.query(BY_RUN))
