"""What several principles together say of a pair: the mean of their labels, by weight (section 4.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.records import Label


@dataclass(frozen=True)
class Over:
    """Means over principles: P(response a is better), the same as each order said it, and its log-odds."""

    p_a: float
    p_ab: float
    p_ba: float
    logit: float


def mean(labels: Iterable[Label], weights: Mapping[str, float], otherwise: float) -> Over | None:
    """The mean of one pair's labels; a principle that `weights` does not name weighs `otherwise`.

    None where nothing of weight judged. `studio/store/audit.py` does the same for whole matrices.
    """
    counted = [(weight, label) for label in labels if (weight := weights.get(label.principle, otherwise)) > 0]
    total = math.fsum(weight for weight, _ in counted)
    if not counted:
        return None

    def of(values: Iterable[float]) -> float:
        return math.fsum(weight * value for (weight, _), value in zip(counted, values, strict=True)) / total

    return Over(
        of(label.p_a for _, label in counted),
        of(label.p_ab for _, label in counted),
        of(label.p_ba for _, label in counted),
        of((label.logit_ab + label.logit_ba) / 2 for _, label in counted),
    )
