"""What a server refuses, in plain words, with what to do about it."""

from __future__ import annotations

import re

from pipeline.engines import EngineError
from pipeline.engines.server import reading
from pipeline.engines.server.keys import GENERAL, Key
from pipeline.servers import ServerModel

EXCERPT = 300

_LONG = re.compile(
    r"context.{0,20}(length|size|window)|maximum.{0,20}length|too long|exceed\w*.{0,30}context", re.IGNORECASE
)


class RefusedError(EngineError):
    """The server will not do this, now or later. `words` are its own."""

    def __init__(self, message: str, status: int, words: str) -> None:
        super().__init__(message)
        self.status, self.words = status, words

    @property
    def too_long(self) -> bool:
        """Whether it is because the prompt with its answer does not fit into the model's context."""
        return self.status in (400, 413, 422) and bool(_LONG.search(self.words))


def refused(server: ServerModel, key: Key, status: int, words: str) -> RefusedError:
    """What to say of an answer that is neither 200 nor one that passes."""
    return RefusedError(_message(server, key, status, words), status, words)


def said(key: Key, body: bytes) -> str:
    """The server's own words, `: ` before them, short and on one line; empty where there are none.

    Without the key, which some repeat.
    """
    try:
        reply = key.parsed(body)
    except ValueError:
        plain = key.hide(body).decode("utf-8", "replace")
        reply = "" if plain.lstrip().startswith("<") else plain
    for place in (("error", "message"), ("error",), ("message",), ("detail",), ()):
        if isinstance(words := reading.dig(reply, *place), str) and words.strip():
            plain = "".join(c if c.isprintable() else " " for c in words)
            return f": {' '.join(plain.split())[:EXCERPT]}"
    return ""


def _message(server: ServerModel, key: Key, status: int, words: str) -> str:
    if 300 <= status < 400:
        return f"{server.url} sends elsewhere ({status}), which is not followed: name that address itself"
    if status == 401 and key.withheld:
        return (
            f"{server.host} wants a key, and the one in {key.variable} is not sent there, for the connection "
            "is not encrypted: use https, or a server on this machine"
        )
    if status == 401:
        what = f"refuses the key in {key.variable}" if key.secret else f"wants a key: put it into {GENERAL}"
        return f"{server.host} {what}{words}"
    if status == 402:
        return f"{server.host} wants to be paid first{words}"
    if status == 403:
        return f"{server.host} does not let this key use {server.model}{words}"
    if status == 404:
        return (
            f"{server.url} has no model {server.model}, or its API is elsewhere (it mostly ends in /v1)"
            f"{words}"
        )
    return f"{server.host} refuses the request ({status}){words}"
