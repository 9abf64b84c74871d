"""What training learns from: runs and files, read into lessons and preferences, with where they came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipeline import bounded, comparisons, written
from pipeline import constitution as constitutions
from pipeline.calibration import Calibration
from pipeline.compared_run import aggregated, current
from pipeline.errors import InputError, UserError
from pipeline.prompt_rows import rows
from pipeline.records import Axis, Chain, Label, Message, Pair, parse
from pipeline.row_problems import reason
from pipeline.rundir import numbered_rows, read_config
from pipeline.train.examples import Lesson, Preference, lesson, lessons_of

R = TypeVar("R")
Origin = dict[str, Any]
"""What a checkpoint's lineage says of one source."""


def from_chains(run: Path, every: bool) -> tuple[list[Lesson], Origin]:
    """The revisions of a run of `cai critique`, or of an exported chains.jsonl; rejected chains are none.

    Raises UserError where there are no chains.
    """
    chains = [chain for chain in chains_in(chains_file(run)) if chain.verdict != "rejected"]
    critics = sorted({chain.critic for chain in chains} - {chain.model for chain in chains} - {""})
    return lessons_of(chains, every), {
        "chains": str(run),
        "count": len(chains),
        "constitutions": sorted({chain.constitution for chain in chains}),
        "models": sorted({chain.model for chain in chains}),
        **({"critics": critics} if critics else {}),
        "seeds": sorted({chain.seed for chain in chains}),
        **_of_run(run),
    }


def responses(run: Path) -> tuple[dict[str, str], Origin]:
    """What a model answered in a run of `cai critique --prompts written`, by prompt.

    Raises UserError where nothing of it answers the project's chains.
    """
    chains = chains_in(chains_file(run))
    asked = {chain.prompt for chain in written.chains()}
    found = {chain.messages[-1].content: chain.steps[0].text for chain in chains if chain.steps}
    found = {prompt: text for prompt, text in found.items() if prompt in asked}
    if not found:
        raise UserError(f"{run}: answers none of the project's chains: draw it with --prompts written")
    by = sorted({chain.model for chain in chains})
    return found, {"responses": str(run), "responses_by": by, "responses_count": len(found)}


def chains_file(run: Path) -> Path:
    """The chains of a run of `cai critique`; or the file itself, where it is one. Raises UserError."""
    path = run / "outputs" / "chains.jsonl" if run.is_dir() else run
    if not path.is_file():
        raise UserError(f"{run}: no chains here: name a finished run of `cai critique`, or a chains.jsonl")
    return path


def chains_in(path: Path) -> list[Chain]:
    """Every chain of a file. Raises InputError with the line of one that is none."""
    return _records(Chain, path)


def from_demonstrations(path: Path) -> tuple[list[Lesson], Origin]:
    """Rows of `messages` whose last is the assistant's. Raises InputError with each bad row's line."""
    lessons, problems = [], []
    for row in rows(path):
        try:
            if row.problem or not isinstance(row.value, dict):
                raise ValueError(row.problem or "not a JSON object")
            messages = tuple(parse(Message, message) for message in row.value.get("messages") or ())
            if len(messages) < 2 or messages[-1].role != "assistant" or not messages[-1].content.strip():
                raise ValueError("expected `messages` that end with the assistant's answer")
            lessons.append(lesson(messages[:-1], messages[-1].content, f"{path.name}:{row.line}"))
        except (ValueError, TypeError) as error:
            problems.append(f"{path}:{row.line}: {reason(error)}")
    if problems:
        raise InputError(problems[:20])
    if not lessons:
        raise UserError(f"{path}: no demonstrations in this file")
    return lessons, {"demonstrations": str(path), "count": len(lessons)}


def from_labels(run: Path) -> tuple[list[Preference], Origin]:
    """A run of `cai label`: for each pair the mean probability of its principles, by their weight."""
    path = run / "outputs" / "labels.jsonl"
    if not path.is_file():
        raise UserError(f"{run}: no labels here: name a finished run of `cai label`")
    pairs = {pair.id: pair for pair in _records(Pair, run / "inputs" / "pairs.jsonl")}
    constitution = constitutions.load(run / "inputs" / "constitution.yaml")
    weights = {principle.id: principle.weight for principle in constitution.principles}
    labels = _records(Label, path)
    if not labels:
        raise UserError(f"{run}: holds no labels: all of its pairs were left out")
    preferences = [
        Preference(pairs[id], p, "ai") for id, (p, *_) in aggregated(labels, weights).items() if id in pairs
    ]
    some = labels[0]
    return preferences, {
        "labels": str(run),
        "count": len(preferences),
        "constitution": constitution.version,
        "constitution_name": constitution.name,
        "method": some.method,
        "model": some.model,
        "model_revision": some.revision,
        "seed": some.seed,
        **_of_run(run),
    }


def calibrated(preferences: Sequence[Preference], path: Path) -> list[Preference]:
    """The same preferences with the probabilities that a calibration's file gives them. Raises UserError."""
    try:
        calibration = parse(Calibration, bounded.json_of(path))
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(
            f"{path}: is no calibration of `cai agreement --calibrate`: {reason(error)}"
        ) from error
    p = calibration.apply(np.array([preference.p for preference in preferences]))
    return [replace(preference, p=float(q)) for preference, q in zip(preferences, p, strict=True)]


def from_people(path: Path, axis: Axis) -> tuple[list[Preference], Origin]:
    """The choices in a file of comparisons: certain where a side was chosen, even where it was a tie.

    Each annotator's last word on the axis; models' words are no people's, and pass the gate as labels only.
    """
    found = comparisons.read(path, axis)
    pairs = {pair.id: pair for pair in found.pairs}
    certain = {"a": 1.0, "b": 0.0, "tie": 0.5}
    judgments = [j for j in current(found.judgments) if j.axis == axis and j.annotator_kind != "model"]
    preferences = [
        Preference(pairs[judgment.pair_id], certain[judgment.choice], judgment.annotator_kind)
        for judgment in judgments
        if judgment.choice in certain
    ]
    if not preferences:
        raise UserError(
            f"{path}: no choices of people in this file, of {axis} responses: expected comparisons that "
            "somebody has judged"
        )
    kinds = sorted({judgment.annotator_kind for judgment in judgments})
    return preferences, {"human": str(path), "axis": axis, "count": len(preferences), "kinds": kinds}


def kinds_of(preferences: Iterable[Preference]) -> dict[str, int]:
    """How many preferences come from whom: `ai`, or the kind of their annotators."""
    counts: dict[str, int] = defaultdict(int)
    for preference in preferences:
        counts[preference.origin] += 1
    return dict(counts)


def _of_run(run: Path) -> Origin:
    """What a run's config says of its weights and seed."""
    config = read_config(run)
    return {"config": config} if config else {}


def _records(kind: type[R], path: Path) -> list[R]:
    """The rows of a file. Raises InputError with the line of one that is none of this kind."""
    found = []
    for line, row in numbered_rows(path):
        try:
            found.append(parse(kind, row))
        except ValueError as error:
            raise InputError([f"{path}:{line}: {reason(error)}"]) from error
    return found
