"""The figures on a checkpoint's card as words: each with its n and interval, where it has them.

A card may come from anywhere: what is no figure is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

MOST = 40
"""Figures that are told of one card."""


def told(figures: object) -> list[tuple[str, str]]:
    """Name and value of each, those of a set of pairs named after it: `heldout accuracy`."""
    return _told(figures, "", 0)[:MOST]


def number(value: object) -> str:
    """A number in four digits, whole ones whole; empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3g}"
    return f"{value:.4f}" if abs(value) >= 0.001 else f"{value:.2g}"


def _told(figures: object, prefix: str, depth: int) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in figures.items() if isinstance(figures, Mapping) else ():
        title = f"{prefix} {name}".replace("_", " ").strip()[:80]
        if isinstance(value, Mapping) and "value" in value:
            rows.append((title, _measured(value)))
        elif isinstance(value, Mapping) and depth < 3:
            rows += _told(value, title, depth + 1)
        elif number(value):
            rows.append((title, number(value)))
    return rows


def _measured(figure: Mapping[str, object]) -> str:
    value, low, high, n = (number(figure.get(name)) for name in ("value", "low", "high", "n"))
    words = value or "not known"
    if low and high:
        words += f" [{low}, {high}]"
    return f"{words}, n = {n}" if n else words
