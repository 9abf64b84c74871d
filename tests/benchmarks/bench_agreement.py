"""Seconds for all the figures of the agreement page on 100,000 judgments of 30,000 prompts.

python tests/benchmarks/bench_agreement.py [ROWS] [PROMPTS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from pipeline import agreement, bias
from pipeline.agreement import Compared
from pipeline.baselines import baselines
from pipeline.gate import gate


def main(rows: int = 100_000, prompts: int = 30_000) -> None:
    """Print a line per figure, wall and processor time, and the sums."""
    agreement.accuracy(_made(100, 50, 0))  # loads scipy, once a process
    c = _made(rows, prompts, 1)
    figures: dict[str, Callable[[], object]] = {
        "accuracy": lambda: agreement.accuracy(c),
        "kappa": lambda: agreement.kappa(c),
        "confusion": lambda: agreement.confusion(c),
        "brier": lambda: agreement.brier(c),
        "ece": lambda: agreement.ece(c),
        "reliability": lambda: agreement.reliability(c),
        "with ties": lambda: agreement.with_ties(c),
        "baselines": lambda: baselines(c),
        "letter share": lambda: bias.letter_share(c),
        "exact ties": lambda: bias.exact_ties(c),
        "position bias": lambda: bias.position_bias(c),
        "order flips": lambda: bias.order_flips(c),
        "length bias": lambda: bias.length_bias(c),
        "gate": lambda: gate(c.decided().correct, c.decided().cluster),
    }
    print(f"{rows:,} judgments, {prompts:,} prompts\n{'figure':>18} {'wall s':>8} {'cpu s':>8}")  # noqa: T201
    began, worked = time.perf_counter(), time.process_time()
    for name, figure in figures.items():
        wall, cpu = time.perf_counter(), time.process_time()
        figure()
        print(f"{name:>18} {time.perf_counter() - wall:>8.3f} {time.process_time() - cpu:>8.3f}")  # noqa: T201
    print(f"{'all':>18} {time.perf_counter() - began:>8.3f} {time.process_time() - worked:>8.3f}")  # noqa: T201


def _made(rows: int, prompts: int, seed: int) -> Compared:
    random = np.random.default_rng(seed)
    p = random.random(rows)
    orders = np.clip(p + 0.1 * random.normal(size=(2, rows)), 0, 1)
    choice = (random.random(rows) < p).astype(np.float64)
    choice[random.random(rows) < 0.05] = 0.5
    lengths = random.integers(1, 2000, (2, rows))
    refusing = random.random((2, rows)) < 0.3
    return Compared(p, *orders, choice, random.integers(0, prompts, rows), *lengths, *refusing)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
