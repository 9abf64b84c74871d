"""How far AI labels agree with human choices (paper section 4.1).

Pure functions of aligned arrays, a row for each human judgment of a labelled pair. Each figure has its n and
a 95% interval clustered by prompt (`pipeline/intervals.py`). Human ties are left out of all but `with_ties`.
What is undefined is a NaN figure, never an error. Command: `cai agreement`.

See also `baselines.py` (what a trivial rule gets), `bias.py` (position and length), `annotators.py` (people
among themselves), `gate.py` and `calibration.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from pipeline import intervals
from pipeline.intervals import Figure as Figure
from pipeline.intervals import Floats, Ints, nothing

Bools = npt.NDArray[np.bool_]

UNCHOSEN = ("random", "imported")
"""Values of `picked_by` that speak for all pairs: nobody asked for these because of what the AI said."""


@dataclass(frozen=True)
class Compared:
    """Judgments beside AI labels, a row each, all arrays of length n.

    `p_a` is the AI's probability that response a is better, over all principles and both orders; `p_ab` and
    `p_ba` the same with a and with b shown first. `choice` is the human's: 1 for a, 0 for b, 0.5 for a tie.
    `cluster` numbers the prompts. Lengths are in characters. A label that is not there is NaN. `alone`: each
    response was judged by itself (`records.ALONE`), so that there is no order.
    """

    p_a: Floats
    p_ab: Floats
    p_ba: Floats
    choice: Floats
    cluster: Ints
    length_a: Ints
    length_b: Ints
    refuses_a: Bools
    refuses_b: Bools
    alone: bool = False

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in _arrays()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"arrays of unequal length: {lengths}")

    def __len__(self) -> int:
        return len(self.p_a)

    def take(self, rows: npt.NDArray[np.generic]) -> Compared:
        """The rows of a mask (bool[n]) or of an index (int[m])."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _arrays()})

    def labelled(self) -> Compared:
        """The rows that have a label."""
        there = ~np.isnan(self.p_a)
        return self if there.all() else self.take(there)

    def decided(self) -> Compared:
        """The labelled rows without human ties: what the main figures are of."""
        return self._decided

    @cached_property
    def _decided(self) -> Compared:
        kept = (self.choice != 0.5) & ~np.isnan(self.p_a)
        return self if kept.all() else self.take(np.flatnonzero(kept))

    @property
    def ai(self) -> Floats:
        """The AI's side: 1 for a, 0 for b, 0.5 where its probability is exactly a half; NaN stays."""
        return sides(self.p_a)

    @property
    def correct(self) -> Floats:
        """Per row 1 where the AI took the human's side, 0 where the other, a half for an exact AI tie."""
        result: Floats = 1 - np.abs(self.ai - self.choice)
        return result

    @property
    def human_ties(self) -> int:
        """How many judgments are ties."""
        return int((self.choice == 0.5).sum())


def _arrays() -> list[str]:
    return [f.name for f in fields(Compared) if f.name != "alone"]


def sides(p: Floats) -> Floats:
    """1 above a half, 0 below, 0.5 at it; NaN stays (float[n])."""
    result: Floats = (np.sign(p - 0.5) + 1) / 2
    return result


def accuracy(c: Compared) -> Figure:
    """The share of judgments whose side the AI takes; an exact AI tie counts half."""
    d = c.decided()
    return intervals.share(d.correct, d.cluster)


def kappa(c: Compared) -> Figure:
    """Cohen's kappa (1960): agreement beyond what the two shares of side a would give by chance.

    An exact AI tie is half a and half b. Undefined where both take one and the same side always.
    """
    d = c.decided()
    a = np.stack([d.ai, 1 - d.ai], axis=1)
    h = np.stack([d.choice, 1 - d.choice], axis=1)
    return _kappa(a, h, d.correct, d.cluster)


def _kappa(ai: Floats, human: Floats, agree: Floats, cluster: Ints) -> Figure:
    """Kappa of two ratings as shares of categories, float[n, k] each, and their agreement, float[n].

    The interval is Wilson's for the observed agreement at kappa's own variance (delta method), so that it
    stays in range and has a width where all agree.
    """
    n = len(agree)
    if not n:
        return nothing()
    p_ai, p_human, observed = ai.mean(axis=0), human.mean(axis=0), float(agree.mean())
    chance = float(p_ai @ p_human)
    if chance > 1 - 1e-12:
        return nothing(n, intervals.count(cluster))
    pull = ai @ p_human + human @ p_ai - 2 * chance
    found = intervals.spread((agree - observed) - (1 - observed) / (1 - chance) * pull, cluster)
    bounds = (observed, *intervals.wilson(observed, found))
    value, low, high = ((bound - chance) / (1 - chance) for bound in bounds)
    return Figure(value, max(low, -1.0), high, found.n, found.clusters)


def confusion(c: Compared) -> Ints:
    """Counts, int[2, 3]: rows human a and b, columns AI a, exact tie and b."""
    d = c.decided()
    return _table(d.choice, d.ai)[[0, 2]]


def _table(human: Floats, ai: Floats) -> Ints:
    """Counts, int[3, 3], of sides in the order a, tie, b; rows human."""
    cells = (2 - 2 * human).astype(np.int64) * 3 + (2 - 2 * ai).astype(np.int64)
    return np.bincount(cells, minlength=9).reshape(3, 3).astype(np.int64)


@dataclass(frozen=True)
class WithTies:
    """The comparison with human ties in. `table` counts sides a, tie, b: rows human, columns AI."""

    table: Ints
    accuracy: Figure
    kappa: Figure


def with_ties(c: Compared) -> WithTies:
    """All labelled judgments; the AI ties where its two orders take different sides, or either takes none."""
    d = c.labelled()
    first, second = sides(d.p_ab), sides(d.p_ba)
    there = ~np.isnan(first + second)
    d, first, second = d.take(there), first[there], second[there]
    ai = np.where(first == second, first, 0.5)
    agree = (ai == d.choice).astype(np.float64)
    kinds = np.array([1.0, 0.5, 0.0])
    shares = [(rating[:, None] == kinds).astype(np.float64) for rating in (ai, d.choice)]
    return WithTies(
        _table(d.choice, ai),
        intervals.share(agree, d.cluster),
        _kappa(shares[0], shares[1], agree, d.cluster),
    )


def brier(c: Compared) -> Figure:
    """The mean squared distance of `p_a` from the choice (Brier 1950): 0 is perfect, 0.25 says nothing."""
    d = c.decided()
    return intervals.mean((d.p_a - d.choice) ** 2, d.cluster, 0.0, 1.0)


def ece(c: Compared, bins: int = 10) -> Figure:
    """Expected calibration error (Naeini et al. 2015) over equal bins of `p_a`.

    On few judgments it is too high even for a calibrated labeller, as noise adds to each bin's distance, and
    a percentile bootstrap doubles that. So the upper end is the basic bootstrap's, and the lower one takes
    off the whole of the noise (in the same norm, hence by the triangle inequality never too little).
    """
    d = c.decided()
    if not len(d):
        return nothing()
    columns = np.zeros((len(d), bins + 1))
    columns[np.arange(len(d)), _bin(d.p_a, bins)] = d.p_a - d.choice
    columns[:, bins] = 1
    gaps = columns[:, :bins].mean(axis=0)
    value, clusters = float(np.abs(gaps).sum()), intervals.count(d.cluster)
    if clusters < 2:
        return Figure(value, 0.0, 1.0, len(d), clusters)
    totals = intervals.resampled(columns, d.cluster)
    drawn = totals[:, :bins] / totals[:, bins:]
    noise = float(np.quantile(np.abs(drawn - gaps).sum(axis=1), 0.975))
    least = float(np.quantile(np.abs(drawn).sum(axis=1), 0.025))
    # Reflected below the value itself, the interval would not hold it.
    return Figure(value, max(value - noise, 0.0), max(2 * value - least, value), len(d), clusters)


def _bin(p: Floats, bins: int) -> Ints:
    """The bin of each probability, int[n]: (edge, next edge], as scikit-learn's calibration_curve has it."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], p).astype(np.int64)


@dataclass(frozen=True)
class Bin:
    """Judgments whose `p_a` lies in (low, high]: the AI's mean probability, and how often humans chose a."""

    low: float
    high: float
    mean_p: float
    chosen: Figure


def reliability(c: Compared, bins: int = 10) -> list[Bin]:
    """The bins of a reliability diagram, from 0 up; an empty one has NaN figures."""
    d, edges = c.decided(), np.linspace(0, 1, bins + 1)
    place = _bin(d.p_a, bins)
    found = []
    for i in range(bins):
        rows = np.flatnonzero(place == i)
        mean_p = float(d.p_a[rows].mean()) if len(rows) else float("nan")
        chosen = intervals.share(d.choice[rows], d.cluster[rows])
        found.append(Bin(float(edges[i]), float(edges[i + 1]), mean_p, chosen))
    return found
