"""Examples that are each other's contrast are learnt in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pipeline.train import batches


class Trainer:
    """What of a trainer the sampler reads."""

    class args:
        train_batch_size, gradient_accumulation_steps = 2, 2


def drawn(names: Sequence[str], lengths: Sequence[int]) -> list[int]:
    trainer: Any = batches.beside(Trainer, names, lengths)()
    sampler = trainer._get_train_sampler()
    sampler.generator = torch.Generator().manual_seed(0)
    assert len(sampler) == len(names)
    return list(sampler)


def test_rows_of_one_name_follow_each_other_and_none_is_lost() -> None:
    order = drawn(["x", "", "y", "x", "", "y"], [5, 9, 7, 5, 1, 6])
    assert sorted(order) == list(range(6))
    assert order[order.index(0) + 1] == 3
    assert order[order.index(2) + 1] == 5


def test_batches_are_of_like_lengths() -> None:
    lengths = [i * 37 % 101 for i in range(100)]
    order = drawn([""] * 100, lengths)
    spread = [
        max(few) - min(few) for few in ([lengths[i] for i in order[n : n + 4]] for n in range(0, 100, 4))
    ]
    assert sorted(spread)[len(spread) // 2] <= 20  # of four drawn at random some 60
