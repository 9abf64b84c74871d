"""A tournament: which models' answers meet, and in what order they are judged. Headless: `cai evaluate`.

All pairs of models meet on each prompt; or, with a budget, a random core of them, and then those whose
models' difference has the widest interval. What the core says was not chosen for what came out, and so its
ratings stand beside those of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipeline import elo
from pipeline.matchups import Matchup
from pipeline.records import content_id
from pipeline.votes import Votes

CORE = 0.5
"""The share of a budget that is drawn at random."""
ROUNDS = 8
"""In how many rounds the rest is spent: after each, the intervals are looked at anew."""
_RESAMPLES = 200  # a width needs fewer than an end that is reported


@dataclass(frozen=True)
class Match:
    """Two models, their answers of the same number to one prompt. `id` is that of its matchup."""

    id: str
    prompt_id: str
    one: str
    other: str
    sample: int


def matches(models: Sequence[str], prompts: Sequence[str], samples: int) -> list[Match]:
    """All that can meet: each two models, on each prompt, in each of its samples."""
    return [
        Match(content_id([prompt, sorted((one, other)), sample]), prompt, one, other, sample)
        for prompt in prompts
        for sample in range(samples)
        for one, other in combinations(models, 2)
    ]


def core_size(budget: int) -> int:
    """How many of a budget's matches are of the core."""
    return math.ceil(CORE * budget)


def core(every: Sequence[Match], budget: int, seed: int) -> list[Match]:
    """The part of the budget that is drawn at random, each match as likely as any other."""
    return drawn(every, core_size(budget), seed)


def drawn(every: Sequence[Match], many: int, seed: int) -> list[Match]:
    """So many matches at random; fewer are the first of more."""
    random = np.random.default_rng([seed, 1])
    return [every[i] for i in random.permutation(len(every))[:many]]


def spend(
    every: Sequence[Match],
    budget: int,
    seed: int,
    judge: Callable[[Sequence[Match]], Mapping[str, Matchup] | None],
) -> list[Match]:
    """Have `judge` judge the core and then, round by round, where the intervals are widest.

    `judge` gets the matches of a round and returns all matchups so far by id, or None for a stop. The same
    matchups lead to the same rounds, so that a run that goes on asks for none that it did not need. Returns
    the matches that were chosen, in order; those of the core come first.
    """
    chosen = core(every, budget, seed)
    known = judge(chosen)
    left = min(budget, len(every)) - len(chosen)
    size = max(1, math.ceil(left / ROUNDS))
    random = np.random.default_rng([seed, 2])
    shuffled = [every[i] for i in random.permutation(len(every))]
    while left > 0 and known is not None:
        taken = {match.id for match in chosen}
        rest = [match for match in shuffled if match.id not in taken]
        some = widest(rest, [known[m.id] for m in chosen if m.id in known], min(size, left), seed)
        chosen += some
        left -= len(some)
        known = judge(some)
    return chosen


def widest(rest: Sequence[Match], judged: Sequence[Matchup], many: int, seed: int) -> list[Match]:
    """So many of the rest, in its order, of the pairs of models whose difference is known least.

    A pair's interval is taken to narrow as 1/√n with the matches that it is given meanwhile.
    """
    waiting: dict[frozenset[str], list[Match]] = {}
    for match in reversed(rest):
        waiting.setdefault(frozenset((match.one, match.other)), []).append(match)
    widths = _widths(judged, seed)
    there = dict.fromkeys(waiting, 0)
    for one in judged:
        pair = frozenset((one.model_a, one.model_b))
        there[pair] = there.get(pair, 0) + 1
    given = dict.fromkeys(waiting, 0)
    chosen: list[Match] = []
    while len(chosen) < many and waiting:
        # Where widths are infinite, as at the start, the pair that met least.
        pair = max(
            waiting,
            key=lambda p: (
                widths.get(p, math.inf) / math.sqrt(1 + given[p] / max(1, there[p])),
                -there[p] - given[p],
                sorted(p),
            ),
        )
        chosen.append(waiting[pair].pop())
        given[pair] += 1
        if not waiting[pair]:
            del waiting[pair]
    return chosen


def _widths(judged: Sequence[Matchup], seed: int) -> dict[frozenset[str], float]:
    """How wide the 95% interval of each two models' difference is, in Elo points; inf where it has no end."""
    if not judged:
        return {}
    votes, found = _doubted(elo.votes(judged)), {}
    for i, one in enumerate(votes.models):
        # Each model as the base in turn: two that are both above a third may well be known to each other.
        drawn = elo.SCALE * elo.bootstrap(votes, i, seed, _RESAMPLES)
        for j, other in enumerate(votes.models[:i]):
            low, high = elo.interval(drawn[:, j])
            found[frozenset((one, other))] = math.inf if low is None or high is None else high - low
    return found


def _doubted(votes: Votes) -> Votes:
    """The votes, and of each two that met a win either way: else a few ties alone would look sure."""
    m = len(votes.models)
    met = np.unique(np.minimum(votes.a, votes.b) * m + np.maximum(votes.a, votes.b))
    one, other, wins = met // m, met % m, np.ones(len(met))
    return Votes(
        votes.models,
        np.concatenate([votes.a, one, one]),
        np.concatenate([votes.b, other, other]),
        np.concatenate([votes.won, wins, 0 * wins]),
        np.concatenate([votes.cluster, votes.cluster.max() + 1 + np.arange(2 * len(met))]),
    )
