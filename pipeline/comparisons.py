"""Pair files of any form, with what people chose in them: ours, hh-rlhf, TRL, ShareGPT, arena, ICAI.

The forms are in `comparison_forms.py`. Files are JSONL, a JSON array, CSV, TSV or Parquet, gzipped or
not; a run's directory stands for its pairs. A bad row is reported with its line and the others are kept.
Read by `cai label --pairs FILE`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from pipeline import pairs
from pipeline.comparison_forms import PAIRS, UNKNOWN, Comparison, from_row, ours, source
from pipeline.errors import InputError, UserError
from pipeline.prompt_forms import from_messages
from pipeline.prompt_rows import Columns, rows
from pipeline.prompts import OnProgress
from pipeline.records import Axis, Choice, Judgment, Pair, PromptKind, parse
from pipeline.row_problems import first, reason

KINDS: dict[Axis, PromptKind] = {"harmless": "red_team", "helpful": "helpful"}

_JUDGED = frozenset(field.name for field in fields(Judgment))
JUDGMENTS = Columns("judgments", _JUDGED, _JUDGED, frozenset({"pair_id"}))


@dataclass(frozen=True)
class PairFile:
    """What a file held: its pairs in order, the human choices, and what was wrong.

    `problems` are rows that were left out, `duplicates` counts repeats, which were merged. `conflicts` are
    rows that choose otherwise than an earlier one of the same pair: the file's people disagree, and the
    pair is kept with a tie.
    """

    pairs: tuple[Pair, ...]
    judgments: tuple[Judgment, ...] = ()
    problems: tuple[str, ...] = ()
    duplicates: int = 0
    conflicts: tuple[str, ...] = ()

    def report(self) -> list[str]:
        """What a person should know of the reading: the first problems, then counts."""
        lines = [*first(self.problems), *first(self.conflicts, "rows with another choice")]
        if self.duplicates:
            lines.append(f"repeats of earlier pairs, merged: {self.duplicates:,}")
        if unknown := sum(pair.messages == UNKNOWN for pair in self.pairs):
            lines.append(f"pairs without a prompt, shown as “{UNKNOWN[0].content}”: {unknown:,}")
        return lines


def read(path: Path, axis: Axis = "harmless", on_progress: OnProgress = lambda rows, done: None) -> PairFile:
    """Read a file of pairs or a run's directory; `axis` is what its people chose by.

    Raises InputError where nothing in it is a pair, UserError for a run that has none yet.
    """
    if os.path.isdir(path):
        return _run(path, axis, on_progress)
    reading = _Reading(path, axis)
    count = 0
    for count, row in enumerate(rows(path, PAIRS), 1):
        if count % 1000 == 0:
            on_progress(count, row.at)
        if row.problem:
            reading.problems.append(f"{path}:{row.line}: {row.problem}")
            continue
        try:
            reading.take(row.value, row.line)
        except (ValueError, KeyError, RecursionError) as error:
            reading.problems.append(f"{path}:{row.line}: {reason(error)}")
    on_progress(count, 1.0)
    return reading.result()


class _Reading:
    """A file on its way: its pairs by id, and for each the choice with the line where it was made first."""

    def __init__(self, path: Path, axis: Axis) -> None:
        self.path, self.axis = path, axis
        self.pairs: dict[str, Pair] = {}
        self.choices: dict[str, tuple[Choice, int]] = {}
        self.problems: list[str] = []
        self.conflicts: list[str] = []
        self.duplicates = 0

    def take(self, row: object, line: int) -> None:
        """Put one row where it belongs. Raises ValueError or KeyError."""
        pair, choice = self._understood(row)
        self.duplicates += pair.id in self.pairs
        self.pairs.setdefault(pair.id, pair)
        if choice is None:
            return
        earlier, where = self.choices.setdefault(pair.id, (choice, line))
        if earlier != choice:
            self.choices[pair.id] = "tie", where
            self.conflicts.append(
                f"{self.path}:{line}: chooses otherwise than line {where} for the same pair: kept as a tie"
            )

    def _understood(self, row: object) -> tuple[Pair, Choice | None]:
        if made := ours(row):
            # Made anew, so that a file edited by hand has sides that say nothing, too.
            pair = pairs.make_pair(
                made.prompt_id,
                from_messages(made.messages).messages,
                made.response_a,
                made.response_b,
                made.source_a,
                made.source_b,
                made.kind,
                made.group,
            )
            return pair, None
        found = from_row(row)
        pair = pairs.make_pair(
            found.prompt_id,
            from_messages(found.messages).messages,
            found.first,
            found.second,
            source(found.sources[0], self.path.name),
            source(found.sources[1], self.path.name),
            KINDS[self.axis],
        )
        return pair, _choice(pair, found)

    def result(self) -> PairFile:
        """All of it. Raises InputError where there is no pair."""
        if not self.pairs:
            raise InputError([f"{self.path}: no pairs in this file", *first(self.problems)])
        judged = (
            Judgment(
                pair_id=id,
                axis=self.axis,
                annotator=self.path.name,
                annotator_kind="imported",
                choice=choice,
                picked_by="imported",
            )
            for id, (choice, _) in self.choices.items()
        )
        return PairFile(
            tuple(self.pairs.values()),
            tuple(judged),
            tuple(self.problems),
            self.duplicates,
            tuple(self.conflicts),
        )


def _choice(pair: Pair, found: Comparison) -> Literal["a", "b", "tie"] | None:
    if found.chosen is None or found.chosen == "tie":
        return found.chosen
    return pairs.side_of(pair, found.first if found.chosen == "first" else found.second)


def read_judgments(path: Path) -> tuple[list[Judgment], list[str]]:
    """The rows of a human.jsonl, and what was wrong with the others. Raises InputError for another file."""
    found: list[Judgment] = []
    problems: list[str] = []
    for row in rows(path, JUDGMENTS):
        try:
            if row.problem:
                raise ValueError(row.problem)
            if not isinstance(row.value, dict):
                raise ValueError("not a JSON object")
            found.append(parse(Judgment, row.value))
        except (ValueError, RecursionError) as error:
            problems.append(f"{path}:{row.line}: {reason(error)}")
    if problems and not found:
        raise InputError([f"{path}: no judgments in this file", *first(problems)])
    return found, problems


def _run(folder: Path, axis: Axis, on_progress: OnProgress) -> PairFile:
    """The pairs of a run, of `cai pairs` or of `cai label`, and what people chose of them."""
    file = next(filter(Path.is_file, _places(folder, "pairs.jsonl")), None)
    if file is None:
        part = folder / "outputs" / "pairs.jsonl.part"
        if part.is_file():
            raise UserError(f"{folder}: this run is not finished: give its command again, or name {part}")
        raise UserError(
            f"{folder}: has neither outputs/pairs.jsonl nor inputs/pairs.jsonl: not a run with pairs"
        )
    held = read(file, axis, on_progress)
    ids = {pair.id for pair in held.pairs}
    judgments: list[Judgment] = []
    problems: list[str] = []
    for human in filter(Path.is_file, _places(folder, "human.jsonl")):
        judged, wrong = read_judgments(human)
        judgments += (judgment for judgment in judged if judgment.pair_id in ids)
        strange = sum(judgment.pair_id not in ids for judgment in judged)
        problems += [*wrong, *([f"{human}: judgments of other pairs: {strange:,}"] if strange else [])]
    return PairFile(held.pairs, tuple(judgments), (*held.problems, *problems), held.duplicates)


def _places(folder: Path, name: str) -> Iterator[Path]:
    return (folder / place / name for place in ("outputs", "inputs"))
