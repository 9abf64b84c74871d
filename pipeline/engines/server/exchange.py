"""An exchange that is paid for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.engines.server import reading
from pipeline.engines.server.bodies import Ask
from pipeline.engines.server.connection import Connection
from pipeline.engines.server.reading import Usage
from pipeline.engines.spending import Purse


@dataclass(frozen=True)
class Exchange:
    """The server, and what pays for what it does."""

    connection: Connection
    purse: Purse

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

    def afford(self, ask: Ask) -> None:
        """Raise SpentError where all that is reserved fits no more: a try that broke off was paid for."""
        if not self.purse.holds(0):
            raise self.purse.empty(ask.prompt_tokens + ask.max_tokens)

    def pay(self, ask: Ask, usage: Usage | None, pieces: int) -> None:
        """Pay for an answer: what the server counted, else our estimate, with a token for each piece."""
        took = usage or Usage(ask.prompt_tokens, pieces or ask.max_tokens)
        self.purse.pay(self.connection.server.revision, took.prompt, took.completion, usage is not None)
