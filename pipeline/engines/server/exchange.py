"""An exchange that is paid for."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pipeline.engines import TooLong
from pipeline.engines.server import bodies, reading
from pipeline.engines.server.bodies import Ask
from pipeline.engines.server.connection import Connection
from pipeline.engines.server.reading import Usage
from pipeline.engines.server.refusals import RefusedError
from pipeline.engines.spending import Purse

OF_TEXTS = (400, 403, 413, 422)
"""How a server refuses a request for what it says; but so it refuses what it does not know, too."""


@dataclass(frozen=True)
class Exchange:
    """The server, and what pays for what it does."""

    connection: Connection
    purse: Purse
    answered: set[str] = field(default_factory=set)
    """Harmless requests that were answered."""

    @property
    def model(self) -> str:
        """Its name at the server."""
        return self.connection.server.model

    async def ask(self, ask: Ask, trying: bool = False) -> Any:
        """A whole answer. Raises EngineError, as `Connection.ask` does."""
        self.afford(ask)
        reply = await self.connection.ask(ask.path, ask.body, trying)
        self.pay(ask, reading.usage(reply), 0)
        return reply

    async def left_out(self, index: int, ask: Ask, refusal: RefusedError, shorter: str) -> TooLong:
        """What is told of a request that is refused for its text, so that others go on.

        Raises the refusal where others would meet it too: with harmless words, it is met as well.
        """
        if refusal.too_long:
            return TooLong(index, f"{refusal}: shorten the prompt, or {shorter}")
        if refusal.status not in OF_TEXTS or not await self._answers(bodies.harmless(ask)):
            raise refusal
        host = self.connection.server.host
        return TooLong(index, f"{host} refuses this text ({refusal.status}){refusal.words}")

    async def _answers(self, harmless: Ask) -> bool:
        async def begun() -> None:
            self.afford(harmless)
            events = self.connection.events(harmless.path, harmless.body, harmless.max_tokens)
            async with aclosing(events):
                async for event in events:
                    self.pay(harmless, reading.usage(event), 1)
                    return  # not refused: the rest would take long, and is charged for

        if (body := json.dumps(harmless.body)) not in self.answered:
            try:
                await self.connection.patiently(begun)
            except RefusedError:
                return False
            self.answered.add(body)
        return True

    def afford(self, ask: Ask) -> None:
        """Raise SpentError where all that is reserved fits no more: a try that broke off was paid for."""
        if not self.purse.holds(0):
            raise self.purse.empty(ask.prompt_tokens + ask.max_tokens)

    def pay(self, ask: Ask, usage: Usage | None, pieces: int) -> None:
        """Pay for an answer: what the server counted, else our estimate, with a token for each piece."""
        took = usage or Usage(ask.prompt_tokens, pieces or ask.max_tokens)
        self.purse.pay(self.connection.server.revision, took.prompt, took.completion, usage is not None)
