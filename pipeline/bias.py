"""Whether the AI's choices follow where a response stands, or how long it is, rather than what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline import intervals
from pipeline.agreement import Compared, Figure, sides
from pipeline.intervals import Floats, Ints, nothing


def _orders(c: Compared) -> tuple[Floats, Ints]:
    """The probability of the option shown first, for either order of each pair, and the prompts."""
    first, cluster = np.concatenate([c.p_ab, 1 - c.p_ba]), np.concatenate([c.cluster, c.cluster])
    there = ~np.isnan(first)
    return first[there], cluster[there]


def letter_share(c: Compared) -> Figure:
    """The share of (pair, order) in which the option shown first, (A), wins; a half is unbiased.

    Exact ties are left out: see `exact_ties`. `n` counts orders, two a pair. Undefined where responses were
    judged `alone`.
    """
    if c.alone:
        return nothing(len(c))
    first, cluster = _orders(c)
    taken = first != 0.5
    return intervals.share(sides(first[taken]), cluster[taken])


def exact_ties(c: Compared) -> Figure:
    """The share of (pair, order) with a probability of exactly a half: the model did not tell them apart."""
    first, cluster = _orders(c)
    return intervals.share((first == 0.5).astype(np.float64), cluster)


def position_bias(c: Compared) -> Figure:
    """The mean probability of the option shown first, less a half: in [-0.5, 0.5], 0 is unbiased.

    Undefined where responses were judged `alone`.
    """
    if c.alone:
        return nothing(len(c))
    first, cluster = _orders(c)
    return intervals.mean(first - 0.5, cluster, -0.5, 0.5)


def order_flips(c: Compared) -> Figure:
    """The share of pairs whose winner changes with the order in which the two are shown.

    Undefined where responses were judged `alone`.
    """
    if c.alone:
        return nothing(len(c))
    ab, ba = sides(c.p_ab), sides(c.p_ba)
    there = ~np.isnan(ab + ba)
    flips = np.abs(ab - ba)[there] == 1
    return intervals.share(flips.astype(np.float64), c.cluster[there])


@dataclass(frozen=True)
class LengthBias:
    """How often the longer response is preferred, by the AI, by humans, and the paired difference.

    `slope` is how much the AI's probability of a response rises for each doubling of its length against the
    other's.
    """

    ai: Figure
    human: Figure
    difference: Figure
    slope: Figure


def length_bias(c: Compared) -> LengthBias:
    """Over decided judgments of two responses of unlike length."""
    d = c.decided()
    d = d.take(np.flatnonzero(d.length_a != d.length_b))
    longer_a = (d.length_a > d.length_b).astype(np.float64)
    ai, human = 1 - np.abs(d.ai - longer_a), 1 - np.abs(d.choice - longer_a)
    return LengthBias(
        intervals.share(ai, d.cluster),
        intervals.share(human, d.cluster),
        intervals.mean(ai - human, d.cluster, -1.0, 1.0),
        _slope(d),
    )


def _slope(d: Compared) -> Figure:
    """Least squares through the origin: which response is `a` is drawn by lot, so there is no intercept."""
    if not len(d):
        return nothing()
    doublings = np.log2((d.length_a + 1) / (d.length_b + 1))
    above = d.p_a - 0.5
    square = float(doublings @ doublings)
    slope = float(doublings @ above) / square
    influence = doublings * (above - slope * doublings) * len(d) / square
    return intervals.linear(slope, influence, d.cluster)
