"""What of the bundled model's states tells the better of two of its answers, by layer and number of pairs.

python tests/benchmarks/bench_states.py

The states are means over each answer of `said-harmless` and `said-helpful`, which a language model read
blind; what learns from them is the regression of `cai pm --tuning head`, at one strength. Shares are of pairs
whose prompts it did not learn from, in five parts; mean and deviation over draws. A quarter of an hour on two
cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from pipeline import written
from pipeline.engines.transformers import TransformersEngine
from pipeline.train.examples import Row, answered
from pipeline.train.head import FOLDS, regression

LAYERS = (6, 10, 15, 20, 25, 30)
READ = 15
"""The layer that `--tuning head` reads: the upper half is left out."""
STRENGTH, DRAWS, AT_ONCE = 1e-3, 3, 16
SIZES = (64, 128, 256, 512, 1024)


def main() -> None:
    """Print a line for each layer and size."""
    engine = TransformersEngine("bundled", openvino=False, dtype=torch.float32)
    for name in ("said-harmless", "said-helpful"):
        pairs = written.judged(name)
        sides = [side for one in pairs for side in ((one.messages, one.better), (one.messages, one.worse))]
        found = states(engine, [answered(engine.encoder, *side) for side in sides])
        prompts = [one.as_pair().prompt_id for one in pairs]
        for layer, of in zip(LAYERS, found, strict=True):
            scale = of.std(0) + 1e-6
            d = (of[0::2] - of[1::2]) / scale
            print(f"{name}, layer {layer}: {share(d, prompts)}", flush=True)  # noqa: T201
            if layer == READ:
                for many in SIZES:
                    if many < len(d) * (1 - 1 / FOLDS):
                        print(f"{name}, {many} pairs: {share(d, prompts, many)}", flush=True)  # noqa: T201


def states(engine: Any, rows: Sequence[Row]) -> NDArray[np.float32]:
    """The mean states over each answer: shape (layers, rows, width)."""
    width = engine.model.config.hidden_size
    found = np.zeros((len(LAYERS), len(rows), width), np.float32)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    for some in (order[i : i + AT_ONCE] for i in range(0, len(order), AT_ONCE)):
        longest = max(len(rows[i][0]) for i in some)
        ids = torch.tensor([rows[i][0] + [0] * (longest - len(rows[i][0])) for i in some])  # causal: no mask
        with torch.inference_mode():
            out = engine.model.model(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
            # As a head has them that reads so many layers. The last one's are normed already.
            normed = {layer: engine.model.model.norm(out[layer]) for layer in LAYERS[:-1]}
            normed[LAYERS[-1]] = out[-1]
        for place, i in enumerate(some):
            said, begins = rows[i]
            for at, layer in enumerate(LAYERS):
                found[at, i] = normed[layer][place, begins : len(said)].mean(0)
    return found


def share(d: NDArray[np.float32], prompts: Sequence[str], many: int = 0) -> str:
    """The percent of pairs whose better response is picked after so many others; 0: after all others."""
    found = []
    for draw in range(DRAWS):
        parts = GroupKFold(FOLDS, shuffle=True, random_state=draw).split(d, groups=prompts)
        right = 0
        for train, test in parts:
            some = np.random.default_rng(draw).permutation(train)[: many or None]
            right += int((d[test] @ regression(d[some], np.ones(len(some)), STRENGTH) > 0).sum())
        found.append(100 * right / len(d))
    return f"{np.mean(found):.1f} ± {np.std(found):.1f}%"


if __name__ == "__main__":
    main()
