"""Votes as arrays, and an order of them that nothing but the votes decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.intervals import Floats, Ints, count, dense

_FINE = 2.0**30
"""Votes are counted to this fineness: sums of millions are then exact, and the same in any order."""


@dataclass(frozen=True)
class Votes:
    """Judgments as arrays: sides `a` and `b` (int[n], places in `models`), a's share of the win (float[n]),
    and the prompt of each (int[n])."""

    models: tuple[str, ...]
    a: Ints
    b: Ints
    won: Floats
    cluster: Ints

    def __len__(self) -> int:
        return len(self.won)


def ordered(votes: Votes) -> Votes:
    """The same votes, with models and prompts in an order that nothing but the votes decides.

    Resamples draw prompts by their number. So the same votes have the same intervals to the last digit,
    from a file or a session, in whatever order, and whatever the prompts are called. Models are ordered by
    their wins and losses; only where these are alike, by name.
    """
    m = len(votes.models)
    won = np.round(votes.won * _FINE) / _FINE
    wins = matrix(votes.a, votes.b, won, m)
    keys = [(sorted(wins[i].tolist()), sorted(wins[:, i].tolist())) for i in range(m)]
    order = sorted(range(m), key=lambda i: (keys[i], votes.models[i]))
    place = np.argsort(np.array(order, np.int64))
    a, b = place[votes.a], place[votes.b]
    # A prompt's number is its place by what was said on it: two on which the same was said are alike.
    one, other = np.minimum(a, b), np.maximum(a, b)
    said = (one * m + other) << 31 | (np.where(a == one, won, 1 - won) * _FINE).astype(np.int64)
    ids = dense(votes.cluster)
    content = np.zeros(count(ids), np.uint64)
    np.add.at(content, ids, _scattered(said.astype(np.uint64)))
    number = np.empty(len(content), np.int64)
    number[np.argsort(content)] = np.arange(len(content))
    return Votes(tuple(votes.models[i] for i in order), a, b, won, number[ids])


def _scattered(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Numbers as if at random, so that sums of them tell what was summed (Steele et al. 2014, SplitMix64)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def matrix(a: Ints, b: Ints, won: Floats, m: int) -> Floats:
    """Who beat whom how often, float[m, m]."""
    forth, back = np.bincount(a * m + b, won, m * m), np.bincount(b * m + a, 1 - won, m * m)
    result: Floats = (forth + back).astype(np.float64).reshape(m, m)
    return result
