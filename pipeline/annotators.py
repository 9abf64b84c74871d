"""How far annotators agree among themselves: what an AI can at most be asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline import intervals
from pipeline.agreement import Figure
from pipeline.intervals import Floats, nothing


def alpha(ratings: Floats, cluster: npt.NDArray[np.integer]) -> Figure:
    """Krippendorff's alpha, nominal level (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").

    `ratings` is float[annotators, units], NaN where an annotator did not rate the unit; any numbers stand for
    categories. `cluster` gives each unit's prompt. Undefined where no unit has two ratings, or all ratings
    are of one category. `n` counts units with two ratings or more.
    """
    kinds = np.unique(ratings[~np.isnan(ratings)])
    counts = (ratings[:, :, None] == kinds).sum(axis=0).astype(np.float64)
    rated = counts.sum(axis=1) > 1
    counts, units = counts[rated], int(rated.sum())
    prompts = cluster[rated]
    clusters = intervals.count(prompts)
    if not units:
        return nothing()
    # Each unit's part of the coincidence matrix: its diagonal, and its margin per category.
    size = counts.sum(axis=1, keepdims=True)
    same = (counts * (counts - 1) / (size - 1)).sum(axis=1, keepdims=True)
    columns = np.concatenate([same, counts], axis=1)
    value = float(_alpha(columns.sum(axis=0, keepdims=True))[0])
    if np.isnan(value):
        return nothing(units, clusters)
    if clusters < 2:
        return Figure(value, -1.0, 1.0, units, clusters)
    draws = _alpha(intervals.resampled(columns, prompts))
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return Figure(value, float(low), float(high), units, clusters)


def _alpha(totals: Floats) -> Floats:
    """Alpha of coincidences, float[m, 1 + k]: the sum of the diagonal, then the margins. NaN: undefined."""
    same, margins = totals[:, 0], totals[:, 1:]
    n = margins.sum(axis=1)
    observed = n - same
    expected = (n * n - (margins**2).sum(axis=1)) / (n - 1)
    result: Floats = 1 - np.divide(observed, expected, out=np.full(len(n), np.nan), where=expected > 0)
    return result


def pairwise(ratings: Floats, cluster: npt.NDArray[np.integer]) -> Figure:
    """The share of two annotators' ratings of one unit that are alike, over all twos (as for `alpha`)."""
    agree, prompts = [], []
    for i in range(len(ratings)):
        for other in ratings[i + 1 :]:
            both = ~np.isnan(ratings[i] + other)
            agree.append((ratings[i] == other)[both].astype(np.float64))
            prompts.append(cluster[both])
    if not agree:
        return nothing()
    return intervals.share(np.concatenate(agree), np.concatenate(prompts))
