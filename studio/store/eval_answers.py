"""Answers to multiple-choice questions (figure 4), as runs of `cai evals` bring them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from pipeline.evals import Answer
from studio.store.database import Reader, Tx

COLUMNS = ", ".join(f'"{field.name}"' for field in fields(Answer))
# Put together from constants only; values go in as parameters.
ALL = f"""SELECT run, {COLUMNS} FROM eval_answers
WHERE run NOT IN (SELECT run FROM deleted_runs) ORDER BY seq"""  # noqa: S608
ADD = f"""INSERT INTO eval_answers (run, {COLUMNS})
SELECT * FROM (SELECT {", ".join("unnest(?)" for _ in range(1 + len(fields(Answer))))}) AS new(run, {COLUMNS})
WHERE id NOT IN (SELECT id FROM eval_answers WHERE run = ?)"""  # noqa: S608


def add(tx: Tx, some: Sequence[Answer], run: str) -> None:
    """Add what a run has answered; what is there of it already stays as it is."""
    new = {one.id: one for one in some}
    if new:
        columns = [
            list(column) for column in zip(*(asdict(one).values() for one in new.values()), strict=True)
        ]
        tx.query(ADD, [[run] * len(new), *columns, run])


def by_run(store: Reader) -> Mapping[str, list[Answer]]:
    """All answers by their run, the oldest run first."""
    found: dict[str, list[Answer]] = {}
    for run, *row in store.query(ALL):
        found.setdefault(run, []).append(Answer(*row))
    return found
