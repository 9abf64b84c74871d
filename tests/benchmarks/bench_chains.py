"""Tokens a second: chains one after another against chains whose slots are refilled.

python tests/benchmarks/bench_chains.py [CHAINS] [MAX_TOKENS]
"""

from __future__ import annotations

import sys
import time

from pipeline import constitution, critique
from pipeline.configs import Drawing
from pipeline.engines.transformers import TransformersEngine
from pipeline.prompts import from_text

TOPICS = ("fire", "locks", "medicine", "neighbours", "taxes", "knots", "history", "the sea")


def main(count: int = 24, tokens: int = 24) -> None:
    """Print a table: 1 slot, then more."""
    asked = [from_text(f"Question {i}: what should I know about {TOPICS[i % 8]}?") for i in range(count)]
    minimal = constitution.load(constitution.shipped()["minimal"])
    drawing = Drawing(revisions=1, max_tokens=tokens)
    engine = TransformersEngine("bundled")
    engine.generate([])
    base = 0.0
    print(f"{count} chains × 1 revision × {tokens} tokens, {engine.info.dtype} on {engine.info.device}")  # noqa: T201
    print(f"{'slots':>6} {'tokens':>8} {'seconds':>8} {'tokens/s':>9} {'times':>6}")  # noqa: T201
    for slots in (1, 8, 32):
        engine.slots = slots
        began = time.perf_counter()
        chains = critique.draw_chains(
            asked, minimal, drawing, critique.Engines(engine, engine), lambda i, t: None
        )
        seconds = time.perf_counter() - began
        written = sum(step.tokens for chain in chains for step in chain.steps)
        base = base or written / seconds
        line = f"{slots:>6} {written:>8} {seconds:>8.1f} {written / seconds:>9.1f}"
        print(f"{line} {written / seconds / base:>6.1f}")  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
