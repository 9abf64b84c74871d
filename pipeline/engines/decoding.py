"""One token at a time, for a batch whose slots are refilled as sequences finish.

Our own loop rather than `model.generate`: requests differ in sampling, seed and stop strings, each
streams, a cancel takes effect within one token, and a finished sequence gives its slot to the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from pipeline.engines import Cancelled, Completion, OnText, Sampling
from pipeline.records import Finish

PREFILL = 4096
"""Tokens that enter in one go: seconds on a processor, in which nothing is shown and no stop is heard."""


@dataclass
class Row:
    """A request on its way through the batch. `ids` is the prompt, `new` what was generated."""

    index: int
    ids: list[int]
    sampling: Sampling
    tokenizer: Any
    eos: frozenset[int]
    generator: torch.Generator
    new: list[int] = field(default_factory=list)
    text: str = ""
    sent: int = 0
    anchor: int = 0
    decoded: int = 0
    finish: Finish | None = None
    began: float = 0.0

    def take(self, token: int) -> str:
        """Append a token; return the text that may now be shown."""
        if token in self.eos:
            self.finish = "stop"
        else:
            self.new.append(token)
            self._decode()
            if self.finish is None and len(self.new) >= self.sampling.max_tokens:
                self.finish = "length"
        # Text that may yet turn out to be the beginning of a stop string waits.
        ready = len(self.text) if self.finish else len(self.text) - self._pending()
        shown, self.sent = self.text[self.sent : ready], max(ready, self.sent)
        return shown

    def _decode(self) -> None:
        # Decoding is not token by token: a character or a space can depend on the neighbours. So the
        # last settled piece is decoded again with what came since, and the difference is the new text.
        before = self._words(self.anchor, self.decoded)
        after = self._words(self.anchor, len(self.new))
        # Half of a character ends in U+FFFD: the next token completes it, or it is never shown. Both
        # ends of the piece are whole characters, so no window cuts one in its middle.
        if len(after) <= len(before) or after.endswith("\ufffd"):
            return
        self.text += after[len(before) :]
        self.anchor, self.decoded = self.decoded, len(self.new)
        cuts = [at for stop in self.sampling.stop if (at := self.text.find(stop)) >= 0]
        if cuts:
            self.text, self.finish = self.text[: min(cuts)], "stop"

    def _words(self, start: int, end: int) -> str:
        words: str = self.tokenizer.decode(
            self.new[start:end], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return words

    def _pending(self) -> int:
        longest = 0
        for stop in self.sampling.stop:
            for size in range(min(len(stop) - 1, len(self.text)), longest, -1):
                if self.text.endswith(stop[:size]):
                    longest = size
                    break
        return longest

    def completion(self) -> Completion:
        """What was generated, when it has finished."""
        finish = self.finish or "length"
        if finish != "cancelled" and not self.text.strip():
            finish = "empty"
        # A row that was cancelled while it waited has not begun.
        seconds = time.perf_counter() - self.began if self.began else 0.0
        return Completion(self.text, finish, len(self.new), seconds)


def decode(
    model: Any, waiting: list[Row], slots: int, pad: int, on_text: OnText, cancelled: Cancelled
) -> Iterator[Row]:
    """Generate for all rows, at most `slots` at a time; yields each row as it finishes.

    Takes rows from the front of `waiting`, to which the caller may add while it goes on.
    """
    batch = _Batch(model, pad)
    while waiting or batch.rows:
        if cancelled():
            rest = [*batch.rows, *waiting]
            waiting.clear()
            for row in rest:
                row.finish = "cancelled"
                yield row
            return
        if waiting and batch.may_join(slots):
            entering = _entering(waiting, slots - len(batch.rows))
            batch.join(waiting[:entering])
            del waiting[:entering]
        else:
            batch.step()
        tokens = sample(batch.logits, [row.sampling for row in batch.rows], [r.generator for r in batch.rows])
        for row, token in zip(batch.rows, tokens.tolist(), strict=True):
            if shown := row.take(token):
                on_text(row.index, shown)
        yield from batch.drop_finished()


def _entering(waiting: Sequence[Row], free: int) -> int:
    """How many may join at once: at least one, and no more than a short prefill."""
    tokens = 0
    for count, row in enumerate(waiting[:free]):
        tokens += len(row.ids)
        if count and tokens > PREFILL:
            return count
    return min(free, len(waiting))


class _Batch:
    """The sequences now in the model, their key-value cache, and the logits of their next token."""

    def __init__(self, model: Any, pad: int) -> None:
        self.model = model
        self.pad = pad
        self.rows: list[Row] = []
        self.logits = torch.empty(0)
        self.cache: Any = None
        self.mask = torch.empty(0)

    def may_join(self, slots: int) -> bool:
        """Whether waiting rows should enter now: with few finished, a prefill is not worth its pause."""
        if not self.rows:
            return True
        return self._growable() and slots - len(self.rows) >= max(1, slots // 8)

    def _growable(self) -> bool:
        # Only plain caches can be padded and joined; with others the batch runs out before the next.
        return all(type(layer) is DynamicLayer and layer.is_initialized for layer in self.cache.layers)

    def join(self, rows: Sequence[Row]) -> None:
        """Prefill new rows, and put them beside the running ones, which take their next token too."""
        if self.rows:
            self.step()
        for row in rows:
            row.began = time.perf_counter()
        cache = DynamicCache(config=self.model.config)
        mask, logits = prefill(self.model, [row.ids for row in rows], cache, self.pad)
        if self.rows:
            self.mask, self.cache = _beside(self.mask, self.cache, mask, cache)
            self.logits = torch.cat([self.logits, logits])
        else:
            self.mask, self.cache, self.logits = mask, cache, logits
        self.rows = [*self.rows, *rows]

    def step(self) -> None:
        """One token further for each row: the last one taken goes in, the next one's logits come out."""
        last = torch.tensor([[row.new[-1]] for row in self.rows], device=self.mask.device)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        out = self.model(
            input_ids=last,
            attention_mask=self.mask,
            position_ids=self.mask.sum(1, keepdim=True) - 1,
            cache=self.cache,
            use_cache=True,
        )
        self.logits = out.logits[:, -1].float()

    def drop_finished(self) -> list[Row]:
        """Take finished rows out of the batch and its cache."""
        done = [row for row in self.rows if row.finish]
        if done:
            keep = [i for i, row in enumerate(self.rows) if not row.finish]
            self.rows = [self.rows[i] for i in keep]
            if keep:
                chosen = torch.tensor(keep, device=self.mask.device)
                self.cache.batch_select_indices(chosen)
                self.mask, self.logits = self.mask[chosen], self.logits[chosen]
                self._trim()
            else:
                self.cache = None
        return done

    def _trim(self) -> None:
        # What only rows that are gone needed. Else a batch that is refilled for hours would grow with
        # each token, to far beyond its longest sequence.
        unused = int(self.mask.argmax(1).min())
        if unused * 4 >= self.mask.shape[1] and self._growable():
            self.mask = self.mask[:, unused:]
            for layer in self.cache.layers:
                layer.keys = layer.keys[..., unused:, :].contiguous()
                layer.values = layer.values[..., unused:, :].contiguous()


def prefill(
    model: Any, prompts: Sequence[Sequence[int]], cache: Any, pad: int, keep: int = 1
) -> tuple[Tensor, Tensor]:
    """Run prompts, padded on the left, through the model.

    Returns the mask [batch, length] and the logits in fp32: of the last position [batch, vocabulary],
    or for `keep` > 1 of the last `keep` positions [batch, keep, vocabulary].
    """
    longest = max(len(ids) for ids in prompts)
    device = model.device
    ids = torch.tensor([[pad] * (longest - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        cache=cache,
        use_cache=cache is not None,
        logits_to_keep=keep,
    )
    logits = out.logits[:, -keep:].float()
    return mask, logits[:, 0] if keep == 1 else logits


def _beside(mask: Tensor, cache: Any, new_mask: Tensor, new: Any) -> tuple[Tensor, Any]:
    """Two caches as one batch, the shorter padded on the left."""
    length = max(mask.shape[1], new_mask.shape[1])

    def left(x: Tensor, dim: int) -> Tensor:
        missing = length - x.shape[dim]
        shape = list(x.shape)
        shape[dim] = missing
        return torch.cat([x.new_zeros(shape), x], dim=dim) if missing else x

    for layer, other in zip(cache.layers, new.layers, strict=True):
        layer.keys = torch.cat([left(layer.keys, -2), left(other.keys, -2)])
        layer.values = torch.cat([left(layer.values, -2), left(other.values, -2)])
    return torch.cat([left(mask, 1), left(new_mask, 1)]), cache


def sample(logits: Tensor, samplings: Sequence[Sampling], generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one token per row, each with its own temperature, top-p and random stream.

    logits: fp32 [batch, vocabulary]. By inversion of the cumulative distribution, so that each row
    uses one uniform number however the batch is made up.
    """
    tokens = logits.argmax(-1)
    for i, (sampling, generator) in enumerate(zip(samplings, generators, strict=True)):
        if sampling.temperature <= 0:
            continue
        # Relative to the largest: divided by a tiny temperature, they would overflow.
        relative = logits[i].double() - logits[i].max()
        probabilities = torch.softmax(relative / sampling.temperature, -1)
        order = None
        if sampling.top_p < 1:
            probabilities, order = torch.sort(probabilities, descending=True, stable=True)
            # The smallest set whose mass reaches top_p: the first token always stays.
            before = probabilities.cumsum(-1) - probabilities
            probabilities = probabilities.masked_fill((before >= sampling.top_p) & (before > 0), 0.0)
        mass = probabilities.cumsum(-1)
        uniform = torch.rand((), generator=generator, dtype=torch.float64).to(mass.device)
        drawn = torch.searchsorted(mass, uniform * mass[-1], right=True).clamp(max=len(mass) - 1)
        tokens[i] = drawn if order is None else order[drawn]
    return tokens
