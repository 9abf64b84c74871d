"""One completion from a server, as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from pipeline.engines import Cancelled, Completion, Request, TooLong
from pipeline.engines.server import bodies, reading
from pipeline.engines.server.bodies import Abilities, Ask
from pipeline.engines.server.connection import PassingError
from pipeline.engines.server.exchange import Exchange
from pipeline.engines.server.reading import Usage
from pipeline.engines.server.refusals import RefusedError
from pipeline.engines.server.stream import Written
from pipeline.records import Finish

CUT = ("length", "max_tokens", "model_length", "content_filter")
"""Why an answer ends in the middle, as servers say it. What is no end is not to be learnt as one."""
GIVEN_UP = ("abort", "error", "insufficient_system_resource")
"""The same where it may go better later."""


@dataclass
class Writing:
    """A request on its way. `shown` gets its text as it comes."""

    index: int
    request: Request
    exchange: Exchange
    abilities: Abilities
    shown: Callable[[str], None]
    cancelled: Cancelled
    written: Written = field(init=False)
    began: float = 0.0
    counting: bool = True
    """Whether the server is asked to count tokens at a stream's end. Some know no such option."""

    def __post_init__(self) -> None:
        self.written = Written(self.request.sampling.stop, self.exchange.connection.key.secret)

    def ask(self) -> Ask:
        """What is posted. Raises EngineError where the server can't be asked so."""
        sampling = self.request.sampling
        return bodies.ask(
            self.exchange.model,
            self.request.context,
            self.abilities,
            sampling.max_tokens,
            **bodies.drawn(sampling),
            stream=True,
            **({"stream_options": {"include_usage": True}} if self.counting else {}),
        )

    async def run(self) -> Completion | TooLong:
        """Write it. Raises EngineError."""
        self.began = time.perf_counter()
        try:
            usage = await self.exchange.connection.patiently(self._once)
        except RefusedError as error:
            if self.counting and "stream_options" in error.words:
                self.counting = False
                return await self.run()
            return await self.exchange.left_out(self.index, self.ask(), error, "lower max tokens")
        return self.completion(usage)

    def completion(self, usage: Usage | None = None) -> Completion:
        """What there is by now; `cancelled` where that is not all."""
        finish: Finish = self.written.finish or "cancelled"
        text, tokens = self.written.text, self.written.tokens
        if finish == "cancelled":
            text, tokens = self.written.so_far()
        elif not text.strip():
            finish = "empty"
        tokens = usage.completion if usage else tokens
        return Completion(text, finish, tokens, time.perf_counter() - self.began if self.began else 0.0)

    async def _once(self) -> Usage | None:
        ask = self.ask()
        self.exchange.afford(ask)
        self.written.again()
        usage: Usage | None = None
        reason, sent = "", False
        try:
            async with aclosing(
                self.exchange.connection.events(ask.path, ask.body, ask.max_tokens)
            ) as events:
                async for event in events:
                    sent = True
                    usage = reading.usage(event) or usage
                    reason = reading.finish(event) or reason
                    self._show(self.written.take(reading.text(event)))
                    if self.written.finish or self.cancelled():
                        break
        except PassingError:
            if not reason:  # else all of it came, and only what follows its end is missing
                raise
        finally:
            # Also what was broken off: it was written, and is charged for.
            if sent:
                self.exchange.pay(ask, usage, max(1, self.written.tokens))
        if not self.written.finish and not self.cancelled():
            if not reason or reason in GIVEN_UP:
                why = f" ({reason})" if reason else ""
                raise PassingError(
                    f"{self.exchange.connection.server.host} broke off in the middle of an answer{why}"
                )
            self._show(self.written.end("length" if reason in CUT else "stop"))
        return usage

    def _show(self, text: str) -> None:
        if text:
            self.shown(text)
