"""Which examples are learnt together: those of like length, and with each those that stand beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def together(names: Sequence[str]) -> list[list[int]]:
    """The places of the names, those of one name in one list; an empty name stands alone."""
    groups: dict[str | int, list[int]] = {}
    for place, name in enumerate(names):
        groups.setdefault(name or place, []).append(place)
    return list(groups.values())


def beside(trainer: type, names: Sequence[str], lengths: Sequence[int]) -> type:
    """The trainer, made so that rows of one name are in one batch, and its batches of like lengths.

    `names` and `lengths` (in tokens) are its rows'. On a processor padding costs as much as text.
    """
    from torch.utils.data import Sampler
    from transformers.trainer_pt_utils import LengthGroupedSampler

    class Beside(Sampler[int]):
        """The rows of the groups that another sampler draws."""

        def __init__(self, groups: Sequence[Sequence[int]], drawing: Any) -> None:
            self.groups, self.drawing = groups, drawing

        @property
        def generator(self) -> Any:
            return self.drawing.generator

        @generator.setter
        def generator(self, generator: Any) -> None:
            self.drawing.generator = generator

        def __len__(self) -> int:
            return sum(map(len, self.groups))

        def __iter__(self) -> Iterator[int]:
            return (row for group in self.drawing for row in self.groups[group])

    class InGroups(trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            groups = together(names)
            longest = [max(lengths[row] for row in group) for group in groups]
            at_once = self.args.train_batch_size * self.args.gradient_accumulation_steps
            return Beside(groups, LengthGroupedSampler(at_once, lengths=longest))

    InGroups.__name__ = trainer.__name__
    return InGroups
