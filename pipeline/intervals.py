"""95% intervals whose unit is the prompt: pairs of one prompt tell less than as many pairs of many.

Three ways, each where it is exact enough:

- shares (`share`; kappa and alpha through `wilson`): Wilson's interval for an effective number of pairs,
  which is what the spread between prompts makes of n (design effect; Korn and Graubard 1998). It stays inside
  its range and keeps a width where every pair agrees, which a bootstrap does not.
- means, differences and slopes (`mean`, `linear`): the cluster-robust variance of their linear form
  (Liang and Zeger 1986) with Student's t. Exact for means, and 100,000 rows take milliseconds.
- what has no useful linear form (`resampled`: ECE): a bootstrap over prompts. More than `GROUPS` prompts are
  first put together in that many random groups, which are resampled.

The degrees of freedom are those of the effective number of clusters, n²/Σ size² (Kish), so that one prompt
with half of all pairs does not pass for many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

RESAMPLES = 2_000
GROUPS = 500
_TAIL = 0.025  # on either side of a 95% interval


@dataclass(frozen=True)
class Figure:
    """A number with its 95% interval, the rows it is of and the prompts they come from.

    `value` is NaN where it is undefined, and then `low` and `high` are too. Rows of a single prompt give the
    whole range: they tell nothing of the others.
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int

    @property
    def defined(self) -> bool:
        """Whether there is a value at all."""
        return not math.isnan(self.value)


@dataclass(frozen=True)
class Spread:
    """What the clusters say of a mean: its variance, how many clusters, and how many they are worth."""

    variance: float
    n: int
    clusters: int
    effective: float

    def t(self, tail: float = _TAIL) -> float:
        """Student's t that leaves `tail` above it; infinite for a single cluster."""
        from scipy.special import stdtrit

        # One prompt with nearly all rows: the quantile overflows, and the interval is the whole range.
        if self.effective <= 1.01:
            return math.inf
        return float(stdtrit(self.effective - 1, 1 - tail))


def nothing(n: int = 0, clusters: int = 0) -> Figure:
    """The figure of something undefined."""
    return Figure(math.nan, math.nan, math.nan, n, clusters)


def dense(cluster: npt.NDArray[np.integer]) -> Ints:
    """The same clusters numbered from 0 without gaps (int[n])."""
    ids = np.asarray(cluster, dtype=np.int64)
    if not len(ids):
        return ids
    if ids.min() < 0 or ids.max() > 4 * len(ids) + 1024:
        return np.unique(ids, return_inverse=True)[1].astype(np.int64)
    # Small numbers are counted off, which is much faster than sorting.
    there = np.bincount(ids) > 0
    return (np.cumsum(there) - 1)[ids].astype(np.int64)


def count(cluster: npt.NDArray[np.integer]) -> int:
    """How many clusters there are."""
    return int(dense(cluster).max(initial=-1)) + 1


def spread(influence: Floats, cluster: npt.NDArray[np.integer]) -> Spread:
    """The variance of the mean of `influence` (float[n], its mean taken off) between clusters (int[n])."""
    ids, n = dense(cluster), len(influence)
    sizes = np.bincount(ids).astype(np.float64)
    totals = np.bincount(ids, weights=influence)
    clusters = len(sizes)
    effective = n * n / float(sizes @ sizes)
    correction = clusters / (clusters - 1) if clusters > 1 else math.inf
    variance = float(totals @ totals) / n**2
    # Rounding leaves a trace where all are alike.
    return Spread(correction * variance if variance > 1e-28 else 0.0, n, clusters, effective)


def wilson(value: float, spread: Spread, tail: float = _TAIL) -> tuple[float, float]:
    """Wilson's bounds for a share in [0, 1], each exceeded with probability `tail`."""
    t = spread.t(tail)
    if math.isinf(t):
        return 0.0, 1.0
    n = worth(value, spread)
    middle = (value + t * t / (2 * n)) / (1 + t * t / n)
    half = t / (1 + t * t / n) * math.sqrt(value * (1 - value) / n + t * t / (4 * n * n))
    # At 0 and at 1 the bound is the value itself, up to rounding.
    return min(max(middle - half, 0.0), value), max(min(middle + half, 1.0), value)


def worth(value: float, spread: Spread) -> float:
    """How many independent rows would tell a share as well as these do: at most as many as there are.

    Where all rows agree nothing shows how alike a prompt's pairs are: then only prompts count.
    """
    if value <= 0 or value >= 1:
        return spread.effective
    if spread.variance == 0:
        return float(spread.n)
    return min(float(spread.n), value * (1 - value) / spread.variance)


def share(x: Floats, cluster: npt.NDArray[np.integer]) -> Figure:
    """The mean of values in [0, 1] (float[n]; mostly 0 or 1), with Wilson's interval."""
    if not len(x):
        return nothing()
    value = float(x.mean())
    found = spread(x - value, cluster)
    return Figure(value, *wilson(value, found), found.n, found.clusters)


def mean(x: Floats, cluster: npt.NDArray[np.integer], low: float = -1.0, high: float = 1.0) -> Figure:
    """The mean of values that lie between `low` and `high`, such as paired differences (float[n])."""
    if not len(x):
        return nothing()
    value = float(x.mean())
    return linear(value, x - value, cluster, low, high)


def linear(
    value: float,
    influence: Floats,
    cluster: npt.NDArray[np.integer],
    low: float = -math.inf,
    high: float = math.inf,
) -> Figure:
    """A statistic with the influence of each row (float[n], of mean 0), cut to its range."""
    found = spread(influence, cluster)
    t = found.t()
    if math.isinf(t):
        return Figure(value, low, high, found.n, found.clusters)
    if found.variance == 0 and math.isfinite(low) and math.isfinite(high):
        # No row is unlike the others. Up to this share of rows could be, at the ends of the range.
        unlike = wilson(0.0, found)[1]
        below, above = unlike * (value - low), unlike * (high - value)
    else:
        below = above = t * math.sqrt(found.variance)
    return Figure(value, max(value - below, low), min(value + above, high), found.n, found.clusters)


def resampled(columns: Floats, cluster: npt.NDArray[np.integer], seed: int = 0) -> Floats:
    """Column totals, float[RESAMPLES, k], of `columns`, float[n, k], with prompts drawn with replacement.

    The same seed gives the same draws, and the same prompts in each for all columns of the same clusters.
    """
    random = np.random.default_rng(seed)
    ids = dense(cluster)
    groups = count(ids)
    if groups > GROUPS:
        ids = (random.permutation(groups) % GROUPS)[ids]
        groups = GROUPS
    totals = np.stack([np.bincount(ids, weights=column, minlength=groups) for column in columns.T], axis=1)
    picks = random.integers(0, groups, (RESAMPLES, groups))
    picks += np.arange(RESAMPLES)[:, None] * groups
    weights = np.bincount(picks.ravel(), minlength=RESAMPLES * groups).reshape(RESAMPLES, groups)
    result: Floats = weights.astype(np.float64) @ totals
    return result
