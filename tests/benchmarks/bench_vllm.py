"""Tokens a second of 64 prompts: vLLM driven directly, our engine on it, and torch; in one sitting.

python tests/benchmarks/bench_vllm.py [MODEL]: on a GPU, or on a processor with the build for these.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from pipeline import models
from pipeline.engines import Context, Request, Sampling
from pipeline.engines.transformers import TransformersEngine
from pipeline.engines.vllm import VllmEngine
from pipeline.prompts import starter

PROMPTS, TOKENS = 64, 64


def timed(name: str, write: Callable[[], int]) -> float:
    """Tokens a second, of the best of three."""
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        best = max(best, write() / (time.perf_counter() - began))
    print(f"{name:12} {best:10,.0f} tokens/s", flush=True)  # noqa: T201
    return best


def main(model: str = "bundled") -> None:
    """Print the three, and our part of the first."""
    os.environ.setdefault("CAI_VLLM", "1")
    files = models.weights(model)
    ours = VllmEngine(model, files)
    asked = [Context(messages=prompt.messages) for prompt in starter("red_team")[:PROMPTS]]
    requests = [Request(context, Sampling(TOKENS, temperature=0.0)) for context in asked]
    prompts = [ours.encoder.encode(context) for context in asked]

    def raw() -> int:
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input

        llm = ours.base.llm
        for i, ids in enumerate(prompts):
            how = SamplingParams(
                max_tokens=TOKENS, temperature=0.0, stop_token_ids=sorted(ours.ends), detokenize=False
            )
            llm.add_request(f"raw {i}", tokens_input(ids), how)
        count = 0
        while llm.has_unfinished_requests():
            count += sum(len(o.outputs[0].token_ids) for o in llm.step() if o.finished)
        return count

    def by(engine: VllmEngine | TransformersEngine) -> int:
        return sum(completion.tokens for completion in engine.generate(requests))

    direct = timed("vllm", raw)
    engine = timed("ours on it", lambda: by(ours))
    torch = TransformersEngine(model, openvino=False)
    plain = timed("torch", lambda: by(torch))
    print(f"{engine / direct:.2f} of vLLM's own, {engine / plain:.1f} times torch, on {ours.info.device}")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
