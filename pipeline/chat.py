"""A conversation with any model: what one reply is asked with, and the request that asks for it.

No stage of the paper: it is how a person looks at what the stages did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import templates
from pipeline.configs import check, knob
from pipeline.engines import Form, Request, Sampling
from pipeline.records import Message

LARGEST_SEED = 2**62
"""Retries count up to it, and then on from 0."""


@dataclass(frozen=True)
class Chatting:
    """How a reply is asked for."""

    model: str = knob("bundled", "who answers: bundled, a checkpoint, a hub id, a folder or an adapter")
    system: str = knob("", "what the model is told before the conversation; empty: nothing")
    max_tokens: int = knob(256, "the longest that a reply may get, in tokens", low=1, high=8192)
    temperature: float = knob(0.7, "0 is greedy: then each try is the same", low=0, high=2)
    top_p: float = knob(1.0, "keep the most likely tokens up to this mass", low=0.01, high=1)
    seed: int = knob(0, "of the first try; each retry counts one up", low=0, high=LARGEST_SEED)
    form: Form | None = knob(None, "chat template, or plain Human/Assistant text; empty: the model's own")

    def __post_init__(self) -> None:
        check(self)


def conversation(chatting: Chatting, messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages that the model sees: the system prompt, where there is one, before those of the turns."""
    system = chatting.system.strip()
    return (*([Message("system", system)] if system else []), *messages)


def request(chatting: Chatting, messages: Sequence[Message], form: Form) -> Request:
    """Ask for the reply to a conversation, whose last message is the person's.

    `form` is the model's own, and holds where `chatting` names none.
    """
    asked = chatting.form or form
    sampling = Sampling(
        max_tokens=chatting.max_tokens,
        temperature=chatting.temperature,
        top_p=chatting.top_p,
        stop=templates.stops(asked),
        seed=chatting.seed,
    )
    return Request(templates.response(asked, conversation(chatting, messages)), sampling)
