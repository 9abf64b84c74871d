"""Seconds to rate 10 models from 1,000,000 votes with 1,000 resamples; the goal is under 5 on 2 cores.

python tests/benchmarks/bench_elo.py [VOTES] [MODELS] [RESAMPLES]
"""

from __future__ import annotations

import sys
import time

import numpy as np

from pipeline import elo
from pipeline.votes import Votes


def main(many: int = 1_000_000, models: int = 10, resamples: int = 1_000) -> None:
    """Print a line for each number of prompts: all of it, and the resamples alone."""
    elo.rate(made(1_000, models, 100), resamples=10)  # loads evalica and pandas, once a process
    print(f"{many:,} votes, {models} models, {resamples:,} resamples")  # noqa: T201
    print(f"{'prompts':>10} {'all s':>8} {'resamples s':>12}")  # noqa: T201
    for prompts in (300, 30_000, many):
        votes = made(many, models, prompts)
        began = time.perf_counter()
        elo.rate(votes, resamples=resamples)
        rated = time.perf_counter()
        elo.bootstrap(votes, 0, resamples=resamples)
        print(f"{prompts:>10,} {rated - began:>8.2f} {time.perf_counter() - rated:>12.2f}")  # noqa: T201


def made(many: int, models: int, prompts: int) -> Votes:
    random = np.random.default_rng(0)
    strength = np.linspace(0, 2, models)
    a = random.integers(0, models, many)
    b = (a + random.integers(1, models, many)) % models
    won = (random.random(many) < 1 / (1 + np.exp(strength[b] - strength[a]))).astype(np.float64)
    names = tuple(f"model {i}" for i in range(models))
    return Votes(names, a, b, won, random.integers(0, prompts, many))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
