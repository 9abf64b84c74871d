"""What trivial rules get on the same judgments: an agreement below theirs shows nothing.

Each is given with the paired difference, the AI's accuracy less the rule's on the same rows, whose interval
is narrower than the two intervals suggest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline import intervals
from pipeline.agreement import Compared, Figure
from pipeline.intervals import Floats


@dataclass(frozen=True)
class Baseline:
    """A rule's accuracy, and the AI's less the rule's."""

    name: str
    accuracy: Figure
    difference: Figure


def baselines(c: Compared) -> list[Baseline]:
    """Shorter; refusal word, else shorter; and the side that humans chose more often."""
    d = c.decided()
    rules = {
        "shorter": shorter(d),
        "refusal word, else shorter": refusing(d),
        "majority side": majority(d),
    }
    return [_compare(name, side, d) for name, side in rules.items()]


def shorter(c: Compared) -> Floats:
    """The side of the shorter response: 1 for a, 0 for b, 0.5 for equal lengths (float[n])."""
    side: Floats = (np.sign(c.length_b - c.length_a) + 1) / 2
    return side


def refusing(c: Compared) -> Floats:
    """The side of the one that refuses where only one does, else of the shorter (float[n])."""
    return np.where(c.refuses_a != c.refuses_b, c.refuses_a.astype(np.float64), shorter(c))


def majority(c: Compared) -> Floats:
    """One side for all rows: a where humans chose it at least as often (float[n]).

    It is chosen on the rows that it is measured on, and so is a little flattered.
    """
    often = float(c.choice.mean() >= 0.5) if len(c) else 0.5
    return np.full(len(c), often)


def _compare(name: str, side: Floats, d: Compared) -> Baseline:
    right = 1 - np.abs(side - d.choice)
    return Baseline(
        name, intervals.share(right, d.cluster), intervals.mean(d.correct - right, d.cluster, -1.0, 1.0)
    )
