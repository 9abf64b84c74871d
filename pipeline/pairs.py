"""Pairs: one prompt with two responses of a model, or of two (paper section 4.1). Headless: `cai pairs`.

`sample_pairs` draws the responses, `pairs_of` says which pairs they make, `make_pair` what identifies a
pair and which response is `a`. Of more than two responses each two that differ are a pair, and the pairs
of a prompt share their `group`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal, Protocol

from pipeline import templates
from pipeline.engines import (
    Cancelled,
    Completion,
    Engine,
    Form,
    OnText,
    Request,
    Sampling,
    TooLong,
    ignore,
    never,
)
from pipeline.records import STRICT, Message, Pair, Prompt, PromptKind, Source, as_json, content_id
from pipeline.rundir import write_atomically
from pipeline.seeds import hashed


@dataclass(frozen=True)
class Response:
    """One answer to a prompt, and who wrote it."""

    __pydantic_config__ = STRICT

    text: str
    source: Source


@dataclass(frozen=True)
class Answers:
    """A prompt with all that was sampled for it, in the order of the seeds. `id` is the prompt's."""

    __pydantic_config__ = STRICT

    id: str
    messages: tuple[Message, ...]
    kind: PromptKind
    responses: tuple[Response, ...]


class Answering(Protocol):
    """How responses are sampled: what the settings of `cai pairs` and of `cai evaluate` share."""

    @property
    def samples(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def temperature(self) -> float: ...
    @property
    def top_p(self) -> float: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def form(self) -> Form | None: ...


@dataclass(frozen=True)
class Engines:
    """Who answers: the first of K responses are the first one's, the last K // 2 the second one's."""

    first: Engine
    second: Engine

    def of(self, index: int, samples: int) -> Engine:
        """Who writes the response of this index."""
        return self.first if index < samples - samples // 2 else self.second


def make_pair(
    prompt_id: str,
    messages: Sequence[Message],
    first: str,
    second: str,
    first_source: Source,
    second_source: Source,
    kind: PromptKind,
    group: str | None = None,
) -> Pair:
    """The pair of two responses, whichever is given first. Raises ValueError where they are equal.

    Its id is that of the conversation and both texts. Which of them is `a` is a hash of the id: neither
    the order in a file nor who wrote it says so.
    """
    if first == second:
        raise ValueError("both responses are the same")
    ordered = sorted([(first, first_source), (second, second_source)], key=lambda response: response[0])
    id = content_id([_plain(messages), [text for text, _ in ordered]])
    (a, source_a), (b, source_b) = ordered if _keeps_order(id) else reversed(ordered)
    return Pair(id, prompt_id, tuple(messages), a, b, kind, source_a, source_b, group)


def side_of(pair: Pair, response: str) -> Literal["a", "b"]:
    """The side of a response. Raises ValueError where it is not of this pair."""
    if response not in (pair.response_a, pair.response_b):
        raise ValueError(f"the pair {pair.id} has no such response")
    return "a" if response == pair.response_a else "b"


def pairs_of(answers: Answers) -> list[Pair]:
    """Each two of the responses that differ. Equal ones count once, as the first of them; empty ones not.

    Three or more share a `group`, named by the prompt and all of their texts.
    """
    distinct: dict[str, Source] = {}
    for response in answers.responses:
        if response.text.strip():
            distinct.setdefault(response.text, response.source)
    group = content_id([_plain(answers.messages), sorted(distinct)]) if len(distinct) > 2 else None
    return [
        make_pair(answers.id, answers.messages, one, other, by_one, by_other, answers.kind, group)
        for (one, by_one), (other, by_other) in combinations(distinct.items(), 2)
    ]


def write(pairs: Iterable[Pair], path: Path) -> None:
    """Write pairs as our own JSONL, whole or not at all."""
    write_atomically(path, "".join(json.dumps(as_json(pair)) + "\n" for pair in pairs))


def response_seed(run_seed: int, prompt_id: str, index: int, attempt: int = 0) -> int:
    """The seed of one response: a hash of run seed, prompt, place and attempt, in 63 bits."""
    return hashed(f"{run_seed}:{prompt_id}:response {index}:{attempt}")


def sample_pairs(
    prompts: Sequence[Prompt],
    answering: Answering,
    engines: Engines,
    on_text: OnText = ignore,
    cancelled: Cancelled = never,
    on_skip: Callable[[Prompt, TooLong], None] = lambda prompt, error: None,
    on_answers: Callable[[Answers, int], None] = lambda answers, tokens: None,
) -> list[Answers]:
    """Sample the responses to each prompt, many at once; on a cancel, only those of whole prompts.

    `on_answers` gets each prompt with the tokens that it took, the moment its last response is there. A
    prompt that is too long for a model is told to `on_skip` and left out. An empty response is sampled
    once more, then kept and marked.
    """
    batch = _Batch(prompts, answering, engines, on_skip, on_answers)
    every = [(i, index) for i in range(len(prompts)) for index in range(answering.samples)]
    if engines.first is engines.second:
        batch.write(engines.first, every, on_text, cancelled)
    else:
        for engine in (engines.first, engines.second):
            own = [place for place in every if engines.of(place[1], answering.samples) is engine]
            batch.write(engine, own, on_text, cancelled)
    return [batch.whole[i] for i in sorted(batch.whole)]


Place = tuple[int, int]
"""(which prompt, which of its responses)"""


class _Batch:
    """Responses on their way."""

    def __init__(
        self,
        prompts: Sequence[Prompt],
        answering: Answering,
        engines: Engines,
        on_skip: Callable[[Prompt, TooLong], None],
        on_answers: Callable[[Answers, int], None],
    ) -> None:
        self.prompts, self.answering, self.engines = prompts, answering, engines
        self.on_skip, self.on_answers = on_skip, on_answers
        self.there: list[dict[int, Response]] = [{} for _ in prompts]
        self.tokens = [0] * len(prompts)
        self.whole: dict[int, Answers] = {}
        self.skipped: set[int] = set()
        self.retried: set[Place] = set()

    def write(self, engine: Engine, places: Sequence[Place], on_text: OnText, cancelled: Cancelled) -> None:
        """Let one engine write the responses of these places; a place that is done makes room for others."""
        places = [place for place in places if place[0] not in self.skipped]
        if places and not cancelled():
            engine.flow(
                [self._request(place, engine) for place in places],
                lambda at, outcome: self._take(places[at], outcome, engine),
                lambda at, text: on_text(places[at][0], text),
                cancelled,
            )

    def _take(self, place: Place, outcome: Completion | TooLong, engine: Engine) -> Request | None:
        """Put a completion where it belongs; the second try where it is empty."""
        i, index = place
        if isinstance(outcome, TooLong):
            if i not in self.skipped:
                self.skipped.add(i)
                self.on_skip(self.prompts[i], outcome)
            return None
        if outcome.finish == "cancelled" or i in self.skipped:
            return None
        self.tokens[i] += outcome.tokens
        if outcome.finish == "empty" and place not in self.retried:
            self.retried.add(place)
            return self._request(place, engine)
        self.there[i][index] = Response(outcome.text.strip(), self._source(place, outcome, engine))
        if len(self.there[i]) == self.answering.samples:
            self._complete(i)
        return None

    def _complete(self, i: int) -> None:
        prompt = self.prompts[i]
        responses = tuple(self.there[i][index] for index in range(self.answering.samples))
        self.whole[i] = Answers(prompt.id, prompt.messages, prompt.kind, responses)
        self.on_answers(self.whole[i], self.tokens[i])

    def _request(self, place: Place, engine: Engine) -> Request:
        form = self.answering.form or engine.info.form
        sampling = Sampling(
            max_tokens=self.answering.max_tokens,
            temperature=self.answering.temperature,
            top_p=self.answering.top_p,
            stop=templates.stops(form),
            seed=self._seed(place),
        )
        return Request(templates.response(form, self.prompts[place[0]].messages), sampling)

    def _source(self, place: Place, outcome: Completion, engine: Engine) -> Source:
        form = self.answering.form or engine.info.form
        return Source(engine.info.name, engine.info.revision, form, self._seed(place), outcome.finish)

    def _seed(self, place: Place) -> int:
        i, index = place
        return response_seed(
            self.answering.seed, self.prompts[i].id, index, attempt=int(place in self.retried)
        )


def _plain(messages: Iterable[Message]) -> list[dict[str, str]]:
    # Not by `as_json`, whose deep copies are most of the time of a large import.
    return [{"role": message.role, "content": message.content} for message in messages]


def _keeps_order(id: str) -> bool:
    """The coin that says whether the first of the sorted responses is `a`: a hash's first bit."""
    return bool(hashlib.sha256(f"side:{id}".encode()).digest()[0] >> 7)
