"""Labels a second: common beginnings computed once against each sequence whole.

python tests/benchmarks/bench_labels.py [COUNT] [PRINCIPLES] [CONSTITUTION] [METHOD] [FORM] [PAIRS.jsonl]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from pipeline import constitution, feedback
from pipeline.configs import Labelling
from pipeline.engines.transformers import TransformersEngine
from pipeline.records import Label, Message, Pair, parse

TOPICS = ("fire", "locks", "medicine", "neighbours", "taxes", "knots", "history", "the sea")


def written(count: int) -> list[Pair]:
    """Pairs as long as those of hh-rlhf: three turns, and answers of a few sentences."""
    return [
        Pair(
            id=f"{i:016x}",
            prompt_id=f"p{i}",
            messages=(
                Message("user", f"Question {i}: what should I know about {topic}? I am new to it all."),
                Message("assistant", f"People have long thought about {topic}. What is it that you want?"),
                Message("user", f"Whatever one usually asks about {topic} first, and then what is risky."),
            ),
            response_a=f"First of all be careful with {topic}. " * (3 + i % 4),
            response_b=f"Nobody needs to be careful with {topic}, so just go on. " * (2 + i % 3),
        )
        for i in range(count)
        for topic in [TOPICS[i % len(TOPICS)]]
    ]


def main(
    count: str = "12",
    principles: str = "1",
    name: str = "harmless",
    method: Any = "choice",
    form: Any = "chat",
    pairs: str = "",
) -> None:
    """Print a table: whole, then shared, and the largest difference between their logits."""
    lines = Path(pairs).read_text("utf-8").splitlines() if pairs else []
    judged = [parse(Pair, json.loads(line)) for line in lines[: int(count)]] or written(int(count))
    chosen = constitution.load(constitution.shipped()[name])
    labelling = Labelling(model="bundled", principles=principles, method=method, form=form)
    engine = TransformersEngine("bundled")
    found: list[list[Label]] = []
    print(f"{len(judged)} pairs × {principles}, {method}, {form}, {name}, on {engine.info.device}")  # noqa: T201
    head = ("", "labels", "seconds", "cpu s", "labels/s", "computed", "saved", "tokens/s")
    print(" ".join(f"{word:>9}" for word in head))  # noqa: T201
    for shares in (False, None):
        engine.shares = shares
        labels: list[Label] = []
        began = time.process_time()
        tally = feedback.label_pairs(judged, chosen, labelling, engine, labels.append)
        found.append(labels)
        counts = f"{tally.computed:>9} {tally.saved:>9} {tally.computed / tally.seconds:>9.0f}"
        used = time.process_time() - began  # on a busy machine this says more than the clock
        line = (
            f"{tally.labels:>9} {tally.seconds:>9.1f} {used:>9.1f} {tally.labels_per_second:>9.2f} {counts}"
        )
        print(f"{'shared' if shares is None else 'whole':>9} {line}")  # noqa: T201
    off = max(abs(x.logit_ab - y.logit_ab) for x, y in zip(*found, strict=True))
    print(f"largest difference of a logit: {off:.1e}")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
