"""A label run's folder beside human judgments, as the arrays that the statistics take."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from pipeline import constitution, over_principles
from pipeline import gate as gates
from pipeline.agreement import UNCHOSEN, Compared
from pipeline.comparisons import read_judgments
from pipeline.errors import InputError, UserError
from pipeline.gate import Gate
from pipeline.intervals import Floats, Ints
from pipeline.records import ALONE, AnnotatorKind, Axis, Judgment, Label, Pair, parse
from pipeline.refusals import refuses
from pipeline.row_problems import first
from pipeline.rundir import read_config

R = TypeVar("R")

KINDS: tuple[AnnotatorKind, ...] = ("person", "imported", "model")
_CHOICES = {"a": 1.0, "tie": 0.5, "b": 0.0}
_MANY = 10


@dataclass(frozen=True)
class Ratings:
    """What each annotator said of each unit: float[annotators, units], NaN for nothing; units' prompts."""

    names: tuple[str, ...]
    table: Floats
    cluster: Ints


@dataclass(frozen=True)
class Judged:
    """Judgments on one axis in the order of time, each of a labelled pair, and what was left out."""

    axis: Axis
    pairs: dict[str, Pair]
    labels: dict[str, tuple[float, float, float]]
    judgments: tuple[Judgment, ...]
    notes: tuple[str, ...]
    alone: bool = False  # each response was judged by itself

    @property
    def kinds(self) -> list[AnnotatorKind]:
        """Who judged: never are two kinds counted together."""
        return [kind for kind in KINDS if any(j.annotator_kind == kind for j in self.judgments)]

    def annotators(self, kind: str) -> list[str]:
        """The annotator of each judgment of this kind."""
        return [j.annotator for j in self._of(kind)]

    def compared(self, kind: str) -> Compared:
        """A row for each judgment of this kind."""
        rows = self._of(kind)
        pairs = [self.pairs[j.pair_id] for j in rows]
        p = np.array([self.labels[j.pair_id] for j in rows]).reshape(-1, 3)
        choice = np.array([_CHOICES[j.choice] for j in rows])
        found = beside(pairs, (p[:, 0], p[:, 1], p[:, 2]), choice, self._prompts(pairs))
        return replace(found, alone=self.alone)

    def gate(self, kind: str, threshold: float = gates.THRESHOLD) -> Gate:
        """What the gate says of the labels by the judgments of this kind."""
        decided = self.compared(kind).decided()
        return gates.gate(decided.correct, decided.cluster, threshold)

    def ratings(self, kind: str) -> Ratings:
        """The same by annotator, for their agreement among themselves."""
        rows = self._of(kind)
        names = tuple(sorted({j.annotator for j in rows}))
        units = list(dict.fromkeys(j.pair_id for j in rows))
        table = np.full((len(names), len(units)), math.nan)
        place, column = {n: i for i, n in enumerate(names)}, {u: i for i, u in enumerate(units)}
        for j in rows:
            table[place[j.annotator], column[j.pair_id]] = _CHOICES[j.choice]
        return Ratings(names, table, self._prompts([self.pairs[unit] for unit in units]))

    def _of(self, kind: str) -> list[Judgment]:
        return [j for j in self.judgments if j.annotator_kind == kind]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        prompts = dict.fromkeys(pair.prompt_id for pair in self.pairs.values())
        return {prompt: i for i, prompt in enumerate(prompts)}

    def _prompts(self, pairs: Iterable[Pair]) -> Ints:
        return np.array([self._numbers[pair.prompt_id] for pair in pairs], np.int64)


def beside(
    pairs: Sequence[Pair], p: tuple[Floats, Floats, Floats], choice: Floats, prompts: Ints
) -> Compared:
    """Pairs as the arrays that the statistics take; `p` is `p_a`, `p_ab`, `p_ba`, `prompts` numbers them."""
    return Compared(
        *p,
        choice,
        prompts,
        np.array([len(pair.response_a) for pair in pairs], np.int64),
        np.array([len(pair.response_b) for pair in pairs], np.int64),
        np.array([refuses(pair.response_a) for pair in pairs], np.bool_),
        np.array([refuses(pair.response_b) for pair in pairs], np.bool_),
    )


def read(folder: Path, human: Path | None = None, axis: Axis | None = None) -> Judged:
    """A label run's labels beside its own human.jsonl or another. Raises UserError."""
    if chosen := read_config(folder).get("selection"):
        raise UserError(
            f"{folder}: its pairs were chosen for what an AI said of them ({chosen}): no figures and no gate "
            "from these alone. Label the pairs that they were chosen from, and compare that run"
        )
    labels_file, notes = _labels_file(folder)
    pairs = {pair.id: pair for pair in _records(folder / "inputs" / "pairs.jsonl", Pair)}
    weights = {p.id: p.weight for p in constitution.load(folder / "inputs" / "constitution.yaml").principles}
    made = _records(labels_file, Label)
    labels, alone = aggregated(made, weights), all(label.method in ALONE for label in made)
    file = human or folder / "inputs" / "human.jsonl"
    if human is None and not file.is_file():
        raise UserError(f"{folder}: its pairs came without human choices: give judgments with --human FILE")
    if human:  # anybody's file: read as `cai preferences` reads it
        judgments, wrong = read_judgments(human)
        notes += first(wrong)
    else:
        judgments = _records(file, Judgment)
    axis = axis or _axis(judgments, file)
    blind = [j for j in judgments if j.blind]
    if len(judgments) > len(blind):
        notes.append(f"left out, made with the label in sight: {len(judgments) - len(blind):,} judgments")
    kept = [j for j in current(blind) if j.axis == axis and j.choice != "skip"]
    unchosen = [j for j in kept if j.picked_by in UNCHOSEN]
    known = [j for j in unchosen if j.pair_id in labels and j.pair_id in pairs]
    if len(kept) > len(unchosen):
        notes.append(f"left out, picked for what the AI said: {len(kept) - len(unchosen):,} judgments")
    if len(unchosen) > len(known):
        notes.append(f"left out, of pairs without a label: {len(unchosen) - len(known):,} judgments")
    if not known:
        raise UserError(f"{file}: no judgment on the axis {axis} is of a labelled pair of {folder}")
    return Judged(axis, pairs, labels, tuple(known), tuple(notes), alone)


def aggregated(labels: Iterable[Label], weights: dict[str, float]) -> dict[str, tuple[float, float, float]]:
    """For each pair `p_a`, `p_ab`, `p_ba`: means by weight over the principles that judged it."""
    of_pair: dict[str, list[Label]] = {}
    for label in labels:
        of_pair.setdefault(label.pair_id, []).append(label)
    means = {pair: over_principles.mean(some, weights, 1.0) for pair, some in of_pair.items()}
    return {pair: (over.p_a, over.p_ab, over.p_ba) for pair, over in means.items() if over}


def _labels_file(folder: Path) -> tuple[Path, list[str]]:
    whole = folder / "outputs" / "labels.jsonl"
    part = whole.with_name("labels.jsonl.part")
    if whole.is_file():
        return whole, []
    if part.is_file():
        return part, ["the run is not finished: these are the labels so far"]
    raise UserError(f"{folder}: has no outputs/labels.jsonl: give a run of `cai label`")


def _records(path: Path, kind: type[R]) -> list[R]:
    """The records of a file of ours. Raises InputError with the first bad lines."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    if path.suffix == ".part":
        lines = lines[:-1]  # the last one may be half written, as the run goes on
    found, problems = [], []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(parse(kind, json.loads(line)))
            except ValidationError as error:
                told = error.errors()[0]
                where = ".".join(map(str, told["loc"])) or kind.__name__.lower()
                problems.append(f"{path}:{number}: {where}: {told['msg']}")
            except ValueError as error:
                problems.append(f"{path}:{number}: is not JSON: {error}")
    if problems:
        more = [f"and {len(problems) - _MANY:,} more lines"] if len(problems) > _MANY else []
        raise InputError(problems[:_MANY] + more)
    return found


def _axis(judgments: Sequence[Judgment], file: Path) -> Axis:
    axes = sorted({j.axis for j in judgments})
    if not axes:
        raise UserError(f"{file}: holds no judgments")
    if len(axes) > 1:
        raise UserError(f"{file}: holds judgments on {' and '.join(axes)}: choose one with --axis")
    return axes[0]


def current(judgments: Iterable[Judgment]) -> list[Judgment]:
    """What each annotator said last of each pair on each axis, in the order of the first word on each.

    As in the studio: a judgment that is changed keeps its place, or a change could move it past a look.
    """
    latest: dict[tuple[str, str, str, str], Judgment] = {}
    for j in sorted(judgments, key=lambda j: j.time):  # stable: imported ones have no time
        latest[j.pair_id, j.axis, j.annotator_kind, j.annotator] = j
    return list(latest.values())
