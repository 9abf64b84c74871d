"""The engine interface: what every stage may ask of a model, and nothing else.

generate  streams text for a batch of requests, each with its own sampling and seed
flow      the same, where an answer leads to the next request: its slot is never idle
score     log-probabilities of given continuations
choose    normalised probabilities over given whole continuations, from fp32 logits

An engine is one loaded model. `studio` talks to a `RemoteEngine` (remote.py), whose model lives in
a worker process; headless stages use what `open_engine` (opening.py) gives for a model's name:
`TransformersEngine` (transformers.py), `VllmEngine` (vllm.py) on GPUs, `ScoringEngine` (scoring.py) for a
head, or `ServerEngine` (server/) for a model of a server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.errors import UserError
from pipeline.records import Finish, Message

Form = Literal["chat", "plain"]


class EngineError(UserError):
    """A model could not be loaded or run. The message says what to do, in plain words."""


class StoppedError(EngineError):
    """A model was no longer wanted before it was loaded."""


class SpentError(EngineError):
    """A server's model may use no more tokens. What was made before is kept, and can be gone on with."""


class TooLong(EngineError):
    """A request that does not fit into the model's context, or whose text a server refuses.

    Nothing of its batch was generated.
    """

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True)
class Sampling:
    """How to draw one completion. `temperature` 0 is greedy; `max_tokens` counts new tokens."""

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Context:
    """What the model sees before it writes (made by templates.py).

    With `messages`, they go through the model's chat template and `prefill` begins the assistant's
    turn. Without, `prefill` is the whole text (the plain form).
    """

    messages: tuple[Message, ...] = ()
    prefill: str = ""


@dataclass(frozen=True)
class Request:
    """One completion to generate."""

    context: Context
    sampling: Sampling


@dataclass(frozen=True)
class Completion:
    """Generated text, without the stop string. `tokens` counts what was generated."""

    text: str
    finish: Finish
    tokens: int
    seconds: float


@dataclass(frozen=True)
class Score:
    """Sum of the log-probabilities (nats) of a continuation's tokens, and their number.

    Of the tokens of context and continuation, `computed` went through the model for this score, and
    `saved` already had for another one of the same call, that begins alike. Where a model gives no
    log-probabilities, they are estimated from `samples` answers; 0: computed.
    """

    logprob: float
    tokens: int
    computed: int = 0
    saved: int = 0
    samples: int = 0


@dataclass(frozen=True)
class ModelInfo:
    """What was loaded, for the record of every text it writes."""

    name: str
    revision: str
    engine: str
    dtype: str
    device: str
    form: Form
    parameters: int
    skills: tuple[str, ...] = ()
    """What of a critic's work it learnt without solved examples, and so is shown none of."""
    scores: bool = False
    """It has a head and no words: `score` says how much a continuation is to be chosen, in log-odds."""


OnText = Callable[[int, str], None]
"""Called with (index of the request, newly generated text)."""

Cancelled = Callable[[], bool]


Follow = Callable[[int, Completion | TooLong], Request | None]
"""Called with (index of the chain of requests, how its latest one ended); gives the next one, if any."""


def never() -> bool:
    """The default `cancelled`: runs to the end."""
    return False


def ignore(index: int, text: str) -> None:
    """The default `on_text`: only the result is wanted."""


class Engine(Protocol):
    """One loaded model."""

    @property
    def info(self) -> ModelInfo: ...

    def generate(
        self,
        requests: Sequence[Request],
        on_text: OnText = ignore,
        cancelled: Cancelled = never,
    ) -> list[Completion]:
        """Complete each request, in order. `cancelled` is asked once per token."""
        ...

    def flow(
        self,
        requests: Sequence[Request],
        follow: Follow,
        on_text: OnText = ignore,
        cancelled: Cancelled = never,
    ) -> None:
        """Complete requests and those that `follow` gives for them, a chain each, until there are none.

        A request that is too long, or refused, is told to `follow` too; the other chains go on.
        """
        ...

    def score(self, contexts: Sequence[Context], continuations: Sequence[str]) -> list[Score]:
        """Log-probability of each continuation after its context (equal lengths)."""
        ...

    def choose(self, contexts: Sequence[Context], options: Sequence[str]) -> list[list[float]]:
        """P(option) for each context: softmax over the options' summed fp32 log-probabilities."""
        ...
