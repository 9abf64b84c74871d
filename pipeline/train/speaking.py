"""What a model says while it is being trained: on a processor by OpenVINO, of a copy with the adapter merged.

Compiling takes a few seconds; then eight answers get their next token in a fifth of transformers' time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.engines import Sampling, ignore, never
from pipeline.growing import say

SLOTS = 48
"""Answers that are written at once."""


class Speaker:
    """Has OpenVINO write for a model in training, until that can't: then transformers is to, to the end.

    Not in bf16, whose eight bits would lose much of what an adapter adds.
    """

    def __init__(self) -> None:
        from pipeline.engines.transformers import fast_in_bf16

        self.able = not fast_in_bf16("cpu")

    def answers(
        self, model: Any, tokenizer: Any, asked: Sequence[Sequence[int]], samplings: Sequence[Sampling]
    ) -> list[list[int]] | None:
        """The tokens of an answer to each prompt, with the one that ended it, if one did; None: it can't.

        No random state but the samplings' own seeds is used.
        """
        import torch

        from pipeline.engines.decoding import Row, decode
        from pipeline.engines.encoding import ends
        from pipeline.engines.paged import PagedBatch, running

        if not self.able:
            return None
        training = model.training
        model.eval()  # dropout would make other logits, and move the random state
        try:
            # Of weights that are trained whole it is no copy: not to be used after this call.
            paged = running("the model in training", model)
        finally:
            model.train(training)
        if paged is None:
            self.able = False
            say("transformers writes the answers, as OpenVINO can't run this model here: see `cai doctor`")
            return None
        end = ends(model.generation_config, tokenizer)
        rows = [
            Row(i, list(ids), sampling, tokenizer, end, torch.Generator().manual_seed(sampling.seed))
            for i, (ids, sampling) in enumerate(zip(asked, samplings, strict=True))
        ]
        with torch.no_grad():
            done = list(decode(PagedBatch(paged), rows, SLOTS, ignore, never))
        done.sort(key=lambda row: row.index)
        return [row.new if row.end is None else [*row.new, row.end] for row in done]
