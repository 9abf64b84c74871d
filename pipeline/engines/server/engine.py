"""The engine on an OpenAI-compatible server: the model runs there, and is asked over HTTP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import httpx

from pipeline.engines import (
    Cancelled,
    Completion,
    Context,
    Follow,
    ModelInfo,
    OnText,
    Request,
    Score,
    StoppedError,
    TooLong,
    ignore,
    never,
)
from pipeline.engines.flow import at_once
from pipeline.engines.options import chosen
from pipeline.engines.server import keys
from pipeline.engines.server.abilities import look
from pipeline.engines.server.bodies import Abilities
from pipeline.engines.server.connection import Connection
from pipeline.engines.server.exchange import Exchange
from pipeline.engines.server.jobs import Job, work_through
from pipeline.engines.server.scoring import Asked, Scoring
from pipeline.engines.server.settings import Settings
from pipeline.engines.server.writing import Writing
from pipeline.engines.spending import Purse
from pipeline.growing import say
from pipeline.servers import ServerModel

T = TypeVar("T")


class ServerEngine:
    """A model of a server. Not for threads, nor from inside an event loop: one call at a time."""

    def __init__(
        self,
        server: ServerModel,
        purse: Purse | None = None,
        settings: Settings | None = None,
        cancelled: Cancelled = never,
    ) -> None:
        """Reach the server and find out what it can do, by a few tiny requests.

        `purse` and `settings` are else those of the environment. Raises EngineError where it can't be
        reached or has no such model, SpentError where nothing more may be used, StoppedError after a cancel.
        """
        self.server = server
        self.purse = purse or Purse.from_environment()
        self.settings = settings or Settings.from_environment()
        self._key = keys.find(server)
        # Made once: reading the certificates takes longer than many an answer.
        self._trust = (
            httpx.create_ssl_context()
            if server.url.startswith("https:")
            else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        self._reached = False
        self._found: dict[Asked, Score | TooLong] = {}
        if not server.private:
            kept = f", so {self._key.variable} is not sent" if self._key.withheld else ""
            say(f"{server.host}: the texts travel there unencrypted, and can be read on the way{kept}")
        self.abilities: Abilities = asyncio.run(self._within(partial(self._look, cancelled)))
        self._reached = True
        self._info = ModelInfo(
            name=server.name,
            revision=server.revision,
            engine="server",
            dtype="unknown",
            device=server.host,
            form="chat" if self.abilities.chat else "plain",
            parameters=0,
        )

    @property
    def info(self) -> ModelInfo:
        return self._info

    def generate(
        self, requests: Sequence[Request], on_text: OnText = ignore, cancelled: Cancelled = never
    ) -> list[Completion]:
        return at_once(self.flow, requests, on_text, cancelled)

    def flow(
        self,
        requests: Sequence[Request],
        follow: Follow,
        on_text: OnText = ignore,
        cancelled: Cancelled = never,
    ) -> None:
        writings: dict[int, Writing] = {}

        async def write(exchange: Exchange) -> None:
            def job(index: int, request: Request) -> Job[Completion | TooLong]:
                writing = Writing(
                    index, request, exchange, self.abilities, lambda text: on_text(index, text), cancelled
                )
                writings[index] = writing
                ask = writing.ask()
                return Job(index, ask.prompt_tokens + ask.max_tokens, writing.run)

            def take(index: int, outcome: Completion | TooLong) -> Job[Completion | TooLong] | None:
                after = follow(index, outcome)
                return job(index, after) if after else None

            jobs = [job(i, request) for i, request in enumerate(requests)]
            for index in await work_through(jobs, take, self.settings.at_once, self.purse, cancelled):
                follow(index, writings[index].completion())

        asyncio.run(self._within(write))

    def score(self, contexts: Sequence[Context], continuations: Sequence[str]) -> list[Score]:
        """As every engine, where the server gives the log-probabilities of a prompt.

        Else only different continuations of the same context can be compared (choosing.py), and a score is
        relative to the others'. Raises EngineError for a continuation that is alone.
        """
        asked = list(zip(contexts, continuations, strict=True))

        async def score(exchange: Exchange) -> list[Score]:
            scoring = Scoring(exchange, self.abilities, self.settings.samples, asked, self._found)
            nothing = lambda index, outcome: None  # noqa: E731
            await work_through(scoring.jobs(), nothing, self.settings.at_once, self.purse, never)
            return scoring.scores()

        scores = asyncio.run(self._within(score))
        # Else it is kept: whoever hears that one is too long asks again for the others.
        self._found.clear()
        return scores

    def choose(self, contexts: Sequence[Context], options: Sequence[str]) -> list[list[float]]:
        return chosen(self.score, contexts, options)

    async def _look(self, cancelled: Cancelled, exchange: Exchange) -> Abilities:
        found: list[Abilities] = []

        def take(index: int, abilities: Abilities) -> None:
            found.append(abilities)

        # Without a limit here: `look` minds it at each request.
        await work_through([Job(0, 0, lambda: look(exchange))], take, 1, Purse(), cancelled)
        if not found:
            raise StoppedError(f"stopped while reaching {self.server.host}")
        return found[0]

    async def _within(self, do: Callable[[Exchange], Awaitable[T]]) -> T:
        connection = Connection.open(
            self.server, self._key, self.settings.patience, self._trust, self._reached
        )
        async with connection as open_one:
            return await do(Exchange(open_one, self.purse))
