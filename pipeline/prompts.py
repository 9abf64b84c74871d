"""Prompts: files in the forms of the ecosystem, and the shipped sets.

A file is text (a prompt a line), JSONL, a JSON array, CSV, TSV or Parquet; all but Parquet may be gzipped.
A bad row is reported with its line and the others are kept; equal prompts are merged. The sets lie in
`prompt_sets/`, in the project's own words. Commands: `cai prompts import`, `list` and `show`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from pipeline import bounded
from pipeline.errors import InputError, UserError
from pipeline.prompt_forms import from_messages, from_row
from pipeline.prompt_rows import rows
from pipeline.records import Message, Prompt, as_json, well_formed
from pipeline.row_problems import first, reason
from pipeline.rundir import write_atomically

Kind = Literal["red_team", "helpful"]
Split = Literal["train", "heldout"]
SETS: dict[str, Kind] = {"red-team": "red_team", "helpful": "helpful"}
"""The shipped sets, by the name that stands for a file."""
WRITTEN = Path(__file__).parent / "demonstrations" / "chains.jsonl"
"""What the project's own chains ask: `written`. A critic learns from these, and so they are no such set."""

SPLITS: tuple[Split, ...] = ("train", "heldout")

OnProgress = Callable[[int, float], None]
"""Told how many rows are read, and how much of the file that is, 0 to 1."""


def silent(rows: int, done: float) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class PromptFile:
    """What a file held: its prompts in order, what was wrong with the others, and how many were equal."""

    prompts: tuple[Prompt, ...]
    problems: tuple[str, ...]
    duplicates: int

    def report(self) -> list[str]:
        """What a person should know of the reading: the first problems, then counts."""
        lines = first(self.problems)
        if self.duplicates:
            lines.append(f"repeats of earlier prompts, merged: {self.duplicates:,}")
        return lines


def read(path: Path, on_progress: OnProgress = silent) -> PromptFile:
    """Read a prompt file. Raises InputError where nothing in it is a prompt."""
    found: dict[str, Prompt] = {}
    problems: list[str] = []
    duplicates = count = 0
    for count, row in enumerate(rows(path), 1):
        if count % 1000 == 0:
            on_progress(count, row.at)
        if row.problem:
            problems.append(f"{path}:{row.line}: {row.problem}")
            continue
        try:
            prompt = from_row(row.value, path.name)
            if (earlier := found.get(prompt.id)) and earlier.messages != prompt.messages:
                raise ValueError(f"the id {prompt.id} is already another prompt's")
        except (ValueError, KeyError, RecursionError) as error:
            problems.append(f"{path}:{row.line}: {reason(error)}")
            continue
        duplicates += prompt.id in found
        found.setdefault(prompt.id, prompt)
    on_progress(count, 1.0)
    if not found:
        what = "no prompts in this file"
        if problems and all(": not JSON: " in problem for problem in problems):
            what += ": no line is JSON, and plain text needs a name that ends with .txt"
        raise InputError([f"{path}: {what}", *first(problems)])
    return PromptFile(tuple(found.values()), tuple(problems), duplicates)


def from_text(text: str) -> Prompt:
    """A prompt typed by hand. Raises ValueError where it is empty, UserError where it is too long."""
    return from_messages((Message("user", well_formed(text).strip()),))


def mark(
    prompts: Iterable[Prompt], kind: Kind | None = None, split: Split | None = None, tags: Iterable[str] = ()
) -> tuple[Prompt, ...]:
    """The prompts with this kind and split, where given, and these tags besides their own."""
    return tuple(
        replace(
            prompt,
            kind=kind or prompt.kind,
            split=split or prompt.split,
            tags=tuple(dict.fromkeys((*prompt.tags, *tags))),
        )
        for prompt in prompts
    )


def write(prompts: Iterable[Prompt], path: Path) -> None:
    """Write prompts as our own JSONL, whole or not at all."""
    write_atomically(path, "".join(json.dumps(as_json(prompt)) + "\n" for prompt in prompts))


@cache
def starter(kind: Kind) -> tuple[Prompt, ...]:
    """The shipped prompts of a kind, training ones first, then those held out."""
    [name] = (name for name, of in SETS.items() if of == kind)
    return read(Path(__file__).with_name("prompt_sets") / f"{name}.jsonl").prompts


def shipped(name_or_path: object) -> bool:
    """Whether this is the name of a shipped set, or of a part of one."""
    return str(name_or_path) == "written" or str(name_or_path).partition(":")[0] in SETS


@contextmanager
def find(name_or_path: str | Path) -> Iterator[Path]:
    """A prompt file: a file as it is, or a shipped set's split as a file for as long as it is used.

    `red-team` and `red-team:train` are its training prompts, `red-team:heldout` the others, and
    `red-team:train:20` twenty of them, spread evenly; `written` is what the project's own chains ask.
    Raises UserError that lists the sets.
    """
    name, _, part = str(name_or_path).partition(":")
    split, _, many = part.partition(":")
    if os.path.isfile(name_or_path) or (name not in SETS and {os.sep, "."} & set(str(name_or_path))):
        yield Path(name_or_path)
        return
    if str(name_or_path) == "written":
        yield WRITTEN
        return
    if name not in SETS:
        raise UserError(
            f"{name_or_path}: is neither a file nor a shipped prompt set ({', '.join([*SETS, 'written'])})"
        )
    split = split or "train"
    if split not in SPLITS:
        raise UserError(f"{name_or_path}: {name} has the splits {' and '.join(SPLITS)}, as {name}:heldout")
    some = [p for p in starter(SETS[name]) if p.split == split]
    if many:
        if not (count := bounded.number(many, len(some))):
            raise UserError(f"{name_or_path}: {many!r} is no number from 1 to {len(some)}")
        some = [some[i * len(some) // count] for i in range(count)]
    with tempfile.TemporaryDirectory(prefix="cai-") as folder:
        path = Path(folder) / f"{name}-{split}.jsonl"
        write(some, path)
        yield path
