"""A preference model in the worker: its scores of answers, from a process that never loads a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipeline.engines.remote import Worker
from pipeline.records import STRICT, Message, parse

Answered = tuple[Sequence[Message], str]
"""A conversation, and the answer to it."""


@dataclass(frozen=True)
class Rewards:
    """Scores in the order asked, on the scale of log-odds: only differences mean something.

    `revision` identifies the weights of the preference model.
    """

    __pydantic_config__ = STRICT

    revision: str
    scores: tuple[float, ...]


def rewards(worker: Worker, pm: str, answers: Sequence[Answered]) -> Rewards:
    """What a preference model, by its name, holds of answers. Raises EngineError where it can't be loaded."""
    rows = [([asdict(message) for message in messages], answer) for messages, answer in answers]
    return parse(Rewards, worker.call({"op": "reward", "model": pm, "answers": rows}))
