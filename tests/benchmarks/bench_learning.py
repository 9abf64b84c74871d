"""What pairs teach the bundled model, by how many they are: a linear probe of its middle layer.

python tests/benchmarks/bench_learning.py MEASURED [MORE ...]

A logistic regression on the difference of both responses' states (of layer 15, the mean over the response's
tokens) learns from the project's own pairs of harmlessness, and from each file of people's; how often it
picks the better one is measured on the pairs of MEASURED, by people, and on the project's reserved ones, by
prompts that it did not learn from. Nothing is trained but 576 weights, so that a curve takes seconds;
computing the states takes a minute for 100 pairs on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipeline import comparisons, written
from pipeline.engines.transformers import TransformersEngine
from pipeline.records import Message, Pair
from pipeline.train.examples import answered

LAYER, STRENGTH = 15, 1e-4
LONGEST = 320
"""Tokens of a conversation's end that are looked at."""
DRAWS = 20

Judged = tuple[Pair, bool]
"""A pair, and whether response a is the better one."""
States = NDArray[np.float32]
"""[pairs, hidden]: of the better response less those of the other."""


def main(measured: str, *more: str) -> None:
    """Print a line for each set and size."""
    engine = TransformersEngine("bundled", openvino=False, dtype=torch.float32)
    tested = of_people(Path(measured)), own(True, "hp")
    prompts = {pair.prompt_id for some in tested for pair, _ in some}
    tests = [states(engine, some) for some in tested]

    def taught(pairs: list[Judged]) -> States:
        return states(engine, [(pair, a) for pair, a in pairs if pair.prompt_id not in prompts])

    first, chats = taught(own(False, "hp")), taught(own(False, "hc"))
    sets = {"the project's first": first, "its plain chats": chats, "both": np.concatenate([first, chats])}
    on = " ".join(
        f"{name} ({len(test)})".rjust(16) for name, test in zip(("people's", "reserved"), tests, strict=True)
    )
    print(f"{'learnt from':30} {'pairs':>5} {on}")  # noqa: T201
    for name, some in (*sets.items(), *((path, taught(of_people(Path(path)))) for path in more)):
        for many in sizes(len(some)):
            shares = " ".join(f"{share(some, many, test):>16}" for test in tests)
            print(f"{name[-30:]:30} {many:5} {shares}", flush=True)  # noqa: T201


def own(reserved: bool, begin: str) -> list[Judged]:
    """The project's pairs of harmlessness whose ids begin so."""
    some = [p for p in written.judged("harmless") if p.reserved == reserved and p.id.startswith(begin)]
    return [(pair, pair.response_a == p.better) for p in some for pair in [p.as_pair()]]


def of_people(path: Path) -> list[Judged]:
    """The pairs of a file that people chose one response of."""
    found = comparisons.read(path, "harmless")
    pairs = {pair.id: pair for pair in found.pairs}
    return [(pairs[j.pair_id], j.choice == "a") for j in found.judgments if j.choice in ("a", "b")]


def states(engine: Any, judged: Iterable[Judged]) -> States:
    """How the model holds the better response, less how it holds the other."""
    rows = []
    for pair, a in judged:
        sides = (pair.response_a, pair.response_b) if a else (pair.response_b, pair.response_a)
        better, worse = (state(engine, pair.messages, side) for side in sides)
        rows.append(better - worse)
    return np.array(rows)


def state(engine: Any, messages: tuple[Message, ...], response: str) -> States:
    """The mean over a response's tokens."""
    ids, start = answered(engine.encoder, messages, response)
    cut = max(0, len(ids) - LONGEST)
    with torch.inference_mode():
        out = engine.model.model(
            input_ids=torch.tensor([ids[cut:]], device=engine.model.device), output_hidden_states=True
        )
    found: States = out.hidden_states[LAYER][0, max(1, start - cut) :].mean(0).cpu().numpy()
    return found


def share(taught: States, many: int, test: States) -> str:
    """The percent of `test` that so many pairs teach to pick: mean and deviation over draws of them."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(DRAWS if many < len(taught) else 1):
        some = taught[draw.permutation(len(taught))[:many]]
        scale = some.std(0) + 1e-3
        both = np.concatenate([some, -some]) / scale
        probe = LogisticRegression(C=STRENGTH, fit_intercept=False, max_iter=300)
        probe.fit(both, np.repeat([1, 0], many))
        found.append(100 * float(((test / scale) @ probe.coef_[0] > 0).mean()))
    spread = f" ± {np.std(found):.1f}" if len(found) > 1 else ""
    return f"{np.mean(found):.1f}{spread}"


def sizes(most: int) -> list[int]:
    """A sixteenth to all of them."""
    return sorted({most // 2**k for k in range(5) if most // 2**k >= 20})


if __name__ == "__main__":
    main(*sys.argv[1:])
