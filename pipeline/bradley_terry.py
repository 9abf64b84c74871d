"""Bradley-Terry strengths by maximum likelihood, of many win matrices at once (Bradley and Terry 1952).

The chance that i beats j is σ(θ_i - θ_j). `wins[i, j]` counts how often i beat j; a tie is half a win each,
a soft vote a share of one. θ is finite only among models that have, directly or through others, both beaten
and lost to each other (Ford 1957): who stands above, below or apart of them is told, not estimated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.intervals import Floats

Bools = npt.NDArray[np.bool_]
Standings = npt.NDArray[np.int8]

RATED, ABOVE, BELOW, APART = 0, 1, 2, 3
"""How a model stands to the base: a finite difference, only better, only worse, or never compared."""
TRACE = 1e-9
"""A share of a pair's games that counts for none: a judge's probability of all but 0."""
CLOSE = 1e-9
"""The largest step, in nats, after which a fit is done."""
MOST_STEPS = 200
MOST_ROUNDS = 20_000
"""The same for evalica, whose rounds are cheaper and gain less each."""


def standings(wins: Floats, base: int) -> Standings:
    """How each model stands to the base, int8[..., m], in each of the win matrices, float[..., m, m]."""
    m = wins.shape[-1]
    beat = wins > TRACE * (wins + np.swapaxes(wins, -1, -2))
    flat = beat.reshape(-1, m * m)
    # Nearly all resamples have the same pattern of who beat whom: each is looked at once.
    _, one, which = np.unique(np.packbits(flat, axis=1), axis=0, return_index=True, return_inverse=True)
    some = flat[one].reshape(-1, m, m)
    below, above = _reached(some, base), _reached(np.swapaxes(some, 1, 2), base)
    found = np.where(above, np.where(below, RATED, ABOVE), np.where(below, BELOW, APART)).astype(np.int8)
    result: Standings = found[which.reshape(-1)].reshape(wins.shape[:-1])
    return result


def _reached(beat: Bools, base: int) -> Bools:
    """Whom the base beat, directly or through others (bool[n, m] of bool[n, m, m]); itself too."""
    edges = beat.astype(np.float32)
    found = np.zeros(beat.shape[:2], np.bool_)
    found[:, base] = True
    while True:
        more = found | ((found[:, None, :].astype(np.float32) @ edges)[:, 0] > 0)
        if np.array_equal(more, found):
            return found
        found = more


def relative(wins: Floats, base: int, start: Floats | None = None) -> Floats:
    """θ less the base's, float[n, m], for each win matrix of float[n, m, m].

    ±inf for models that stand above or below, NaN for those apart. `start` (float[m]) is where the fits
    begin: near the end they take few steps. What is not finite in it counts as 0.
    """
    stands = standings(wins, base)
    theta = np.select([stands == ABOVE, stands == BELOW, stands == APART], [np.inf, -np.inf, np.nan], 0.0)
    kinds, which = np.unique(stands, axis=0, return_inverse=True)
    for number, kind in enumerate(kinds):
        rows, members = np.flatnonzero(which.reshape(-1) == number), np.flatnonzero(kind == RATED)
        if len(members) > 1:
            among = wins[rows][:, members][:, :, members]
            near = None if start is None else np.nan_to_num(start, posinf=0, neginf=0)[members]
            theta[np.ix_(rows, members)] = fit(among, int(np.flatnonzero(members == base)[0]), near)
    return theta


def fit(wins: Floats, base: int, start: Floats | None = None) -> Floats:
    """θ less the base's, float[n, m], where every model is connected to every other both ways.

    Newton's method from `start`, or 0, all matrices at once. A step is shortened to log(1 + d)/d of itself,
    d its largest change of a difference, so that the likelihood rises each time (Bach 2010).
    """
    n, m = wins.shape[0], wins.shape[-1]
    games = wins + np.swapaxes(wins, -1, -2)
    won = wins.sum(-1)
    others = np.flatnonzero(np.arange(m) != base)
    theta = np.zeros((n, m)) if start is None else np.tile(start - start[base], (n, 1))
    for _ in range(MOST_STEPS):
        # tanh and not exp, which overflows.
        p = 0.5 + 0.5 * np.tanh((theta[:, :, None] - theta[:, None, :]) / 2)
        gradient = won - np.einsum("nij,nij->ni", games, p)
        curve = games * p * (1 - p)
        curve[:, np.arange(m), np.arange(m)] -= curve.sum(-1)
        step = np.zeros((n, m))
        step[:, others] = np.linalg.solve(-curve[:, others][:, :, others], gradient[:, others, None])[..., 0]
        size = np.ptp(step, axis=1)
        theta += step * (np.log1p(size) / np.maximum(size, 1e-300))[:, None]
        if size.max() < CLOSE:
            break
    return theta


def by_library(wins: Floats, base: int) -> Floats | None:
    """The same for one matrix, float[m, m], by evalica; None where it comes to no end."""
    import evalica

    one, other = np.nonzero(wins)
    found = evalica.bradley_terry(
        one.tolist(),
        other.tolist(),
        [evalica.Winner.X] * len(one),
        weights=wins[one, other],
        tolerance=1e-10,
        limit=MOST_ROUNDS,
    )
    if found.iterations >= MOST_ROUNDS:
        return None
    theta = np.log(found.scores.sort_index().to_numpy(np.float64))
    result: Floats = theta - theta[base]
    return result
