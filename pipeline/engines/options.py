"""From log-probabilities of whole continuations to the share that each has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.engines import Context, Score

Scoring = Callable[[Sequence[Context], Sequence[str]], list[Score]]


def chosen(score: Scoring, contexts: Sequence[Context], options: Sequence[str]) -> list[list[float]]:
    """P(option) for each context: softmax over the options' summed log-probabilities."""
    every = [context for context in contexts for _ in options]
    scores = score(every, list(options) * len(contexts))
    logprobs = np.array([s.logprob for s in scores]).reshape(-1, len(options))
    weights = np.exp(logprobs - logprobs.max(axis=-1, keepdims=True))
    likely: list[list[float]] = (weights / weights.sum(axis=-1, keepdims=True)).tolist()
    return likely
