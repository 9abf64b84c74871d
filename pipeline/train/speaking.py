"""What a model says while it is being trained: on a processor by OpenVINO, of a copy with the adapter merged.

Compiling takes a few seconds; then eight answers get their next token in a fifth of transformers' time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.engines import Sampling, ignore, never


def answers(
    model: Any,
    tokenizer: Any,
    asked: Sequence[Sequence[int]],
    samplings: Sequence[Sampling],
    ends: frozenset[int],
) -> list[list[int]] | None:
    """The tokens of an answer to each prompt, with the one of `ends` that ended it, if one did.

    No random state but the samplings' own seeds is used. None where OpenVINO can't run the model, and in
    bf16, whose eight bits would lose much of what an adapter adds.
    """
    import torch

    from pipeline.engines.decoding import Row, decode
    from pipeline.engines.paged import PagedBatch, running

    if model.dtype != torch.float32 or (copy := running("the model in training", model)) is None:
        return None
    rows = [
        Row(i, list(ids), sampling, tokenizer, ends, torch.Generator().manual_seed(sampling.seed))
        for i, (ids, sampling) in enumerate(zip(asked, samplings, strict=True))
    ]
    with torch.no_grad():
        done = sorted(
            decode(PagedBatch(copy), list(rows), len(rows), ignore, never), key=lambda row: row.index
        )
    return [row.new if row.end is None else [*row.new, row.end] for row in done]
