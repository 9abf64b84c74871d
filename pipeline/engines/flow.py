"""`flow` by `generate`, round by round, where an engine has no batch to refill; and `generate` by `flow`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.engines import Cancelled, Completion, Follow, OnText, Request, TooLong

Generate = Callable[[Sequence[Request], OnText, Cancelled], list[Completion]]

Flow = Callable[[Sequence[Request], Follow, OnText, Cancelled], None]
T = TypeVar("T")


def in_rounds(
    generate: Generate, requests: Sequence[Request], follow: Follow, on_text: OnText, cancelled: Cancelled
) -> None:
    """`Engine.flow` by whole batches: all that are asked for now, then all that follow from these."""

    def to(chains: Sequence[int]) -> OnText:
        return lambda i, text: on_text(chains[i], text)

    now = list(enumerate(requests))
    while now and not cancelled():
        which = [chain for chain, _ in now]
        try:
            done = generate([request for _, request in now], to(which), cancelled)
        except TooLong as error:
            chain, _ = now.pop(error.index)
            if instead := follow(chain, error):
                now.insert(error.index, (chain, instead))
            continue
        nexts = [(chain, follow(chain, completion)) for chain, completion in zip(which, done, strict=True)]
        now = [(chain, request) for chain, request in nexts if request]


def at_once(
    flow: Flow, requests: Sequence[Request], on_text: OnText, cancelled: Cancelled
) -> list[Completion]:
    """`Engine.generate` by a flow in which nothing follows."""
    done: dict[int, Completion] = {}

    def take(index: int, outcome: Completion | TooLong) -> None:
        if isinstance(outcome, TooLong):
            raise outcome
        done[index] = outcome

    flow(requests, take, on_text, cancelled)
    return [done[i] for i in range(len(requests))]


def fitting(
    row: Callable[[int, Request], T], follow: Follow, index: int, request: Request | None
) -> T | None:
    """The first of a chain's requests that has room: for one that has none, `follow` may give another."""
    while request:
        try:
            return row(index, request)
        except TooLong as error:
            request = follow(index, error)
    return None
