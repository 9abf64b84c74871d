"""Calibrated probabilities: what the AI's say, stretched or shrunk to how often people agree.

Platt's logistic curve (1999), or from 200 pairs on isotonic regression (Zadrozny and Elkan 2002). Which
response is `a` is drawn by lot, so each pair is learnt both ways round: the calibration of 1 - p is 1 less
that of p. For Platt this leaves one number, the slope on the logit; its intercept is nought.

A labeller whose probabilities point away from people's choices would get a negative slope. It is refused:
turned round, it would still be a labeller that holds the opposite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline import agreement, intervals
from pipeline.agreement import Compared, Figure
from pipeline.errors import UserError
from pipeline.intervals import Floats

Kind = Literal["platt", "isotonic"]

LEAST = 20
ISOTONIC_FROM = 200
_FOLDS = 5
_EDGE = 1e-6  # a probability of 0 or 1 has no logit


@dataclass(frozen=True)
class Quality:
    """How well probabilities fit: expected calibration error and Brier score."""

    ece: Figure
    brier: Figure


@dataclass(frozen=True)
class Calibration:
    """A monotone map of probabilities, and what it is worth on judgments that it did not see.

    `slope` is the factor on the logit, for either kind. `knots_p` and `knots_y` are isotonic's curve, empty
    for Platt. `after` is of cross-validated probabilities, folds by prompt. Stored with `records.as_json`,
    read with `records.parse(Calibration, data)`.
    """

    kind: Kind
    slope: float
    knots_p: tuple[float, ...]
    knots_y: tuple[float, ...]
    n: int
    clusters: int
    before: Quality
    after: Quality

    def apply(self, p: Floats) -> Floats:
        """Calibrated probabilities, float[n]; NaN stays."""
        if self.kind == "platt":
            return _platt(p, self.slope)
        return _isotonic(p, np.array(self.knots_p), np.array(self.knots_y))


def calibrate(
    p: Floats,
    choice: Floats,
    cluster: npt.NDArray[np.integer],
    kind: Kind | Literal["auto"] = "auto",
) -> Calibration:
    """Learn from the AI's P(a better) and human choices: 1 for a, 0 for b, 0.5 for a tie (float[n] each).

    Ties and NaN are left out. `auto` is isotonic from 200 judgments on. Raises UserError for fewer than 20
    judgments or 2 prompts, for probabilities that are all a half, and for a negative slope.
    """
    kept = (choice != 0.5) & ~np.isnan(p)
    p, choice, cluster = p[kept], choice[kept], intervals.dense(cluster[kept])
    n, clusters = len(p), intervals.count(cluster)
    if n < LEAST or clusters < 2:
        raise UserError(
            f"calibration: {n} decided judgments of {clusters} prompts are too few: "
            f"judge {LEAST} or more, of several prompts"
        )
    slope = _slope(p, choice)
    if slope < 0:
        raise UserError(
            f"calibration: the slope is negative ({slope:.2f}): where these labels lean to one response, "
            "people lean to the other. An opposed labeller is not repaired by turning it round: change the "
            "principle, the method or the model"
        )
    if kind == "auto":
        kind = "isotonic" if n >= ISOTONIC_FROM else "platt"
    knots = _knots(p, choice) if kind == "isotonic" else ((), ())
    after = held_out(p, choice, cluster, kind)
    before = _quality(p, choice, cluster)
    return Calibration(kind, slope, *knots, n, clusters, before, _quality(after, choice, cluster))


def _logit(p: Floats) -> Floats:
    kept = np.clip(p, _EDGE, 1 - _EDGE)
    result: Floats = np.log(kept) - np.log1p(-kept)
    return result


def _slope(p: Floats, choice: Floats) -> float:
    """The logistic regression's factor on the logit. Raises UserError where all logits are nought."""
    from sklearn.linear_model import LogisticRegression

    logit = _logit(p)
    scale = float(np.sqrt((logit**2).mean()))
    if scale == 0:
        raise UserError("calibration: every probability is exactly a half: there is nothing to calibrate")
    if len(set(choice.tolist())) == 1:
        # A curve through a half needs both outcomes named; mirrored, the same pairs have both.
        logit, choice = np.concatenate([logit, -logit]), np.concatenate([choice, 1 - choice])
    # Without an intercept a pair and its mirror image say the same, so once is enough. The penalty is weak,
    # and on scaled logits: it only keeps the slope finite where the labels are right every time.
    model = LogisticRegression(C=100.0, fit_intercept=False).fit((logit / scale)[:, None], choice)
    return float(model.coef_[0, 0]) / scale


def _platt(p: Floats, slope: float) -> Floats:
    # The logistic curve by tanh, which can't overflow.
    result: Floats = 0.5 + 0.5 * np.tanh(slope * _logit(p) / 2)
    return result


def _knots(p: Floats, choice: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Isotonic's curve as points, from each pair both ways round."""
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    model.fit(np.concatenate([p, 1 - p]), np.concatenate([choice, 1 - choice]))
    return tuple(model.X_thresholds_.tolist()), tuple(model.y_thresholds_.tolist())


def _isotonic(p: Floats, knots_p: Floats, knots_y: Floats) -> Floats:
    # The curve is symmetric up to rounding, which could turn a label round: it is read above a half only.
    above = np.interp(np.maximum(p, 1 - p), knots_p, knots_y) - 0.5
    result: Floats = 0.5 + np.sign(p - 0.5) * np.where(above < 1e-9, 0.0, above)
    return result


def held_out(p: Floats, choice: Floats, cluster: npt.NDArray[np.integer], kind: Kind) -> Floats:
    """Each judgment's probability by a calibration that saw none of its prompt's."""
    from sklearn.model_selection import GroupKFold

    folds = GroupKFold(min(_FOLDS, intervals.count(cluster)))
    result = np.full(len(p), 0.5)
    for seen, kept in folds.split(p, groups=cluster):
        result[kept] = _fit(p[seen], choice[seen], kind)(p[kept])
    return result


def _fit(p: Floats, choice: Floats, kind: Kind) -> Callable[[Floats], Floats]:
    if not _logit(p).any():
        return lambda held: np.full(len(held), 0.5)
    if kind == "platt":
        # A fold may lean the other way although all together do not: it then says nothing.
        slope = max(_slope(p, choice), 0.0)
        return lambda held: _platt(held, slope)
    knots_p, knots_y = (np.array(knots) for knots in _knots(p, choice))
    return lambda held: _isotonic(held, knots_p, knots_y)


def _quality(p: Floats, choice: Floats, cluster: npt.NDArray[np.integer]) -> Quality:
    nought, no = np.zeros(len(p), np.int64), np.zeros(len(p), np.bool_)
    c = Compared(p, p, p, choice, cluster.astype(np.int64), nought, nought, no, no)
    return Quality(agreement.ece(c), agreement.brier(c))
