"""Follow-up requests, for an engine that has no batch of its own to refill: round by round.

Where the model runs in this process, `TransformersEngine.flow` does the same without the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.engines import Cancelled, Completion, Follow, OnText, Request, TooLong

Generate = Callable[[Sequence[Request], OnText, Cancelled], list[Completion]]


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
