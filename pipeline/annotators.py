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
    size = counts.sum(axis=1)
    same = (counts * (counts - 1)).sum(axis=1) / (size - 1)
    n, margins = size.sum(), counts.sum(axis=0)
    expected = float(n * n - margins @ margins) / (n * (n - 1))
    if not expected:
        return nothing(units, clusters)
    # As for kappa, Wilson's interval of the observed agreement at alpha's own variance (delta method): it
    # stays in range, and has a width where all are alike, which a bootstrap has not.
    observed, shares = float(same.sum() / n), margins / n
    pull = 2 * (1 - observed) / expected * (counts @ shares - size * (shares @ shares))
    found = intervals.spread((same - observed * size - pull) * units / n, prompts)
    bounds = (observed, *intervals.wilson(observed, found))
    value, low, high = (1 - (1 - bound) / expected for bound in bounds)
    return Figure(value, max(low, -1.0), high, units, clusters)


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
