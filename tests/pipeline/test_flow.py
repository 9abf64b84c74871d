"""Requests that follow from answers: each chain in its slot, whatever the others do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.configs import Drawing
from pipeline.critique import Engines, draw_chains
from pipeline.engines import Completion, Context, Request, Sampling, TooLong
from pipeline.engines.flow import in_rounds
from pipeline.prompts import from_text
from pipeline.records import Chain, Constitution, Message

pytest.importorskip("torch")
LENGTH = 3


def ask(text: str, seed: int) -> Request:
    # Greedy: rounding differs with what else is in a batch, and on some processors turns a random draw.
    return Request(Context((Message("user", text),)), Sampling(max_tokens=6, temperature=0, seed=seed))


def talk(flow: Callable[..., None], many: int = 7, **more: Any) -> list[list[str]]:
    """Chains of three requests, each of which asks about the answer before it."""
    said: list[list[str]] = [[] for _ in range(many)]

    def follow(chain: int, outcome: Completion | TooLong) -> Request | None:
        assert isinstance(outcome, Completion)
        if outcome.finish != "cancelled":
            said[chain].append(outcome.text)
        if outcome.finish == "cancelled" or len(said[chain]) == LENGTH:
            return None
        return ask(f"And {outcome.text}?", chain)

    flow([ask(f"Tell me {i}", i) for i in range(many)], follow, **more)
    return said


def test_a_chain_reads_the_same_alone_refilled_and_in_rounds(tiny_engine: Any) -> None:
    together = talk(tiny_engine.flow)
    assert all(len(texts) == LENGTH for texts in together)
    assert together == talk(tiny_engine.flow)
    rounds = talk(lambda requests, follow: in_rounds(tiny_engine.generate, requests, follow, *quiet()))
    assert together == rounds


def quiet() -> tuple[Callable[[int, str], None], Callable[[], bool]]:
    return lambda i, text: None, lambda: False


def test_chains_end_one_by_one_not_all_at_the_end(tiny_engine: Any) -> None:
    begun: list[int] = []
    whole: list[tuple[int, int]] = []

    def follow(chain: int, outcome: Any) -> Request | None:
        counts[chain] += 1
        if counts[chain] < LENGTH:
            return ask("more", chain)
        whole.append((chain, len(set(begun))))
        return None

    counts = [0] * 12
    tiny_engine.flow([ask(str(i), i) for i in range(12)], follow, lambda i, text: begun.append(i))
    # With three slots, the first is whole before the sixth has said anything.
    assert len(whole) == 12
    assert whole[0][1] < 6


def test_a_request_too_long_is_told_to_its_chain_and_the_others_go_on(tiny_engine: Any) -> None:
    told: list[tuple[int, str]] = []

    def follow(chain: int, outcome: Completion | TooLong) -> Request | None:
        told.append((chain, type(outcome).__name__))
        if isinstance(outcome, TooLong):
            return ask("shorter", 1) if chain == 0 else None
        return ask("long " * 600, 1) if chain == 1 and told.count((1, "Completion")) == 1 else None

    tiny_engine.flow([ask("long " * 600, 0), ask("short", 1), ask("fine", 2)], follow)
    assert sorted(told) == [
        (0, "Completion"),
        (0, "TooLong"),
        (1, "Completion"),
        (1, "TooLong"),
        (2, "Completion"),
    ]


def test_a_cancel_ends_all_chains_within_a_token(tiny_engine: Any) -> None:
    pieces: list[str] = []
    said = talk(
        tiny_engine.flow, on_text=lambda i, text: pieces.append(text), cancelled=lambda: len(pieces) > 8
    )
    assert len(pieces) <= 12
    assert not any(len(texts) == LENGTH for texts in said)


def test_each_chain_is_handed_on_when_it_is_complete(principled: Constitution, tiny_engine: Any) -> None:
    handed: list[Chain] = []
    prompts = [from_text(f"Question {i}?") for i in range(7)]
    drawing = Drawing(revisions=1, max_tokens=6)
    stop_at = 2
    kept = draw_chains(
        prompts,
        principled,
        drawing,
        Engines(tiny_engine, tiny_engine),
        lambda i, text: None,
        lambda: len(handed) >= stop_at,
        on_chain=handed.append,
    )
    assert stop_at <= len(handed) < 7
    assert sorted(c.id for c in kept) == sorted(c.id for c in handed)
    assert all(len(c.steps) == 3 for c in handed)


def test_two_engines_write_what_one_would(principled: Constitution, tiny_engine: Any) -> None:
    class Other:
        """The same model, that is not the same object."""

        def __getattr__(self, name: str) -> Any:
            return getattr(tiny_engine, name)

    def texts(engines: Any) -> list[list[str]]:
        prompts = [from_text(f"Question {i}?") for i in range(5)]
        drawing = Drawing(revisions=1, max_tokens=6)
        chains = draw_chains(prompts, principled, drawing, engines, lambda i, text: None)
        return [[s.text for s in chain.steps] for chain in chains]

    assert texts(Engines(tiny_engine, tiny_engine)) == texts(Engines(tiny_engine, Other()))  # type: ignore[arg-type]
