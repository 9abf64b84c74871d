"""What a server can do, found out once by a few tiny requests: what it says of itself is seldom true.

Each answer is looked at, for many take no notice of what they do not know.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.engines import Context, EngineError
from pipeline.engines.server import bodies, reading
from pipeline.engines.server.bodies import Abilities, Continues
from pipeline.engines.server.exchange import Exchange
from pipeline.engines.server.refusals import RefusedError
from pipeline.records import Message

SPOKEN = Context(messages=(Message("user", "Say yes."),))
BEGUN = replace(SPOKEN, prefill="A")
"""The same with a turn that is begun: with one token, in any vocabulary."""
WRITTEN = Context(prefill="One, two, three,")
TOPS = (20, 5)
"""Alternatives to a token that are asked for. Most servers give 20, some no more than 5."""
MISSING = (400, 404, 405, 422, 500, 501)
"""How a server says that there is no such thing: some fail at what they do not know."""
NAMED = 5
"""Models of the server that are named where it has no such one."""


async def look(exchange: Exchange) -> Abilities:
    """What the server can do. Raises EngineError where it can't write at all, with what it said."""
    probe = _Probe(exchange)
    found, spoken = await probe.chat()
    found = await probe.plain(found)
    if not found.chat and not found.plain:
        raise EngineError(f"{probe.refusals[0]}{await probe.listed()}")
    if found.chat:
        found = replace(found, continues=await probe.continues(found, spoken))
        if found.continues:
            reply = await probe.ask(BEGUN, found, prompt_logprobs=1)
            found = replace(found, chat_prompts=reading.prompt_tokens(reply) is not None)
    if found.chat and not found.chat_prompts:
        found = replace(found, chat_top=await probe.top(SPOKEN, found))
    if found.plain and not found.plain_prompts:
        found = replace(found, plain_top=await probe.top(WRITTEN, found))
    return found


@dataclass
class _Probe:
    exchange: Exchange
    refusals: list[RefusedError] = field(default_factory=list)

    async def ask(self, context: Context, assumed: Abilities, **more: Any) -> Any:
        """The answer of one token, None where it is refused. Raises EngineError where nothing is possible."""
        ask = bodies.ask(self.exchange.model, context, assumed, 1, **more)
        if not self.exchange.purse.holds(wanted := ask.prompt_tokens + 1):
            raise self.exchange.purse.empty(wanted)
        try:
            return await self.exchange.ask(ask, trying=True)
        except RefusedError as error:
            if error.status not in MISSING:
                raise
            self.refusals.append(error)
            return None

    async def chat(self) -> tuple[Abilities, Any]:
        """Whether it has chat, and how the answer is limited there; and what it answered."""
        assumed = Abilities(chat=True)
        reply = await self.ask(SPOKEN, assumed)
        if reply is None and "max_completion_tokens" in self.refusals[-1].words:
            assumed = replace(assumed, limit="max_completion_tokens")
            reply = await self.ask(SPOKEN, assumed)
        return (assumed if reply is not None else Abilities()), reply

    async def plain(self, found: Abilities) -> Abilities:
        """Whether it takes plain text, and gives its log-probabilities."""
        assumed = replace(found, plain=True)
        reply = await self.ask(WRITTEN, assumed, echo=True, logprobs=1)
        if reply is None and await self.ask(WRITTEN, assumed) is None:
            return found
        return replace(assumed, plain_prompts=reading.prompt_tokens(reply) is not None)

    async def continues(self, found: Abilities, spoken: Any) -> Continues:
        """Whether it goes on with a turn that is begun.

        Seen in the prompt's length: one that goes on has the begun token more, one that does not has that
        turn's end and the beginning of another one besides. (With fewer, the beginning was longer.)
        """
        without = reading.usage(spoken)
        ways: tuple[Continues, ...] = ("unasked", "when asked")
        for way in ways:
            begun = reading.usage(await self.ask(BEGUN, replace(found, continues=way)))
            if without and begun and ((more := begun.prompt - without.prompt) == 1 or more < 0):
                return way
        return ""

    async def top(self, context: Context, found: Abilities) -> int:
        """How many alternatives to a written token it gives."""
        for many in TOPS:
            words = {"logprobs": True, "top_logprobs": many} if context.messages else {"logprobs": many}
            tokens = reading.written_tokens(await self.ask(context, found, **words))
            if tokens and len(tokens[0].others) > 1:
                return many
        return 0

    async def listed(self) -> str:
        """The names of the server's models, where it lists them."""
        try:
            reply = await self.exchange.connection.ask("models", trying=True)
        except EngineError:
            return ""
        rows = reading.dig(reply, "data")
        names = [reading.dig(row, "id") for row in (rows if isinstance(rows, list) else [])[:NAMED]]
        plain = [name[:80] for name in names if isinstance(name, str) and name.isprintable()]
        return f". It has: {', '.join(plain)}" if plain else ""
