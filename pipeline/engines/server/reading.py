"""What a server's JSON says. It may say anything: what is not as it should be counts as not said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST = 2**40
"""No count of tokens is larger."""


@dataclass(frozen=True)
class Token:
    """A token's text, its log-probability (nats), and its likeliest alternatives with theirs."""

    text: str
    logprob: float
    others: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Usage:
    """Tokens of a prompt and of what was written, as the server counts them."""

    prompt: int
    completion: int


def parsed(data: bytes) -> Any:
    """The JSON in these bytes. Raises ValueError, also for one that is nested too deep."""
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def dig(value: Any, *steps: str | int) -> Any:
    """What lies there in nested objects and lists; None where there is no such place."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def text(reply: Any) -> str:
    """What was written: a whole answer, or one event's piece of it, chat or plain."""
    choice = dig(reply, "choices", 0)
    for place in (("delta", "content"), ("message", "content"), ("text",)):
        if isinstance(said := dig(choice, *place), str):
            return said
    return ""


def finish(reply: Any) -> str:
    """Why it ended; empty while it goes on."""
    reason = dig(reply, "choices", 0, "finish_reason")
    return reason if isinstance(reason, str) else ""


def usage(reply: Any) -> Usage | None:
    """What it took, where the server says so."""
    prompt, completion = (dig(reply, "usage", name) for name in ("prompt_tokens", "completion_tokens"))
    completion = 0 if completion is None else completion  # vLLM's, where nothing was written
    return Usage(prompt, completion) if _count(prompt) and _count(completion) else None


def prompt_tokens(reply: Any) -> list[Token] | None:
    """The tokens of the prompt with their log-probabilities, the first one's 0; None where there are none.

    As `echo` gives them (https://platform.openai.com/docs/api-reference/completions), or vLLM's
    `prompt_logprobs`.
    """
    listed = dig(reply, "prompt_logprobs") or dig(reply, "choices", 0, "prompt_logprobs")
    if isinstance(listed, list) and len(listed) > 1:
        return _all([Token("", 0.0), *map(_vllm, listed[1:])])
    texts, logprobs = (dig(reply, "choices", 0, "logprobs", name) for name in ("tokens", "token_logprobs"))
    if not isinstance(texts, list) or not isinstance(logprobs, list) or len(texts) != len(logprobs):
        return None
    took = usage(reply)
    # One token more was written, for servers that take a limit of 0 as none.
    many = took.prompt if took else len(texts) - 1
    if not 1 < many <= len(texts):  # llama.cpp takes no notice of `echo`
        return None
    tokens = [_token(text, logprob) for text, logprob in zip(texts[1:many], logprobs[1:many], strict=True)]
    first = texts[0] if isinstance(texts[0], str) else ""
    return _all([Token(first, 0.0), *tokens])


def written_tokens(reply: Any) -> list[Token]:
    """The tokens that were written, with alternatives; none where the server gives none."""
    told = dig(reply, "choices", 0, "logprobs")
    listed = dig(told, "content")
    if isinstance(listed, list):
        return _all([_chat_token(one) for one in listed]) or []
    texts, logprobs, tops = (dig(told, name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if not isinstance(texts, list) or not isinstance(logprobs, list) or not isinstance(tops, list):
        return []
    if not len(texts) == len(logprobs) == len(tops):
        return []
    rows = [_token(*row) for row in zip(texts, logprobs, tops, strict=True)]
    return _all(rows) or []


def _chat_token(one: Any) -> Token | None:
    others = dig(one, "top_logprobs")
    listed = others if isinstance(others, list) else []
    pairs = {dig(o, "token"): dig(o, "logprob") for o in listed if isinstance(dig(o, "token"), str)}
    return _token(dig(one, "token"), dig(one, "logprob"), pairs)


def _vllm(entry: Any) -> Token | None:
    """The prompt's token among those of its place: the least likely, for the others are the likeliest."""
    listed = entry.values() if isinstance(entry, dict) else ()
    found = [_token(dig(o, "decoded_token"), dig(o, "logprob")) for o in listed]
    return min((token for token in found if token), key=lambda token: token.logprob, default=None)


def _token(text: Any, logprob: Any, others: Any = None) -> Token | None:
    if not isinstance(text, str) or not _logprob(logprob):
        return None
    top = others.items() if isinstance(others, dict) else ()
    return Token(text, min(0.0, float(logprob)), tuple((t, float(p)) for t, p in top if _logprob(p)))


def _all(tokens: Sequence[Token | None]) -> list[Token] | None:
    whole = [token for token in tokens if token is not None]
    return whole if len(whole) == len(tokens) else None


def _logprob(value: Any) -> bool:
    # A little above 0 is rounding; what is no finite number is in no range.
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e9 < value < 1e-3


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST
