"""What a row of a prompt file says: the forms of the ecosystem, each to the messages of a prompt.

Ours, chat `messages`, TRL `prompt`, hh-rlhf transcripts, Alpaca, ShareGPT, MT-bench. Where a row goes on
to an answer, the answer is dropped: a prompt ends with the last turn of the person.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from pipeline.errors import UserError
from pipeline.records import Message, Prompt, content_id, parse, well_formed

MAX_ROW = 1_000_000
"""The longest row, in bytes of its file and in characters of its messages."""

TEXT_COLUMNS = frozenset(
    {"prompt", "chosen", "transcript", "instruction", "question", "text", "input", "system"}
)
"""What a table of texts may name its columns; `input` and `system` go with another."""

_OURS = {field.name for field in fields(Prompt)}
COLUMNS = TEXT_COLUMNS | _OURS | {"messages", "conversations", "conversation", "turns"}

_TURN = re.compile(r"\n\n(Human|Assistant): ?")
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "developer": "system",
}


class OverlongError(UserError, ValueError):
    """A prompt that is longer than a record may be: a file's bad row, or what a person typed."""


def from_row(row: object, source: str) -> Prompt:
    """The prompt in a row. Raises ValueError or KeyError that says what is wrong with it."""
    if isinstance(row, dict) and _is_ours(row):
        prompt = parse(Prompt, row)
        from_messages(prompt.messages)
        return prompt
    return from_messages(messages_of(row), source)


def from_messages(messages: tuple[Message, ...], source: str = "") -> Prompt:
    """A prompt of these messages, with the id that they give it.

    Raises ValueError, which is a UserError too where they are too long.
    """
    if not messages or messages[-1].role != "user":
        raise ValueError("a prompt's last message must be the user's")
    if not messages[-1].content.strip():
        raise ValueError("an empty prompt")
    if sum(len(message.content) for message in messages) > MAX_ROW:
        raise OverlongError(f"a prompt longer than {MAX_ROW:,} characters: shorten it")
    # Not by `as_json`, whose deep copies are most of the time of a large import.
    plain = [{"role": message.role, "content": message.content} for message in messages]
    return Prompt(id=content_id(plain), messages=messages, source=source)


def _is_ours(row: dict[str, Any]) -> bool:
    # Others, too, have rows of `id` and `messages`; theirs end with an answer, or count with numbers.
    match row:
        case {"id": str(), "messages": [*_, {"role": "user"}]}:
            return set(row) <= _OURS
    return False


def messages_of(row: object) -> tuple[Message, ...]:
    """The conversation that a row asks, up to its last question. Raises ValueError or KeyError."""
    if isinstance(row, str):
        return _user(row)
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    return with_system(row, _said(row))


def with_system(row: dict[str, Any], said: tuple[Message, ...]) -> tuple[Message, ...]:
    """A conversation after the `system` text of its row, unless it has one of its own."""
    system = row.get("system")
    before = (Message("system", well_formed(system)),) if isinstance(system, str) and system.strip() else ()
    return said if said[:1] and said[0].role == "system" else before + said


def _said(row: dict[str, Any]) -> tuple[Message, ...]:
    if isinstance(turns := row.get("turns"), list) and turns:
        return (message("user", turns[0]),)
    for field in ("messages", "conversations", "conversation", "prompt"):
        if isinstance(value := row.get(field), list):
            return _to_last_question(conversation(value, field))
    if isinstance(text := row.get("prompt"), str):
        return _user(text)
    for field in ("chosen", "transcript"):
        if isinstance(value := row.get(field), list):
            return _to_last_question(conversation(value, field))
        if isinstance(value, str) and is_transcript(value):
            return _to_last_question(transcript(value))
    if isinstance(text := row.get("instruction"), str):
        more = row.get("input")
        return _user(f"{text}\n\n{more}" if isinstance(more, str) and more.strip() else text)
    for field in ("question", "text"):
        if isinstance(text := row.get(field), str):
            return _user(text)
    raise ValueError(
        "no prompt here: expected `prompt`, `messages`, `conversations`, `turns`, `chosen`, `instruction`, "
        "`question` or `text`"
    )


def _user(text: str) -> tuple[Message, ...]:
    text = well_formed(text)
    if text.startswith("\n\nHuman:"):
        return _to_last_question(transcript(text))
    return (Message("user", text.strip()),)


def message(role: object, content: object) -> Message:
    """One turn, whatever its role is called. Raises ValueError."""
    if isinstance(role, str):
        role = _ROLES.get(role.lower(), role.lower())
    return parse(
        Message, {"role": role, "content": well_formed(content) if isinstance(content, str) else content}
    )


def conversation(turns: list[Any], field: str) -> list[Message]:
    """All turns of a list of messages. Raises ValueError or KeyError."""
    if not all(isinstance(turn, dict) for turn in turns):
        raise ValueError(f"{field}: a message that is not an object")
    return [turn_of(turn) for turn in turns]


def turn_of(turn: dict[str, Any]) -> Message:
    """A message in chat's words or in ShareGPT's. Raises ValueError or KeyError."""
    return message(
        turn["from"] if "from" in turn else turn["role"],
        turn["value"] if "value" in turn else turn["content"],
    )


def is_transcript(text: str) -> bool:
    """Whether a text is the turns of hh-rlhf."""
    return text.lstrip().startswith("Human:")


def transcript(text: str) -> list[Message]:
    """All turns of an hh-rlhf transcript."""
    text = well_formed(text)
    parts = _TURN.split(text if text.startswith("\n\n") else f"\n\n{text.lstrip()}")
    return [
        Message("user" if who == "Human" else "assistant", said.strip())
        for who, said in zip(parts[1::2], parts[2::2], strict=True)
    ]


def _to_last_question(turns: list[Message]) -> tuple[Message, ...]:
    while turns and turns[-1].role == "assistant":
        turns.pop()
    return tuple(turns)
