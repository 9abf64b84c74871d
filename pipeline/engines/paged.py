"""Sequences whose keys and values lie in blocks that all of them share, as OpenVINO's paged attention has it.

What new prompts and running sequences need goes through the model in one pass. A block that was filled is
known by all tokens up to its end, so that a prompt begins with those that another one left.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.engines.decoding import Row
from pipeline.engines.graph import compiled, fits, ov

log = logging.getLogger(__name__)

BLOCK = 32
"""Tokens in a block: fixed by OpenVINO on processors."""
AT_ONCE = 1024
"""Prompt tokens in one pass, about: a second or two, in which nothing is shown and no stop is heard.

A longer prompt goes in by pieces of so many.
"""


class Blocks:
    """Who uses which block, and which beginning a full one ends. Unused, it is known until others need it."""

    def __init__(self) -> None:
        self.users: list[int] = []
        self._free: list[int] = []
        self._known: OrderedDict[bytes, int] = OrderedDict()  # the longest unused first
        self._key: dict[int, bytes] = {}

    def add(self, count: int) -> None:
        """Have so many more."""
        self._free += range(len(self.users), len(self.users) + count)
        self.users += [0] * count

    def knows(self, key: bytes) -> bool:
        """Whether some block ends the beginning that has this key."""
        return key in self._known

    def take(self, key: bytes) -> int | None:
        """Use the block that ends this beginning, if there is one."""
        block = self._known.get(key)
        if block is not None:
            self.users[block] += 1
        return block

    def new(self) -> int | None:
        """Use a block for other tokens; None where all are in use."""
        block = self._free.pop() if self._free else self._forgotten()
        if block is not None:
            self.users[block] = 1
        return block

    def _forgotten(self) -> int | None:
        key = next((key for key, block in self._known.items() if not self.users[block]), None)
        if key is None:
            return None
        block = self._known.pop(key)
        del self._key[block]
        return block

    def know(self, key: bytes, block: int) -> None:
        """This block, which is full, ends this beginning."""
        if key not in self._known and block not in self._key:
            self._known[key] = block
            self._key[block] = key

    def leave(self, blocks: Sequence[int]) -> None:
        """Use them no more. The end of a text is forgotten before its beginning, which others may share."""
        for block in reversed(blocks):
            self.users[block] -= 1
            if not self.users[block]:
                if (key := self._key.get(block)) is None:
                    self._free.append(block)
                else:
                    self._known.move_to_end(key)


def keys(ids: Sequence[int]) -> Iterator[bytes]:
    """A key for each beginning of whole blocks."""
    before = b""
    for start in range(0, len(ids) - BLOCK + 1, BLOCK):
        tokens = np.array(ids[start : start + BLOCK], np.int64).tobytes()
        before = hashlib.blake2b(before + tokens, digest_size=16).digest()
        yield before


@dataclass
class Passage:
    """The tokens of a prompt and of its answer; the first `done` have their keys in `blocks`."""

    ids: list[int]
    blocks: list[int] = field(default_factory=list)
    done: int = 0


class PagedModel:
    """A compiled model with its blocks, which outlive a batch: the next turn of a chat begins with them.

    Not for threads: one batch at a time.
    """

    def __init__(self, model: Any, exact: bool = False) -> None:
        """Build and compile it, in seconds; `exact` in fp32. Raises ValueError where its logits are not those
        of torch."""
        self.compiled = compiled(model, exact)
        self.request = self.compiled.create_infer_request()
        self.blocks = Blocks()
        self.vocabulary = model.get_output_embeddings().weight.shape[0]
        names = [port.get_any_name() for port in self.compiled.inputs]
        self.caches: dict[str, ov.Tensor] = {name: None for name in names if "_cache." in name}
        if (off := self.off(model)) > (1e-2 if model.dtype == torch.float32 else 1.0):
            raise ValueError(f"its logits are not those of torch, by {off:.2g}")

    def off(self, model: Any) -> float:
        """How far the logits are from the model's own: after a prompt, and after a token more."""
        # Words, and no special tokens: a model never saw most of these, and in bf16 says anything of them.
        ids = [(1000 + 7 * i) % self.vocabulary for i in range(72)]
        with torch.inference_mode():
            expected = model(input_ids=torch.tensor([ids])).logits[0, -2:].float()
        passage = Passage(ids[:-1])
        prompt = self.logits([passage])
        passage.ids.append(ids[-1])
        found = torch.cat([prompt, self.logits([passage])])
        self.blocks.leave(passage.blocks)
        return float((expected - found).abs().max())

    def logits(self, passages: Sequence[Passage], wanted: Sequence[int] | None = None) -> Tensor:
        """Compute what is new in each; logits after its last token, fp32 [passages, vocabulary].

        Or after so many of its last tokens as `wanted` says, [sum of them, vocabulary].
        """
        ids: list[int] = []
        positions: list[int] = []
        blocks: list[int] = []
        begins, starts = [0], [0]
        counts = wanted or [1] * len(passages)
        for passage in passages:
            while len(passage.blocks) * BLOCK < len(passage.ids):
                passage.blocks.append(self._block())
            ids += passage.ids[passage.done :]
            positions += range(passage.done, len(passage.ids))
            blocks += passage.blocks
            begins.append(len(ids))
            starts.append(len(blocks))
        inputs: dict[str, NDArray[Any]] = {
            "input_ids": np.array(ids, np.int64),
            "position_ids": np.array(positions, np.int64),
            "past_lens": np.array([p.done for p in passages], np.int32),
            "subsequence_begins": np.array(begins, np.int32),
            "block_indices": np.array(blocks, np.int32),
            "block_indices_begins": np.array(starts, np.int32),
            "max_context_len": np.array(max(len(p.ids) for p in passages), np.int32),
            "sampled_tokens_indices": np.concatenate(
                [np.arange(end - many, end) for end, many in zip(begins[1:], counts, strict=True)]
            ),
        }
        for name, value in inputs.items():
            self.request.set_tensor(name, ov.Tensor(value))
        self.request.infer()
        for passage in passages:
            self._know(passage)
        # Its memory is the next pass's too.
        return torch.from_numpy(self.request.get_output_tensor(0).data[:, 0].astype(np.float32, copy=True))

    def begin(self, ids: Sequence[int], wanted: int = 1) -> Passage:
        """A text with the beginning that blocks have, but for its last `wanted` tokens: for their logits."""
        passage = Passage(list(ids))
        for key in keys(ids[: len(ids) - wanted]):
            if (block := self.blocks.take(key)) is None:
                break
            passage.blocks.append(block)
        passage.done = len(passage.blocks) * BLOCK
        return passage

    def entering(self, texts: Sequence[Sequence[int]]) -> list[int]:
        """Which of these go in with the next pass: at least one, and no more than a short pass.

        One that begins like another of them waits, to find that beginning computed.
        """
        entering: list[int] = []
        coming: set[bytes] = set()
        tokens = 0
        for i, ids in enumerate(texts):
            missing = self._missing(ids[:-1])
            if missing and missing[0] in coming:
                continue
            tokens += (len(missing) + 1) * BLOCK
            if entering and tokens > AT_ONCE:
                break
            entering.append(i)
            coming.update(missing)
        return entering

    def _missing(self, ids: Sequence[int]) -> list[bytes]:
        """The keys of what of a beginning has to be computed."""
        every = list(keys(ids))
        known = next((i for i, key in enumerate(every) if not self.blocks.knows(key)), len(every))
        return every[known:]

    def _know(self, passage: Passage) -> None:
        if passage.done // BLOCK < len(passage.ids) // BLOCK:
            for key, block in zip(keys(passage.ids), passage.blocks, strict=False):
                self.blocks.know(key, block)
        passage.done = len(passage.ids)

    def _block(self) -> int:
        while (block := self.blocks.new()) is None:
            self._grow()
        return block

    def _grow(self) -> None:
        old = len(self.blocks.users)
        new = max(64, old * 3 // 2)
        grown: dict[str, ov.Tensor] = {}  # all or none: there may not be the memory
        for name, kept in self.caches.items():
            port = self.compiled.input(name)
            shape = [new, *(axis.get_length() for axis in list(port.get_partial_shape())[1:])]
            grown[name] = ov.Tensor(port.get_element_type(), ov.Shape(shape))
            if kept is not None:
                origin, end = ov.Coordinate([0] * len(shape)), ov.Coordinate([old, *shape[1:]])
                kept.copy_to(ov.Tensor(grown[name], origin, end))
        for name, tensor in grown.items():
            self.request.set_tensor(name, tensor)
        self.caches = grown
        self.blocks.add(new - old)


def running(name: str, model: Any, exact: bool = False) -> PagedModel | None:
    """A model as OpenVINO runs it, where that can, has the memory for it, and says the same as torch.

    `exact`: in fp32, whatever the weights are kept in.
    """
    try:
        return PagedModel(model, exact) if fits(model) else None
    except (RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
        # Whichever way it says that it can't: weights of another build, an operation, other logits.
        log.warning("%s: torch runs it, as OpenVINO can't: %r", name, error)
        return None


class PagedBatch:
    """The sequences now in a paged model, and the logits of their next token."""

    def __init__(self, model: PagedModel) -> None:
        self.model = model
        self.rows: list[Row] = []
        self.logits = torch.empty(0)
        self._passages: list[Passage] = []
        # Of a batch that nobody went on with.
        model.blocks.leave([block for block, users in enumerate(model.blocks.users) for _ in range(users)])

    def may_join(self, slots: int) -> bool:
        return len(self.rows) < slots  # new ones go in together with the running ones

    def join(self, waiting: list[Row], free: int) -> None:
        for row, passage in zip(self.rows, self._passages, strict=True):
            passage.ids.append(row.new[-1])
        pieces: list[Passage] = []
        for row in [waiting[i] for i in self.model.entering([row.ids for row in waiting[:free]])]:
            row.began = row.began or time.perf_counter()
            passage = self.model.begin(row.ids)
            if len(row.ids) - passage.done > AT_ONCE:
                # It waits on, and begins with this piece the next time.
                del passage.ids[passage.done + AT_ONCE :]
                pieces.append(passage)
            else:
                waiting.remove(row)
                self.rows.append(row)
                self._passages.append(passage)
        self.logits = self.model.logits([*self._passages, *pieces])[: len(self.rows)]
        for piece in pieces:
            self.model.blocks.leave(piece.blocks)

    def step(self) -> None:
        self.join([], 0)

    def drop_finished(self) -> list[Row]:
        done = [row for row in self.rows if row.finish]
        if done:
            running = [i for i, row in enumerate(self.rows) if not row.finish]
            for row, passage in zip(self.rows, self._passages, strict=True):
                if row.finish:
                    self.model.blocks.leave(passage.blocks)
            self.rows = [self.rows[i] for i in running]
            self._passages = [self._passages[i] for i in running]
        return done
