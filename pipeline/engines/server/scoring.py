"""Scores of continuations, by what the server can do (choosing.py): a job for each exchange that it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pipeline.engines import Context, EngineError, Score, TooLong
from pipeline.engines.server import bodies, choosing, reading
from pipeline.engines.server.bodies import Abilities, Ask
from pipeline.engines.server.exchange import Exchange
from pipeline.engines.server.jobs import Job
from pipeline.engines.server.refusals import RefusedError

Asked = tuple[Context, str]
"""A context, and the continuation whose likelihood is wanted."""
Choice = tuple[Context, tuple[str, ...]]
"""A context, and the continuations that are compared."""


class Scoring:
    """The scores of one call. `samples`: answers that estimate a choice where no probabilities are given.

    What is in `found` is not asked for again.
    """

    def __init__(
        self,
        exchange: Exchange,
        abilities: Abilities,
        samples: int,
        asked: Sequence[Asked],
        found: dict[Asked, Score | TooLong],
    ) -> None:
        self.exchange, self.abilities, self.samples = exchange, abilities, samples
        self.asked, self.found = asked, found
        self.answers: dict[Choice, list[str]] = {}
        self.computed: dict[Choice, int] = {}

    def jobs(self) -> list[Job[None]]:
        """All that is to be asked. Raises EngineError for what this server can't tell."""
        options: dict[Context, dict[str, int]] = {}
        for i, (context, continuation) in enumerate(self.asked):
            if not continuation:
                raise EngineError(f"score: continuation {i} has no tokens")
            options.setdefault(context, {}).setdefault(continuation, i)
        return [
            job
            for context, texts in options.items()
            if any((context, text) not in self.found for text in texts)
            for job in self._jobs(context, texts)
        ]

    def scores(self) -> list[Score]:
        """The scores as they were asked for, when all jobs are done. Raises TooLong for the first such."""
        scores: list[Score] = []
        for i, one in enumerate(self.asked):
            if isinstance(score := self.found[one], TooLong):
                raise TooLong(i, str(score))
            scores.append(score)
        return scores

    def _jobs(self, context: Context, texts: dict[str, int]) -> list[Job[None]]:
        first = min(texts.values())
        if self.abilities.prompts(context):
            form = bodies.form(context)
            words = {"echo": True, "logprobs": 1} if form == "plain" else {"prompt_logprobs": 1}
            return [
                self._job(
                    i,
                    replace(context, prefill=context.prefill + text),
                    1,
                    words,
                    self._exact,
                    (context, text),
                )
                for text, i in texts.items()
                if (context, text) not in self.found
            ]
        if len(texts) == 1:
            raise EngineError(
                f"{self.exchange.connection.server.url} does not tell how likely a given text is in this "
                "form, which the method `contrast` needs: choose another, try `--form plain`, or "
                "use a server that gives log-probabilities of prompts, such as vLLM"
            )
        choice = (context, tuple(texts))
        begun = self.abilities.begins(context)
        shown = replace(context, prefill=context.prefill + choosing.shared(choice[1])) if begun else context
        if top := self.abilities.top(context):
            form = bodies.form(context)
            words = {"logprobs": top} if form == "plain" else {"logprobs": True, "top_logprobs": top}
            words = {**words, "temperature": 0, "seed": 0}
            many = 1 if begun else choosing.ANSWER
            return [self._job(first, shown, many, words, self._alternatives, choice)]
        many = choosing.LETTER if begun else choosing.ANSWER
        return [
            self._job(first, shown, many, {"temperature": 1, "seed": seed}, self._sample, choice)
            for seed in range(self.samples)
        ]

    def _job(
        self,
        index: int,
        shown: Context,
        max_tokens: int,
        words: dict[str, Any],
        read: Callable[[Any, Any], Coroutine[Any, Any, None]],
        about: Asked | Choice,
    ) -> Job[None]:
        ask = bodies.ask(self.exchange.model, shown, self.abilities, max_tokens, **words)
        return Job(index, ask.prompt_tokens + max_tokens, partial(self._do, index, ask, read, about))

    async def _do(
        self,
        index: int,
        ask: Ask,
        read: Callable[[Any, Any], Coroutine[Any, Any, None]],
        about: Asked | Choice,
    ) -> None:
        context, texts = about
        pairs = [(context, text) for text in ([texts] if isinstance(texts, str) else texts)]
        if all(pair in self.found for pair in pairs):
            return  # left out by another sample
        try:
            await read(await self.exchange.ask(ask), about)
        except RefusedError as error:
            out = await self.exchange.left_out(index, ask, error, "use fewer few-shot examples")
            self.found.update(dict.fromkeys(pairs, out))

    async def _exact(self, reply: Any, about: Asked) -> None:
        context, text = about
        tokens = reading.prompt_tokens(reply)
        if not tokens:
            raise EngineError(f"{self.exchange.connection.server.host} gave no log-probabilities this time")
        end = choosing.tail(tokens, bodies.disarmed(text))
        if end is None:  # by number then: what the prompt has more than its beginning alone
            alone = await self.exchange.ask(bodies.ask(self.exchange.model, context, self.abilities, 1))
            took = reading.usage(alone)
            many = len(tokens) - took.prompt if took else 0
            if many < 1:
                raise EngineError(
                    f"{self.exchange.connection.server.host}: its tokens do not show where {text[:40]!r} is"
                )
            end = sum(token.logprob for token in tokens[-many:]), many
        self.found[about] = Score(*end, computed=len(tokens))

    async def _alternatives(self, reply: Any, about: Choice) -> None:
        context, options = about
        tokens = reading.written_tokens(reply)
        logprobs = choosing.by_alternatives(tokens, options, self.abilities.begins(context))
        # It says neither: all are alike.
        logprobs = logprobs or [-math.log(len(options))] * len(options)
        self._keep(about, logprobs, _computed(reply), 0)

    async def _sample(self, reply: Any, about: Choice) -> None:
        context, options = about
        lead = choosing.shared(options) if self.abilities.begins(context) else ""
        self.answers.setdefault(about, []).append(lead + reading.text(reply))
        self.computed[about] = self.computed.get(about, 0) + _computed(reply)
        if len(answers := self.answers[about]) == self.samples:
            self._keep(about, choosing.by_samples(answers, options), self.computed[about], self.samples)

    def _keep(self, choice: Choice, logprobs: Sequence[float], computed: int, samples: int) -> None:
        context, options = choice
        for i, (option, logprob) in enumerate(zip(options, logprobs, strict=True)):
            # Counted once for all options: they share their exchanges.
            self.found[context, option] = Score(logprob, 1, 0 if i else computed, samples=samples)


def _computed(reply: Any) -> int:
    took = reading.usage(reply)
    return took.prompt + took.completion if took else 0
