"""Log-probabilities of given continuations by a paged model: what begins alike goes through it once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipeline.engines import Score
from pipeline.engines.paged import PagedModel
from pipeline.engines.sharing import Pair

WINDOW = 256
"""Texts among which the next pass is chosen."""


@dataclass
class Text:
    """Tokens that go in, and the sequences that are asked of them: (index, tokens that are to follow)."""

    ids: list[int]
    asked: list[tuple[int, list[int]]] = field(default_factory=list)

    @property
    def wanted(self) -> int:
        """After how many of the last tokens logits are wanted."""
        return max(len(after) for _, after in self.asked)


def score(model: PagedModel, pairs: Sequence[Pair], logits: int) -> list[Score]:
    """Score continuations after their contexts; holds at most about so many logits at once."""
    texts: dict[tuple[int, ...], Text] = {}
    for i, (before, after) in enumerate(pairs):
        # The last token of a sequence predicts nothing: those that differ in it alone are one.
        ids = before + after[:-1]
        texts.setdefault(tuple(ids), Text(ids)).asked.append((i, after))
    waiting = [texts[key] for key in sorted(texts)]
    room = logits // model.vocabulary
    scores: dict[int, Score] = {}
    while waiting:
        places = model.entering([text.ids for text in waiting[:WINDOW]])
        entering = _within(room, [waiting[i] for i in places])
        for text in entering:
            waiting.remove(text)
        scores.update(_scored(model, entering))
    return [scores[i] for i in range(len(pairs))]


def _within(room: int, texts: Sequence[Text]) -> list[Text]:
    """As many as have no more logits than there is room for; at least one."""
    count, total = 0, 0
    while count < len(texts) and (not count or total + texts[count].wanted <= room):
        total += texts[count].wanted
        count += 1
    return list(texts[:count])


def _scored(model: PagedModel, texts: Sequence[Text]) -> dict[int, Score]:
    passages = [model.begin(text.ids, text.wanted) for text in texts]
    computed = [len(text.ids) - passage.done for text, passage in zip(texts, passages, strict=True)]
    try:
        rows = model.logits(passages, [text.wanted for text in texts])
    finally:
        for passage in passages:
            model.blocks.leave(passage.blocks)
    found: dict[int, Score] = {}
    parts: tuple[Tensor, ...] = torch.split(rows, [text.wanted for text in texts])
    for text, new, logits in zip(texts, computed, parts, strict=True):
        for index, after in text.asked:
            logprob = _logprob(logits[-len(after) :], after)
            found[index] = Score(logprob, len(after), new, len(text.ids) - new)
            new = 0  # for the others of the same text it was computed already
    return found


def _logprob(logits: Tensor, after: Sequence[int]) -> float:
    chosen = logits.gather(1, torch.tensor(after)[:, None])[:, 0]
    return float((chosen - logits.logsumexp(-1)).double().sum())
