"""Log-probabilities of sequences that begin alike: what they share goes through the model once.

The sequences are cut into a tree of the runs of tokens that some have in common. A small subtree is one
row of a batch, in which each token sees only those that lead to it; what leads to larger ones goes first,
and they begin with its keys and values. Nothing is computed twice, and no logits but those wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from pipeline.engines import Score

ROW = 1024
"""Tokens of a subtree that is one row: attention costs their square, a pass of its own about 64."""
AT_ONCE = 4096
"""Tokens of one pass, with those that it begins with: bounds its memory."""
TOGETHER = 256
"""Sequences that one tree is made of: bounds its depth."""

Pair = tuple[list[int], list[int]]
"""The tokens of a context, and of the continuation whose likelihood is wanted."""
Past = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, [1, heads, tokens, size], that rows begin with."""


@dataclass
class Node:
    """A run of tokens, all after the `start` tokens that lead to it, and how sequences go on from it.

    `wanted` are (place in the run, token that is to follow, sequence).
    """

    tokens: list[int]
    start: int
    wanted: list[tuple[int, int, int]]
    children: list[Node] = field(default_factory=list)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.tokens) + sum(child.size for child in self.children)


def score(model: Any, pairs: Sequence[Pair], logits: int) -> list[Score]:
    """Score continuations after their contexts; holds at most about so many logits at once."""
    order = sorted(range(len(pairs)), key=lambda i: pairs[i][0] + pairs[i][1])
    total = torch.zeros(len(pairs), dtype=torch.float64)
    computed = [0] * len(pairs)
    for start in range(0, len(order), TOGETHER):
        roots = _tree(pairs, order[start : start + TOGETHER], 0, computed)
        _Pass(model, total, logits, ROW).under(roots, None)
    return [
        Score(float(total[i]), len(after), computed[i], len(before) + len(after) - 1 - computed[i])
        for i, (before, after) in enumerate(pairs)
    ]


def possible(model: Any) -> bool:
    """Whether this model's likelihoods stay the same: not all take a mask of our own, or keep all keys."""
    if not all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers):
        return False
    head = [7, 11, 5, 13, 9, 6, 12, 8]
    pairs = [(head, [5, 6, 7]), ([*head, 9, 10], [8, 5]), ([*head, 9, 11], [8, 6]), (head[:2], [9, 10])]
    trial = torch.zeros(len(pairs), dtype=torch.float64)
    try:
        _Pass(model, trial, 1 << 20, row=6).under(_tree(pairs, [3, 0, 1, 2], 0, [0] * 4), None)
        whole = torch.tensor([_alone(model, *pair) for pair in pairs], dtype=torch.float64)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        return False  # whichever way a model says that it can't
    return bool((trial - whole).abs().max() < 1e-3)


def _alone(model: Any, before: list[int], after: list[int]) -> float:
    ids = torch.tensor([before + after], device=model.device)
    predicted = torch.log_softmax(model(input_ids=ids).logits[0, len(before) - 1 : -1].float(), -1)
    return float(predicted.gather(1, ids[0, len(before) :, None]).sum())


def _tree(pairs: Sequence[Pair], order: Sequence[int], start: int, computed: list[int]) -> list[Node]:
    """The nodes that follow a common beginning of `start` tokens; `order` sorts the sequences."""
    sequences = {i: pairs[i][0] + pairs[i][1] for i in order}
    # The last token of a sequence predicts nothing that is wanted.
    going_on = [i for i in order if len(sequences[i]) - 1 > start]
    nodes = []
    for _, group in groupby(going_on, key=lambda i: sequences[i][start]):
        some = list(group)
        first, end = sequences[some[0]], start + 1
        shortest = min(len(sequences[i]) for i in some) - 1
        while end < shortest and first[end] == sequences[some[-1]][end]:
            end += 1  # sorted: what the first and the last share, all do
        wanted = [
            (at - start, sequences[i][at + 1], i)
            for i in some
            for at in range(max(start, len(pairs[i][0]) - 1), end)
        ]
        computed[some[0]] += end - start
        nodes.append(Node(first[start:end], start, wanted, _tree(pairs, some, end, computed)))
    return nodes


class _Row:
    """Subtrees side by side: their tokens and positions, who sees whom, and what is wanted of them."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        length = sum(node.size for node in nodes)
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.sees = torch.zeros(length, length, dtype=torch.bool)
        self.wanted: list[tuple[int, int, int]] = []
        for node in nodes:
            self._add(node, None)

    def _add(self, node: Node, parent: int | None) -> None:
        begin, end = len(self.ids), len(self.ids) + len(node.tokens)
        self.ids += node.tokens
        self.positions += range(node.start, node.start + len(node.tokens))
        if parent is not None:
            self.sees[begin:end] = self.sees[parent]
        self.sees[begin:end, begin:end] = torch.ones(end - begin, end - begin, dtype=torch.bool).tril()
        self.wanted += [(begin + at, token, sequence) for at, token, sequence in node.wanted]
        for child in node.children:
            self._add(child, end - 1)


class _Pass:
    """A tree on its way through the model, pass by pass. Adds what it finds to `total`, [sequences]."""

    def __init__(self, model: Any, total: Tensor, logits: int, row: int) -> None:
        self.model, self.total, self.row = model, total, row
        self.positions = max(1, logits // model.get_output_embeddings().weight.shape[0])

    def under(self, nodes: Sequence[Node], past: Past | None) -> None:
        """Compute nodes that follow the same past, and all below them."""
        large = [node for node in nodes if node.size > self.row and node.children]
        rows = [_Row(some) for some in self._packed([node for node in nodes if node not in large])]
        for batch in self._batches(rows, past[0][0].shape[2] if past else 0):
            self._run(batch, past, keep=False)
        for node in large:
            head = _Row([Node(node.tokens, node.start, node.wanted)])
            self.under(node.children, self._run([head], past, keep=True))

    def _packed(self, nodes: Sequence[Node]) -> Iterator[list[Node]]:
        """Siblings, as many to a row as it holds."""
        row: list[Node] = []
        for node in nodes:
            if row and sum(n.size for n in row) + node.size > self.row:
                yield row
                row = []
            row.append(node)
        if row:
            yield row

    def _batches(self, rows: Sequence[_Row], past: int) -> Iterator[list[_Row]]:
        """Rows of like length, within the bounds of one pass."""
        batch: list[_Row] = []
        for row in sorted(rows, key=lambda row: len(row.ids), reverse=True):
            longest = len(batch[0].ids) if batch else 0
            padding = sum(longest - len(r.ids) for r in (*batch, row))
            wanted = sum(len({at for at, _, _ in r.wanted}) for r in (*batch, row))
            if batch and (
                (longest + past) * (len(batch) + 1) > AT_ONCE
                or padding > max(64, longest * len(batch) // 10)
                or wanted > self.positions
            ):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _run(self, rows: Sequence[_Row], past: Past | None, keep: bool) -> Past | None:
        """One pass: counts what is wanted of the rows; returns the past of what follows them, to keep."""
        device = self.model.device
        length, before = max(len(row.ids) for row in rows), past[0][0].shape[2] if past else 0
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        positions = torch.zeros_like(ids)
        sees = torch.eye(length, dtype=torch.bool).repeat(len(rows), 1, 1)  # for padding: itself
        for i, row in enumerate(rows):
            size = len(row.ids)
            ids[i, :size], positions[i, :size] = torch.tensor(row.ids), torch.tensor(row.positions)
            sees[i, :size, :size] = row.sees
        sees = torch.cat([torch.ones(len(rows), length, before, dtype=torch.bool), sees], -1)
        hidden = torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)
        cache = self._cache(past, len(rows)) if past or keep else None
        places = sorted({(i, at) for i, row in enumerate(rows) for at, _, _ in row.wanted}) or [(0, 0)]
        with only(self.model.get_output_embeddings(), places):
            out = self.model(
                input_ids=ids.to(device),
                attention_mask=hidden[:, None].to(device),
                position_ids=positions.to(device),
                cache=cache,
                use_cache=cache is not None,
            )
        self._count(rows, places, out.logits[0].float())
        return [(layer.keys, layer.values) for layer in cache.layers] if cache and keep else None

    def _cache(self, past: Past | None, rows: int) -> Any:
        cache = DynamicCache(config=self.model.config)
        for layer, (keys, values) in zip(cache.layers, past or (), strict=False):
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = (x.expand(rows, -1, -1, -1) for x in (keys, values))
        return cache

    def _count(self, rows: Sequence[_Row], places: Sequence[tuple[int, int]], logits: Tensor) -> None:
        index = {place: k for k, place in enumerate(places)}
        wanted = [
            (index[i, at], token, sequence)
            for i, row in enumerate(rows)
            for at, token, sequence in row.wanted
        ]
        if wanted:
            at, token, sequence = torch.tensor(wanted).unbind(1)
            found = logits[at.to(logits.device), token.to(logits.device)]
            found = found - logits.logsumexp(-1)[at.to(logits.device)]
            self.total.index_add_(0, sequence, found.double().cpu())


class only:
    """While inside, the output layer computes the logits of these (row, position) alone, as one row."""

    def __init__(self, head: Any, places: Sequence[tuple[int, int]]) -> None:
        rows, positions = zip(*places, strict=True)
        self.rows, self.positions, self.head = list(rows), list(positions), head

    def __enter__(self) -> None:
        self.hook = self.head.register_forward_pre_hook(
            lambda module, given: (given[0][self.rows, self.positions][None], *given[1:])
        )

    def __exit__(self, *_: object) -> None:
        self.hook.remove()
