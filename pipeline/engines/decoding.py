"""One token at a time, for a batch whose slots are refilled as sequences finish.

Our own loop rather than `model.generate`: requests differ in sampling, seed and stop strings, each
streams, a cancel takes effect within one token, and a finished sequence gives its slot to the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from pipeline.engines import Cancelled, Completion, OnText, Sampling
from pipeline.records import Finish

AT_ONCE = 4096
"""Tokens that enter in one pass: seconds on a processor, in which nothing is shown and no stop is heard."""


@dataclass
class Row:
    """A request on its way through the batch. `ids` is the prompt, `new` what was generated.

    Its tokens are drawn by `generator`, but where an engine draws by itself.

    `end` is the token that ended it, if one did: no part of its text.
    """

    index: int
    ids: list[int]
    sampling: Sampling
    tokenizer: Any
    eos: frozenset[int]
    generator: torch.Generator = field(default_factory=torch.Generator)
    new: list[int] = field(default_factory=list)
    text: str = ""
    sent: int = 0
    anchor: int = 0
    decoded: int = 0
    finish: Finish | None = None
    end: int | None = None
    began: float = 0.0

    def take(self, token: int) -> str:
        """Append a token; return the text that may now be shown."""
        if token in self.eos:
            self.finish, self.end = "stop", token
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
    batch: Batch, waiting: list[Row], slots: int, on_text: OnText, cancelled: Cancelled
) -> Iterator[Row]:
    """Generate for all rows, at most `slots` at a time; yields each row as it finishes.

    Takes rows from `waiting`, about from its front, to which the caller may add while it goes on.
    """
    while waiting or batch.rows:
        if cancelled():
            rest = [*batch.rows, *waiting]
            waiting.clear()
            for row in rest:
                row.finish = "cancelled"
                yield row
            return
        if waiting and batch.may_join(slots):
            batch.join(waiting, slots - len(batch.rows))
        else:
            batch.step()
        tokens = sample(batch.logits, [row.sampling for row in batch.rows], [r.generator for r in batch.rows])
        for row, token in zip(batch.rows, tokens.tolist(), strict=True):
            if shown := row.take(token):
                on_text(row.index, shown)
        yield from batch.drop_finished()


class Batch(Protocol):
    """The sequences now in the model, and the logits of their next token, [rows, vocabulary] in fp32."""

    logits: Tensor

    @property
    def rows(self) -> Sequence[Row]:
        """Those that run."""

    def may_join(self, slots: int) -> bool:
        """Whether waiting rows should enter now."""

    def join(self, waiting: list[Row], free: int) -> None:
        """Take the next of `waiting`, at most `free`; the running ones take their next token too."""

    def step(self) -> None:
        """One token further for each row: the last one taken goes in, the next one's logits come out."""

    def drop_finished(self) -> list[Row]:
        """Take finished rows out."""


class Rounds:
    """A batch for models whose keys are not plainly kept: the next one begins when all of it has ended."""

    def __init__(self, model: Any, pad: int) -> None:
        self.model = model
        self.pad = pad
        self.rows: list[Row] = []
        self.logits = torch.empty(0)
        self.cache: Any = None
        self.mask = torch.empty(0)

    def may_join(self, slots: int) -> bool:
        return not self.rows

    def join(self, waiting: list[Row], free: int) -> None:
        self.rows = waiting[: max(1, min(free, AT_ONCE // max(len(row.ids) for row in waiting[:free])))]
        del waiting[: len(self.rows)]
        for row in self.rows:
            row.began = time.perf_counter()
        self.cache = DynamicCache(config=self.model.config)
        self.mask, self.logits = prefill(self.model, [row.ids for row in self.rows], self.cache, self.pad)

    def step(self) -> None:
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
        done = [row for row in self.rows if row.finish]
        if done:
            keep = [i for i, row in enumerate(self.rows) if not row.finish]
            self.rows = [self.rows[i] for i in keep]
            if keep:
                chosen = torch.tensor(keep, device=self.mask.device)
                self.cache.batch_select_indices(chosen)
                self.mask, self.logits = self.mask[chosen], self.logits[chosen]
        return done


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


def sample(logits: Tensor, samplings: Sequence[Sampling], generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one token per row, each with its own temperature, top-p and random stream.

    logits: fp32 [batch, vocabulary]. By inversion of the cumulative distribution, so that each row
    uses one uniform number however the batch is made up.
    """
    tokens = torch.empty(len(samplings), dtype=torch.long, device=logits.device)
    greedy = [i for i, sampling in enumerate(samplings) if sampling.temperature <= 0]
    whole = [i for i, sampling in enumerate(samplings) if sampling.temperature > 0 and sampling.top_p >= 1]
    cut = [i for i, sampling in enumerate(samplings) if sampling.temperature > 0 and sampling.top_p < 1]

    def each(numbers: Iterable[float]) -> Tensor:
        return torch.tensor(list(numbers), dtype=torch.float64, device=logits.device)[:, None]

    if greedy:
        tokens[greedy] = logits[greedy].argmax(-1)
    for rows, draw in ((whole, _of_all), (cut, _of_the_most_likely)):
        if rows:
            temperature = each(samplings[i].temperature for i in rows)
            top_p = each(samplings[i].top_p for i in rows)
            # The draws are on the processor on every device: the same seed, the same stream.
            uniform = each(torch.rand((), generator=generators[i], dtype=torch.float64).item() for i in rows)
            tokens[rows] = draw(_weights(logits[rows], temperature), top_p, uniform)
    return tokens


def _weights(logits: Tensor, temperature: Tensor) -> Tensor:
    """What each token's probability is proportional to: 1 for the most likely one. Overwrites the logits.

    By passes over all of a vocabulary: a fourth of a step's time, were they in fp64.
    """
    logits -= logits.amax(-1, keepdim=True)
    # Relative to the largest, and by no less than fp32 holds: by a tiny one they would overflow. What no draw
    # reaches stays above the numbers that a processor is slow with.
    return logits.div_(temperature.clamp(min=1e-30).float()).clamp_(min=-80).exp_()


def _of_all(weights: Tensor, _: Tensor, uniform: Tensor) -> Tensor:
    return _inverted(weights, uniform)


def _of_the_most_likely(weights: Tensor, top_p: Tensor, uniform: Tensor) -> Tensor:
    """Draw from the smallest set of tokens whose mass reaches top_p, for each row.

    With all that are as likely as its last: in bf16 many are, and a sort puts any of them first.
    """
    total = weights.sum(-1, keepdim=True).double()
    tokens = torch.zeros(len(weights), dtype=torch.long, device=weights.device)
    left = torch.arange(len(weights), device=weights.device)
    # A whole vocabulary is long to sort, and nearly always a few tokens have that mass.
    for count in (64, 4096, weights.shape[1]):
        some = weights if len(left) == len(weights) else weights[left]
        values, order = some.topk(min(count, weights.shape[1]))
        likely = values.double() / total[left]
        before = likely.cumsum(-1) - likely
        beyond = (before >= top_p[left]) & (before > 0)  # the first token always stays
        last = values.masked_fill(beyond, torch.inf).amin(-1, keepdim=True)
        order, by = order.sort(-1)
        inside = likely.masked_fill(values < last, 0.0).gather(1, by)
        tokens[left] = order.gather(1, _inverted(inside, uniform[left])[:, None])[:, 0]
        left = left[values[:, -1] == last[:, 0]]  # the set may go on beyond these
        if not len(left):
            break
    return tokens


def _inverted(likely: Tensor, uniform: Tensor) -> Tensor:
    # In the vocabulary's order: in that of likelihood, rounding would swap those about as likely.
    mass = likely.cumsum(-1, dtype=torch.float64)
    at = torch.searchsorted(mass, uniform * mass[:, -1:], right=True)[:, 0]
    return at.clamp(max=likely.shape[1] - 1)
