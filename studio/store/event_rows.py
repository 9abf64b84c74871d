"""An event of a run as the store takes it: what is computed with and shown is of its kind.

Whoever wrote a run's events.jsonl may have written anything, and one event that is none would stand in the
way of all that is read later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.records import parse
from studio.store.runs import Event

COUNTS = ("seq", "attempt", "done", "total", "rows", "step", "fixed", "tokens")
MEASURES = ("tokens_per_second", "eta_s", "labels_per_second")
WORDS = ("noun", "prompt", "pair")
"""What an event says by these names is computed with and shown: whole numbers, numbers, texts; or null."""
LARGEST = 2**63
"""No number in the store is larger."""


@dataclass(frozen=True)
class Heldout:
    """A share of held-out labels, with its interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Rated:
    """What is shown of a model's rating in a tournament's summary."""

    of: str
    model: str
    base: str
    axis: str
    judge: str
    n: int
    elo: float | None
    low: float | None
    high: float | None
    standing: str
    warnings: tuple[str, ...]
    judge_heldout: Heldout | None = None


def event(row: Mapping[str, Any]) -> Event | None:
    """The event in a row; None for what is none."""
    try:
        if not _sound(row) or not _sound_part(row.get("part")):
            return None
        json.dumps(row, allow_nan=False)  # a bare NaN is no JSON to the store's own queries
        if "ratings" in row:
            parse(tuple[Rated, ...], row["ratings"])
        known = {"seq": int(row["seq"]), "attempt": int(row["attempt"]), "kind": str(row["kind"])}
        rest = {name: value for name, value in row.items() if name not in (*known, "v", "time")}
        return Event(**known, time=str(row["time"]), data=rest)  # type: ignore[arg-type]
    except (KeyError, ValueError, TypeError, RecursionError):
        return None


def _sound(said: Mapping[str, Any]) -> bool:
    """Whether what is computed with is of its kind."""
    return (
        all(_number(said.get(name)) and not isinstance(said.get(name), float) for name in COUNTS)
        and all(_number(said.get(name)) for name in MEASURES)
        and all(isinstance(said.get(name), str | None) for name in WORDS)
    )


def _sound_part(part: Any) -> bool:
    """The same of what is made before the first row, where that is told."""
    if part is None:
        return True
    return isinstance(part, dict) and _sound(part) and None not in map(part.get, ("noun", "done", "total"))


def _number(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
