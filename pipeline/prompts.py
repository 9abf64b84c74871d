"""Read prompt files: plain text, or JSONL (also gzipped) in the forms of the ecosystem.

A row may be our own record (`messages`), a `prompt` (text or messages), MT-bench `turns` (the first
is taken), or an hh-rlhf transcript (`chosen`: its last answer is dropped). A bad row is reported with
its line and the others are kept; equal prompts are merged.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.errors import InputError
from pipeline.records import Message, Prompt, as_json, content_id, parse, well_formed

_TURN = re.compile(r"\n\n(Human|Assistant): ?")


@dataclass(frozen=True)
class PromptFile:
    """What a file held: its prompts in order, what was wrong with the others, and how many were equal."""

    prompts: tuple[Prompt, ...]
    problems: tuple[str, ...]
    duplicates: int


def read(path: Path) -> PromptFile:
    """Read a prompt file. Raises InputError where nothing in it is a prompt."""
    if path.exists() and not path.is_file():
        # A run copies its prompts beside its results: it reads them twice, which a pipe can't.
        raise InputError([f"{path}: is not a file"])
    found: dict[str, Prompt] = {}
    problems: list[str] = []
    duplicates = 0
    try:
        for number, line in _lines(path):
            try:
                prompt = _prompt(line, path)
                if (first := found.get(prompt.id)) and first.messages != prompt.messages:
                    raise ValueError(f"the id {prompt.id} is already another prompt's")
            except (ValueError, KeyError, RecursionError) as error:
                problems.append(f"{path}:{number}: {_reason(error)}")
                continue
            duplicates += prompt.id in found
            found.setdefault(prompt.id, prompt)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError([f"{path}: can't be read: {error}"]) from error
    if not found:
        raise InputError([f"{path}: no prompts in this file", *problems[:20]])
    return PromptFile(tuple(found.values()), tuple(problems), duplicates)


def from_text(text: str) -> Prompt:
    """A prompt typed by hand. Raises ValueError where it is empty."""
    return _from_messages((Message("user", well_formed(text).strip()),))


def write(prompts: tuple[Prompt, ...], path: Path) -> None:
    """Write prompts as our own JSONL."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(as_json(prompt)) + "\n" for prompt in prompts)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line := (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).strip():
                yield number, line


def _prompt(line: bytes, path: Path) -> Prompt:
    text = line.decode("utf-8")
    if path.name.removesuffix(".gz").endswith(".txt"):
        return from_text(text)
    row = json.loads(text)
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    if "messages" in row and "id" in row and set(row) <= set(Prompt.__dataclass_fields__):
        prompt = parse(Prompt, row)
        _from_messages(prompt.messages)
        return prompt
    return _from_messages(_messages(row), source=path.name)


def _messages(row: dict[str, Any]) -> tuple[Message, ...]:
    if isinstance(turns := row.get("turns"), list) and turns:
        return (parse(Message, {"role": "user", "content": turns[0]}),)
    for field in ("messages", "prompt"):
        if isinstance(value := row.get(field), list):
            if not all(isinstance(m, dict) for m in value):
                raise ValueError(f"{field}: a message that is not an object")
            return tuple(parse(Message, {k: m[k] for k in ("role", "content")}) for m in value)
    if isinstance(transcript := row.get("chosen"), str) and transcript.lstrip().startswith("Human:"):
        return _transcript(well_formed(transcript))
    if isinstance(text := row.get("prompt"), str):
        text = well_formed(text)
        return _transcript(text) if text.startswith("\n\nHuman:") else (Message("user", text.strip()),)
    raise ValueError("no prompt here: expected one of `messages`, `prompt`, `turns`, `chosen`")


def _transcript(text: str) -> tuple[Message, ...]:
    parts = _TURN.split(text if text.startswith("\n\n") else f"\n\n{text.lstrip()}")
    turns = [
        Message("user" if who == "Human" else "assistant", said.strip())
        for who, said in zip(parts[1::2], parts[2::2], strict=True)
    ]
    while turns and turns[-1].role == "assistant":
        turns.pop()
    return tuple(turns)


def _from_messages(messages: tuple[Message, ...], source: str = "") -> Prompt:
    if not messages or messages[-1].role != "user":
        raise ValueError("a prompt's last message must be the user's")
    if not messages[-1].content.strip():
        raise ValueError("an empty prompt")
    return Prompt(id=content_id([as_json(m) for m in messages]), messages=messages, source=source)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    if isinstance(error, KeyError):
        return f"a message without {error}"
    return str(error) or type(error).__name__
