"""What a row of a comparison file says: the forms of the ecosystem, each to a prompt with two responses.

Ours; `chosen` and `rejected` of hh-rlhf, TRL, ShareGPT and Alpaca; the arena's `response_a`, `response_b`
and `winner`; ICAI's `text_a`, `text_b` and `preferred_text` (github.com/rdnfn/icai, "your own data").
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

from pipeline.prompt_forms import (
    COLUMNS,
    MAX_ROW,
    TEXT_COLUMNS,
    conversation,
    is_transcript,
    message,
    messages_of,
    transcript,
    with_system,
)
from pipeline.prompt_rows import Columns
from pipeline.records import Message, Pair, Source, content_id, parse, well_formed

_CHOSEN = {"chosen", "rejected"}
_ARENA = {"response_a", "response_b", "model_a", "model_b", "winner"}
FLAGS = ("winner_model_a", "winner_model_b", "winner_tie")
_ICAI = {"text_a", "text_b", "preferred_text"}
_CONVERSATIONS = {"conversation_a", "conversation_b"}
_PROMPTED = TEXT_COLUMNS - {"chosen", "input", "system"} | {
    "messages",
    "conversations",
    "conversation",
    "turns",
}
_SIGNS = frozenset({"chosen", "response_a", "text_a"})
_TEXTS = TEXT_COLUMNS | _CHOSEN | _ARENA | {*FLAGS} | _ICAI
_OURS = {field.name for field in fields(Pair)}

PAIRS = Columns(
    "pairs", _TEXTS, COLUMNS | _TEXTS | _OURS | _CONVERSATIONS, _SIGNS | frozenset({"conversation_a"})
)

UNKNOWN = (Message("user", "(The prompt is not known.)"),)
"""Stands for the prompt of a pair that came without one, as ICAI's may."""

Chosen = Literal["first", "second", "tie"]
_WINNERS: dict[str, Chosen] = {
    "model_a": "first",
    "model_b": "second",
    "tie": "tie",
    "tie (bothbad)": "tie",
    "both_bad": "tie",
    "bothbad": "tie",
}
_PREFERRED: dict[str, Chosen] = {
    "text_a": "first",
    "text_b": "second",
    "a": "first",
    "b": "second",
    "tie": "tie",
}


@dataclass(frozen=True)
class Comparison:
    """Two responses to a conversation, and which was chosen; None where nobody said."""

    messages: tuple[Message, ...]
    first: str
    second: str
    chosen: Chosen | None = None
    sources: tuple[str, str] = ("", "")

    @property
    def prompt_id(self) -> str:
        """The id of the prompt, equal for equal ones; an unknown prompt is like no other."""
        plain = [{"role": message.role, "content": message.content} for message in self.messages]
        return content_id(plain if self.messages != UNKNOWN else sorted([self.first, self.second]))


def ours(row: object) -> Pair | None:
    """The pair in a row of our own, or None where it is of another form. Raises ValueError."""
    if isinstance(row, dict) and _holds(row, "prompt_id", "response_a", "response_b", "messages"):
        return parse(Pair, row)
    return None


def from_row(row: object) -> Comparison:
    """The comparison in a row. Raises ValueError or KeyError that says what is wrong with it."""
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    if _holds(row, "chosen", "rejected"):
        found = _chosen(row)
    elif _holds(row, "text_a", "text_b"):
        found = _icai(row)
    elif _holds(row, "response_a", "response_b") or _holds(row, *_CONVERSATIONS):
        found = _arena(row)
    else:
        raise ValueError(
            "no pair here: expected `chosen` and `rejected`, `response_a` and `response_b`, or `text_a` and "
            "`text_b`"
        )
    for text in (found.first, found.second):
        if not text:
            raise ValueError("an empty response")
        if len(text) > MAX_ROW:
            raise ValueError("longer than 1 MB")
    return found


def _holds(row: dict[str, Any], *names: str) -> bool:
    return all(row.get(name) is not None for name in names)


def _chosen(row: dict[str, Any]) -> Comparison:
    first, second = _Answer.of(row["chosen"], "chosen"), _Answer.of(row["rejected"], "rejected")
    before = _shared(first, second, "chosen and rejected")
    if before is not None:
        return Comparison(with_system(row, before), first.text, second.text, "first")
    rest = {name: value for name, value in row.items() if name not in _CHOSEN}
    if any(_holds(rest, name) for name in _PROMPTED):
        return Comparison(messages_of(rest), first.text, second.text, "first")
    prompt, ends = _common_start(first.text, second.text)
    return Comparison(with_system(row, (message("user", prompt),)), *ends, "first")


def _icai(row: dict[str, Any]) -> Comparison:
    first, second = _Answer.of(row["text_a"], "text_a"), _Answer.of(row["text_b"], "text_b")
    before = _shared(first, second, "text_a and text_b")
    asked = row.get("prompt") or row.get("input")
    if before is None:
        before = messages_of({"prompt": asked}) if asked else UNKNOWN
    said = row.get("preferred_text")
    chosen = None if said is None else _named(said, _PREFERRED, "preferred_text")
    return Comparison(before, first.text, second.text, chosen, _models(row))


def _arena(row: dict[str, Any]) -> Comparison:
    if _holds(row, *_CONVERSATIONS):
        first, second = (_Answer.of(row[name], name) for name in sorted(_CONVERSATIONS))
    else:
        turns = [_json_list(row.get(name)) for name in ("prompt", "response_a", "response_b")]
        if all(turn and not isinstance(turn[0], dict) for turn in turns):
            asked, *answers = (turn or [] for turn in turns)
            first, second = (_Answer.of(_woven(asked, said), "response") for said in answers)
        else:
            first, second = (_Answer.of(row[name], name) for name in ("response_a", "response_b"))
    before = _shared(first, second, "both conversations")
    if before is None:
        rest = {name: value for name, value in row.items() if name not in _ARENA}
        asked_in = _json_list(rest.get("prompt"))
        before = messages_of(rest if asked_in is None else rest | {"prompt": _questions(asked_in)})
    return Comparison(before, first.text, second.text, winner(row), _models(row))


@dataclass(frozen=True)
class _Answer:
    """What one side says, after the turns that it brings along, if any."""

    before: tuple[Message, ...]
    text: str

    @classmethod
    def of(cls, value: object, field: str) -> _Answer:
        if isinstance(value, str):
            listed = _json_list(value)
            if listed and isinstance(listed[0], dict) and {"content", "value"} & set(listed[0]):
                value = listed
        if isinstance(value, dict):
            value = [value]
        if isinstance(value, list):
            turns = conversation(value, field)
        elif isinstance(value, str):
            turns = (
                transcript(value)
                if is_transcript(value)
                else [Message("assistant", well_formed(value).strip())]
            )
        else:
            raise ValueError(f"{field}: not a response")
        if not turns or turns[-1].role != "assistant":
            raise ValueError(f"{field}: does not end with the assistant's turn")
        return cls(tuple(turns[:-1]), turns[-1].content.strip())


def _shared(first: _Answer, second: _Answer, what: str) -> tuple[Message, ...] | None:
    """The turns before both answers; None where they bring none. Raises ValueError where they differ."""
    if first.before != second.before:
        raise ValueError(f"{what} differ before their last turn")
    return first.before or None


def _common_start(first: str, second: str) -> tuple[str, tuple[str, str]]:
    """TRL's implicit prompt of two texts: the words with which both begin; and what follows in each."""
    apart = (i for i, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    start = next(apart, min(len(first), len(second)))
    while start and not first[start - 1].isspace():
        start -= 1  # back to the start of the word in which they part
    prompt = first[:start].strip()
    if not prompt:
        raise ValueError("no prompt: neither a column of its own, nor words with which both responses begin")
    return prompt, (first[start:].strip(), second[start:].strip())


def _json_list(value: object) -> list[Any] | None:
    """A list, or the JSON text of one; None for any other value."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, list) else None


def _woven(asked: list[Any], answers: list[Any]) -> list[dict[str, Any]]:
    """The arena's turns: lists of what was asked and of what was answered."""
    if len(asked) != len(answers):
        raise ValueError(f"{len(asked)} turns of prompt and {len(answers)} of response")
    if not all(isinstance(text, str) for text in (*asked, *answers)):
        raise ValueError("a turn that is not a text")
    turns = zip(asked, answers, strict=True)
    return [
        {"role": role, "content": text.strip()}
        for turn in turns
        for role, text in zip(("user", "assistant"), turn, strict=True)
    ]


def _questions(asked: Iterable[Any]) -> list[dict[str, Any]]:
    return [turn if isinstance(turn, dict) else {"role": "user", "content": turn} for turn in asked]


def winner(row: dict[str, Any]) -> Chosen | None:
    """Which side an arena row says has won; None where nobody said. Raises ValueError."""
    if row.get("winner") is not None:
        for side, name in (("first", row.get("model_a")), ("second", row.get("model_b"))):
            if name and row["winner"] == name and row.get("model_a") != row.get("model_b"):
                return "first" if side == "first" else "second"
        return _named(row["winner"], _WINNERS, "winner")
    if all(row.get(flag) is None for flag in FLAGS):
        return None
    won = [str(row.get(flag, "")).strip().lower() in ("1", "1.0", "true") for flag in FLAGS]
    if sum(won) != 1:
        raise ValueError(f"not just one of {', '.join(FLAGS)} is 1")
    sides: tuple[Chosen, ...] = ("first", "second", "tie")
    return sides[won.index(True)]


def _named(value: object, names: dict[str, Chosen], field: str) -> Chosen:
    found = names.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{field}: {str(value)[:40]!r} is none of {', '.join(names)}")
    return found


def _models(row: dict[str, Any]) -> tuple[str, str]:
    one, other = (row.get(name) for name in ("model_a", "model_b"))
    return (
        well_formed(one).strip() if isinstance(one, str) else "",
        well_formed(other).strip() if isinstance(other, str) else "",
    )


def source(name: str, file: str) -> Source:
    """Who wrote a response: the model that the row names, else the file that it came from."""
    return Source(name or file)
