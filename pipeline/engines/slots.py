"""A slot for each running sequence, with its keys and values in place: column = position.

Nothing is moved as sequences grow. What ended keeps its slot until another needs it, so that a prompt goes
on from the longest beginning that any slot holds: a revision from its own critique, a critique from the
solved examples of another. Only the rest goes through the model.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

from pipeline.engines.decoding import AT_ONCE, Row
from pipeline.engines.sharing import only

WORTH = 64
"""Tokens in common for which a prompt waits until another has entered: about what a pass costs."""
COLUMNS = 128
"""Columns by which the slots grow."""


class Slots:
    """The sequences now in the model, and the logits of their next token, [rows, vocabulary] in fp32.

    Those that run have the first slots, in the order of `rows`.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.rows: list[Row] = []
        self.logits = torch.empty(0)
        # The token whose key a slot holds in each column, -1 for none.
        self.held = torch.empty(0, 0, dtype=torch.long)
        self.layers = [_Layer(self) for _ in DynamicCache(config=model.config).layers]
        self.cache = Cache(layers=list(self.layers))
        # Where the pass now in the model writes, columns [rows, tokens] of the slots from `first`, and how
        # many columns it sees.
        self.first, self.at, self.width = 0, self.held, 0

    def may_join(self, slots: int) -> bool:
        """Whether waiting rows should enter now: with few finished, a pass is not worth its pause."""
        return not self.rows or slots - len(self.rows) >= max(1, slots // 8)

    def join(self, waiting: list[Row], free: int) -> None:
        """Take the next of `waiting`, at most `free`; the running ones take their next token too."""
        first = len(self.rows)
        self._reserve(first + min(free, len(waiting)), 0)
        entering = self._entering(waiting[:free])
        if self.rows:
            self.step()
        for row in entering:
            waiting.remove(row)
            row.began = time.perf_counter()
        shared = self._place(entering)
        rests = [torch.tensor(row.ids[count:]) for row, count in zip(entering, shared, strict=True)]
        ids = torch.nn.utils.rnn.pad_sequence(rests, batch_first=True)
        last = torch.tensor([[len(row.ids) - 1] for row in entering])
        # Padding goes to the next free column of its row, which is written before it is seen.
        at = (torch.tensor(shared)[:, None] + torch.arange(ids.shape[1])).minimum(last + 1)
        with only(self.model.get_output_embeddings(), [(i, len(rest) - 1) for i, rest in enumerate(rests)]):
            [logits] = self._run(first, ids, at, last)
        self.logits = torch.cat([self.logits, logits]) if self.rows else logits
        self.rows += entering

    def step(self) -> None:
        """One token further for each row: the last one taken goes in, the next one's logits come out."""
        ids = torch.tensor([[row.new[-1]] for row in self.rows])
        at = torch.tensor([[len(row.ids) + len(row.new) - 1] for row in self.rows])
        self.logits = self._run(0, ids, at, at)[:, -1]

    def drop_finished(self) -> list[Row]:
        """Take finished rows out. Their slots hold what they held until others come."""
        done = [row for row in self.rows if row.finish]
        for row in done:
            slot, last = self.rows.index(row), len(self.rows) - 1
            self._swap(slot, last)
            self.rows[slot] = self.rows[last]
            self.rows.pop()
        return done

    def _entering(self, waiting: Sequence[Row]) -> list[Row]:
        """Those that go in with the next pass: at least one, and no more than a short pass.

        One that begins like another of them waits, to find that beginning computed.
        """
        entering: list[Row] = []
        longest = 0
        for row in waiting:
            shared = int(self._shared(row.ids).max(initial=0))
            if any(_alike(row.ids, other.ids) >= shared + WORTH for other in entering):
                continue
            longest = max(longest, len(row.ids) - shared)
            if entering and longest * (len(entering) + 1) > AT_ONCE:
                break
            entering.append(row)
        return entering

    def _shared(self, ids: list[int]) -> Any:
        """How much of a prompt each slot holds; its last token goes in anyhow, for its logits."""
        width = min(len(ids) - 1, self.held.shape[1])
        same = self.held[:, :width] == torch.tensor(ids[:width])
        return same.cumprod(1).sum(1).numpy()

    def _place(self, entering: Sequence[Row]) -> list[int]:
        """Give each row a slot after the running ones, which holds the beginning that is returned."""
        first = len(self.rows)
        found = [self._shared(row.ids) for row in entering]
        source = [int(shared.argmax()) for shared in found]
        counts = [int(shared.max()) for shared in found]
        # A slot in which nothing runs is gone on with, by the first who wants it; the others copy.
        slots: dict[int, int] = {}
        for i, slot in enumerate(source):
            if slot >= first and counts[i] and slot not in slots.values():
                slots[i] = slot
        free = iter(slot for slot in range(first, len(self.held)) if slot not in slots.values())
        for i in range(len(entering)):
            if i not in slots:
                slots[i] = next(free)
                self._copy(source[i], slots[i], counts[i])
        for i in range(len(entering)):  # side by side, after those that run
            target = first + i
            self._swap(slots[i], target)
            moved = next((k for k in range(i + 1, len(entering)) if slots[k] == target), None)
            if moved is not None:
                slots[moved] = slots[i]
            # What the slot held beyond came after another beginning.
            self.held[target, counts[i] :] = -1
        return counts

    def _copy(self, source: int, target: int, count: int) -> None:
        self.held[target] = -1
        self.held[target, :count] = self.held[source, :count]
        for kept in self._kept() if count else ():
            kept[target, :, :count] = kept[source, :, :count]

    def _swap(self, one: int, other: int) -> None:
        width = int((self.held[[one, other]] >= 0).sum(1).max())
        for kept in self._kept() if width and one != other else ():
            kept[[one, other], :, :width] = kept[[other, one], :, :width]
        self.held[[one, other]] = self.held[[other, one]]

    def _kept(self) -> Iterator[Tensor]:
        for layer in self.layers:
            yield from (layer.keys, layer.values)

    def _reserve(self, slots: int, columns: int) -> None:
        """Room for so many slots, and columns of each."""
        missing = columns - self.held.shape[1]
        more = (max(0, slots - len(self.held)), -(-max(0, missing) // COLUMNS) * COLUMNS)
        if any(more):
            self.held = torch.nn.functional.pad(self.held, (0, more[1], 0, more[0]), value=-1)
            for layer in self.layers:
                layer.grow()

    def _run(self, first: int, ids: Tensor, at: Tensor, last: Tensor) -> Tensor:
        """Logits after tokens [rows, tokens] that go to columns `at` of the slots from `first`.

        Those beyond a row's `last` column are padding: nothing sees them.
        """
        self._reserve(0, int(at.max()) + 1)
        rows = torch.arange(first, first + len(ids))[:, None]
        self.held[rows, at] = ids.masked_fill(at > last, -1)
        device = self.model.device
        self.first, self.at, self.width = first, at.to(device), int(at.max()) + 1
        sees = torch.arange(self.width, device=device) <= self.at[:, :, None]
        hidden = torch.zeros(sees.shape, dtype=self.model.dtype, device=device)
        out = self.model(
            input_ids=ids.to(device),
            attention_mask=hidden.masked_fill_(~sees, torch.finfo(hidden.dtype).min)[:, None],
            position_ids=at.minimum(last).to(device),
            cache=self.cache,
            use_cache=True,
        )
        logits: Tensor = out.logits.float()
        return logits


class _Layer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer, [slots, heads, columns, size], zero where nothing was written."""

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self.slots = slots

    def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
            self.keys, self.values = (x.new_zeros(0, x.shape[1], 0, x.shape[3]) for x in (keys, values))
            self.grow()
        first, at = self.slots.first, self.slots.at
        rows = torch.arange(first, first + len(at), device=at.device)[:, None]
        self.keys[rows, :, at] = keys.transpose(1, 2)
        self.values[rows, :, at] = values.transpose(1, 2)
        seen = slice(first, first + len(at)), slice(None), slice(self.slots.width)
        return self.keys[seen], self.values[seen]

    def grow(self) -> None:
        """Be as large as `held` says."""
        if self.is_initialized:
            self.keys, self.values = self._grown(self.keys), self._grown(self.values)

    def _grown(self, kept: Tensor) -> Tensor:
        slots, columns = self.slots.held.shape
        grown = kept.new_zeros(slots, kept.shape[1], columns, kept.shape[3])
        grown[: kept.shape[0], :, : kept.shape[2]] = kept
        return grown


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low
