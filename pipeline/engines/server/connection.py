"""One exchange with a server: sending, trying again, and reading no more than there can be.

What passes (429, 5xx, a broken connection, silence) is tried again, later and later; the rest is said at
once, and so is the silence of a server that never said anything. Redirects are never followed: the text and
the key are for the server that was named.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from pipeline.engines import EngineError
from pipeline.engines.server import reading
from pipeline.engines.server.keys import Key
from pipeline.engines.server.refusals import RefusedError, refused, said
from pipeline.engines.server.stream import Events
from pipeline.servers import ServerModel

T = TypeVar("T")

BODY = 1 << 26
"""Bytes that a whole answer may have: the log-probabilities of a long prompt."""
REASON = 1 << 16
"""The same where something is refused."""
STREAMED, A_TOKEN = 1 << 20, 1 << 12
"""Bytes that a stream may have, and so many more for each token that may be written."""


PASSING = (408, 409, 425, 429)


@dataclass(frozen=True)
class Patience:
    """How long to wait. `tries` of a request; `first` seconds before the second, twice that before the next.

    A server that asks for more than `longest` seconds is not waited for; `silence` is how long it may
    say nothing.
    """

    tries: int = 5
    first: float = 0.5
    longest: float = 60.0
    silence: float = 120.0


class PassingError(Exception):
    """What may be otherwise in a while. `wait`: seconds that the server asks for."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class SilentError(PassingError):
    """Nothing was said in time."""


class Connection:
    """The server, while inside `open`. `reached`: it has answered before."""

    def __init__(
        self, server: ServerModel, key: Key, patience: Patience, client: httpx.AsyncClient, reached: bool
    ) -> None:
        self.server, self.key, self._patience = server, key, patience
        self._client = client
        self.reached = reached

    @classmethod
    @asynccontextmanager
    async def open(
        cls, server: ServerModel, key: Key, patience: Patience, trust: ssl.SSLContext, reached: bool
    ) -> AsyncIterator[Connection]:
        """Connections are kept while inside, and made when there is something to send."""
        # Not compressed: a few bytes could become a memory full. And no proxy for what stays on this machine.
        headers = {"Accept-Encoding": "identity", "User-Agent": "cai-studio", **key.headers()}
        waits = httpx.Timeout(patience.silence, connect=min(10.0, patience.silence), pool=None)
        kept = httpx.Limits(max_connections=None, max_keepalive_connections=256)
        async with httpx.AsyncClient(
            headers=headers,
            timeout=waits,
            limits=kept,
            verify=trust,
            follow_redirects=False,
            trust_env=not server.here,
        ) as client:
            yield cls(server, key, patience, client, reached)

    async def ask(self, path: str, body: Mapping[str, Any] | None = None, trying: bool = False) -> Any:
        """The JSON that answers a POST of `body`, or a GET without one. Raises EngineError.

        `trying`: it may not be possible, and a server that fails at it will fail again.
        """

        async def once() -> Any:
            async with self._sent(path, body, trying) as response:
                return await self._whole(response, BODY)

        return await self.patiently(once)

    async def events(self, path: str, body: Mapping[str, Any], max_tokens: int) -> AsyncGenerator[Any, None]:
        """The events that answer a request for a stream, tried once.

        Raises PassingError where it breaks off, EngineError where it can't be had.
        """
        async with self._sent(path, body) as response:
            if "json" in response.headers.get("content-type", ""):  # one that can't stream
                yield await self._whole(response, BODY)
                return
            events, size = Events(), 0
            async for data in response.aiter_raw():
                size += len(data)
                if size > STREAMED + A_TOKEN * max_tokens:
                    raise EngineError(f"{self.server.host} sends without end: more than {size >> 20} MB")
                for event in events.feed(data):
                    if event == b"[DONE]":
                        return
                    yield self._event(event)
            if (last := events.rest()) and last != b"[DONE]":
                yield self._event(last)

    async def patiently(self, once: Callable[[], Awaitable[T]]) -> T:
        """Do it, again where it may go better later. Raises EngineError when it did not."""
        for attempt in range(self._patience.tries):
            try:
                return await once()
            except PassingError as error:
                last, latest = error, attempt + 1 == self._patience.tries
            if last.wait > self._patience.longest:
                raise EngineError(f"{last}, and asks to wait {last.wait:.0f} s: go on then")
            if isinstance(last, SilentError) and not self.reached:
                # It would be waited for again as long, and by all who wait behind.
                raise EngineError(
                    f"{last}, and has not answered before: is this its address? If it needs longer at first, "
                    "set CAI_SERVER_TIMEOUT to more seconds"
                ) from last
            if latest:
                break
            # Not all at the same time again.
            backoff = self._patience.first * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311
            await asyncio.sleep(max(last.wait, min(backoff, self._patience.longest)))
        raise EngineError(
            f"{last}: tried {self._patience.tries} times. What is finished is kept; the same command goes on"
        ) from last

    @asynccontextmanager
    async def _sent(
        self, path: str, body: Mapping[str, Any] | None, trying: bool = False
    ) -> AsyncIterator[httpx.Response]:
        url = f"{self.server.url}/{path}"
        method = "GET" if body is None else "POST"
        try:
            async with self._client.stream(method, url, json=body) as response:
                self.reached = True
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise EngineError(f"{self.server.host} answers compressed, though asked not to")
                if response.status_code != 200:
                    await self._refuse(response, trying)
                yield response
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if not self.reached:  # most likely a wrong address
                raise EngineError(
                    f"no server answers at {self.server.url} ({_short(error)}): is it started, and is this "
                    "its address?"
                ) from error
            raise PassingError(f"{self.server.url} can't be reached any more ({_short(error)})") from error
        except httpx.TimeoutException as error:
            seconds = f"{self._patience.silence:.0f} s"
            raise SilentError(f"{self.server.host} said nothing for {seconds}") from error
        except httpx.TransportError as error:
            raise PassingError(f"the connection to {self.server.host} broke ({_short(error)})") from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise EngineError(f"{self.server.url}: not an address that can be asked") from error

    async def _refuse(self, response: httpx.Response, trying: bool) -> None:
        status, reason = response.status_code, bytearray()
        async for data in response.aiter_raw():
            reason += data
            if len(reason) > REASON:
                break
        words = said(self.key, bytes(reason))
        if (status in PASSING or status >= 500) and status not in ((500, 501) if trying else (501,)):
            wait = _wait(response.headers.get("retry-after", ""))
            raise PassingError(f"{self.server.host} is not able to answer ({status}{words})", wait)
        raise refused(self.server, self.key, status, words)

    async def _whole(self, response: httpx.Response, most: int) -> Any:
        body = bytearray()
        async for data in response.aiter_raw():
            body += data
            if len(body) > most:
                raise EngineError(f"{self.server.host} sends without end: more than {most >> 20} MB")
        try:
            reply = self.key.parsed(bytes(body))
        except ValueError as error:
            raise EngineError(
                f"{self.server.url} answers with something else than JSON: is this the address of its API? "
                "It mostly ends in /v1"
            ) from error
        self._failed(reply)
        return reply

    def _event(self, data: bytes) -> Any:
        try:
            event = self.key.parsed(data)
        except ValueError as error:
            raise EngineError(f"{self.server.host} streams something else than JSON") from error
        self._failed(event)
        return event

    def _failed(self, reply: Any) -> None:
        """Some say 200 first, and then that it failed."""
        if error := reading.dig(reply, "error"):
            code = reading.dig(error, "code")
            words = said(self.key, json.dumps(reply).encode())
            if isinstance(code, int) and 400 <= code < 500 and code != 429:
                raise RefusedError(f"{self.server.host} refuses the request{words}", code, words)
            raise PassingError(f"{self.server.host} failed in the middle of an answer{words}")


def _wait(header: str) -> float:
    """Seconds that a `Retry-After` asks for, as a number or as a time; 0 where it says nothing."""
    try:
        return max(0.0, float(header)) if header else 0.0
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(header)
        return max(0.0, then.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _short(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__
