"""Pair files: our own pairs.jsonl."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.records import Axis, Judgment, Pair, parse


@dataclass(frozen=True)
class PairFile:
    """The pairs of a file, and the human choices that it brings along."""

    pairs: list[Pair]
    judgments: list[Judgment] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    duplicates: int = 0

    def report(self) -> list[str]:
        return self.problems


def read(
    path: Path, axis: Axis = "harmless", on_progress: Callable[[int], None] = lambda done: None
) -> PairFile:
    """Read our own pairs.jsonl."""
    folder = path if path.is_dir() else None
    file = folder / "outputs" / "pairs.jsonl" if folder else path
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    human = folder / "inputs" / "human.jsonl" if folder else path.with_name("human.jsonl")
    judged = [json.loads(line) for line in human.read_text("utf-8").splitlines()] if human.exists() else []
    return PairFile([parse(Pair, row) for row in rows], [parse(Judgment, row) for row in judged])
