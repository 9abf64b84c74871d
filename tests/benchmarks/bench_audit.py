"""Server time of the audit's figures: 100,000 labels, 2,000 judged pairs, in a real session.

python tests/benchmarks/bench_audit.py [PAIRS] [PRINCIPLES] [JUDGED]
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import agreement, baselines, bias, gate
from pipeline.agreement import Compared
from pipeline.records import Judgment, Label, Message, Pair
from studio.store import audit, judgments, labels, pairs
from studio.store.database import Store
from studio.store.labels import Labeller

WHO = Labeller("bundled", "choice", "0123456789abcdef")
ROUNDS = 5


def main(many: int = 6250, principles: int = 16, judged: int = 2000) -> None:
    """Fill a session, then print the median seconds of each thing that the pages ask for."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "bench")
        began = time.perf_counter()
        fill(store, many, principles, judged)
        say("filling", time.perf_counter() - began)
        print(f"{many:,} pairs × {principles} principles, {judged:,} of them judged; median of {ROUNDS}")  # noqa: T201
        matrix = timed("matrix", lambda: labels.matrix(store, WHO))
        c, _ = timed("compared (with its matrix)", lambda: audit.compared(store, "harmless", WHO, "person"))
        timed("all figures", lambda: figures(c))
        weights = {f"principle-{i}": float(i % 3) for i in range(principles)}
        timed("what-if of all pairs", lambda: audit.aggregated(matrix, weights, complete=True))
        timed("matrix, compared twice, all figures", lambda: whole(store))
        for mode in ("random", "uncertain", "disagreement", "order"):
            timed(
                f"next pair, {mode}",
                lambda mode=mode: audit.next_pair(store, "zoe", "harmless", mode, WHO, 0),
            )  # type: ignore[misc]
        timed("counts of an annotator", lambda: audit.counts(store, "ann", "harmless"))
        timed("labellers", lambda: labels.labellers(store))
        store.close()


def fill(store: Store, many: int, principles: int, judged: int) -> None:
    """Pairs of two prompts each, labels that lean to what is judged."""
    some = fill_pairs(store, many, judged)
    chance = random.Random(8)
    for start in range(0, many, 500):
        rows = [_label(pair.id, p, chance) for pair in some[start : start + 500] for p in range(principles)]
        with store.tx() as tx:
            labels.add(tx, rows, "run")


def fill_pairs(store: Store, many: int, judged: int) -> list[Pair]:
    """Pairs of two prompts each, some of them judged by a person."""
    chance = random.Random(7)
    texts = [" ".join(chance.choices(("sure", "no", "sorry", "never", "help"), k=60)) for _ in range(200)]
    some = [
        Pair(
            f"{i:016x}",
            f"{i // 2:016x}",
            (Message("user", f"Question {i}?"),),
            texts[i % 200],
            texts[i % 199],
        )
        for i in range(many)
    ]
    for start in range(0, many, 5000):
        with store.tx() as tx:
            pairs.add(tx, some[start : start + 5000], None)
    made = [
        Judgment(pair.id, "harmless", "ann", "person", chance.choice(("a", "b", "b", "tie")))
        for pair in chance.sample(some, judged)
    ]
    with store.tx() as tx:
        judgments.add_imported(tx, made, None)
    return some


def _label(pair: str, principle: int, chance: random.Random) -> Label:
    ab, ba = chance.gauss(0, 1), chance.gauss(0, 1)
    p_ab, p_ba, p_a = (float(1 / (1 + np.exp(-x))) for x in (ab, ba, (ab + ba) / 2))
    rest = ("choice", "bundled", WHO.constitution, 0, ab, ba, p_ab, p_ba, p_a)
    return Label(pair, f"principle-{principle}", *rest)  # type: ignore[arg-type]


def whole(store: Store) -> None:
    """What one opening of the page costs."""
    matrix = labels.matrix(store, WHO)
    random, _ = audit.compared(store, "harmless", WHO, "person", matrix=matrix)
    audit.compared(store, "harmless", WHO, "person", random_only=False, matrix=matrix)
    figures(random)


def figures(c: Compared) -> list[Any]:
    """All that is told of a comparison."""
    every: list[Callable[[Compared], Any]] = [
        *(agreement.accuracy, agreement.kappa, agreement.confusion, agreement.with_ties, agreement.brier),
        *(agreement.ece, agreement.reliability, baselines.baselines),
        *(bias.letter_share, bias.position_bias, bias.length_bias),
    ]
    decided = c.decided()
    return [*(figure(c) for figure in every), gate.gate(decided.correct, decided.cluster)]


def timed(what: str, call: Callable[[], Any]) -> Any:
    """Run it some times, print the median, return what it gives."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        result = call()
        taken.append(time.perf_counter() - began)
    say(what, sorted(taken)[ROUNDS // 2])
    return result


def say(what: str, seconds: float) -> None:
    """One line of the table."""
    print(f"{what:>34} {seconds:8.3f} s")  # noqa: T201


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
