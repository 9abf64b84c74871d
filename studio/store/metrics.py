"""What training runs measure: one curve for each figure, whatever was stopped, killed and resumed.

A figure's rows are stored with the event that tells it, and so exactly once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from studio.store.bulk import insert
from studio.store.database import Reader, Tx
from studio.store.runs import Event

Curves = Mapping[str, "Curve"]
"""A run's curves by the figure's name."""

CURVES = """
SELECT run, name, list(step ORDER BY step), list(value ORDER BY step) FROM current_metrics
WHERE run IN (SELECT unnest(?::VARCHAR[])) GROUP BY run, name ORDER BY name
"""

# Of the fixed prompts: how each was answered first, and how by the newest weights that still are.
ANSWERS = """
WITH told AS (
    SELECT CAST(json_extract(data, '$.fixed') AS BIGINT) AS place, seq,
        CAST(json_extract(data, '$.step') AS BIGINT) AS step,
        json_extract_string(data, '$.prompt') AS prompt, json_extract_string(data, '$.text') AS text
    FROM run_events e
    WHERE run = ? AND kind = 'sample' AND json_type(data, '$.fixed') IN ('UBIGINT', 'BIGINT')
        AND json_type(data, '$.step') IN ('UBIGINT', 'BIGINT') AND NOT EXISTS (
            SELECT 1 FROM run_attempts later WHERE later.run = e.run AND later.attempt > e.attempt
                AND later.step < CAST(json_extract(data, '$.step') AS BIGINT)))
SELECT arg_max(prompt, seq), arg_min(text, seq), min(step), arg_max(text, seq), max(step)
FROM told GROUP BY place ORDER BY place
"""


@dataclass(frozen=True)
class Answer:
    """How a fixed prompt was answered at a first and at the newest step."""

    prompt: str
    first: str
    first_step: int
    last: str
    last_step: int


@dataclass(frozen=True)
class Curve:
    """The values of one figure by step, which rises; None where it was no number."""

    steps: tuple[int, ...]
    values: tuple[float | None, ...]

    @property
    def last(self) -> float | None:
        """The newest value."""
        return self.values[-1] if self.values else None


def add(tx: Tx, run: str, events: Iterable[Event]) -> None:
    """Keep the figures and the attempts that a run's new events tell of."""
    rows: list[dict[str, object]] = []
    attempts: list[dict[str, object]] = []
    for event in events:
        if event.kind == "started" and _whole(event.data.get("done")):
            attempts.append({"run": run, "attempt": event.attempt, "step": event.data["done"]})
        elif event.kind == "metric":
            rows += _rows(run, event)
    insert(tx, "metrics", rows)
    insert(tx, "run_attempts", attempts)


def curves(store: Reader, runs: Sequence[str]) -> Mapping[str, Curves]:
    """All that these runs have measured and that still counts, by the run's id."""
    found: dict[str, dict[str, Curve]] = {run: {} for run in runs}
    for run, name, steps, values in store.query(CURVES, [list(runs)]):
        found[run][name] = Curve(tuple(steps), tuple(values))
    return found


def answers(store: Reader, run: str) -> list[Answer]:
    """What a run answers to the fixed prompts, in their order; empty where it is not asked."""
    return [Answer(*row) for row in store.query(ANSWERS, [run])]


def stamp(store: Reader, runs: Sequence[str]) -> str:
    """Changes whenever there is anything new to draw of these runs."""
    some = "run IN (SELECT unnest($runs::VARCHAR[]))"
    [row] = store.query(
        f"SELECT (SELECT count(*) FROM metrics WHERE {some}), "  # noqa: S608
        f"(SELECT count(*) FROM run_attempts WHERE {some})",
        {"runs": list(runs)},
    )
    return ":".join(str(value) for value in row)


def _rows(run: str, event: Event) -> list[dict[str, object]]:
    step, values = event.data.get("step"), event.data.get("values")
    if not _whole(step) or not isinstance(values, Mapping):
        return []
    return [
        {
            "run": run,
            "attempt": event.attempt,
            "seq": event.seq,
            "step": step,
            "name": str(name),
            "value": _number(value),
        }
        for name, value in values.items()
        if value is None or _number(value) is not None
    ]


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number that no float holds
        return None
