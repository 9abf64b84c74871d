"""What runs write, into the store: each row exactly once, whatever dies.

A file is read from the stored offset to its last newline. Its rows and the new offset are committed
together, so a row is in the store if and only if the offset is behind it.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipeline.evals import Answer
from pipeline.matchups import WAITING, Matchup, Waiting
from pipeline.pairs import Answers
from pipeline.records import Chain, Judgment, Label, Pair, parse
from pipeline.revision_scores import RevisionScore
from studio.store import (
    chains,
    eval_answers,
    event_rows,
    judgments,
    labels,
    matchups,
    metrics,
    pairs,
    revision_scores,
    runs,
    waiting,
)
from studio.store.chains import NewChain
from studio.store.database import Store, Tx
from studio.store.runs import NewRun

EVENTS = "events.jsonl"
CHUNK = 1 << 18  # bytes: as much as goes into one transaction, which others wait for

REFUSED = (duckdb.DataError, duckdb.IntegrityError, duckdb.InvalidInputException)
"""What DuckDB says to a row that no table holds, as of a number out of a column's range."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """A file of rows that a stage's runs have: of what record they are, and how they are stored."""

    file: str
    record: type
    add: Callable[[Tx, NewRun, Sequence[Any]], object]


@dataclass(frozen=True)
class Answered(Answers):
    """A row of a tournament's answers.jsonl."""

    model: str


def ingest(store: Store, run: NewRun, folder: Path) -> bool:
    """Read all that is new in a run's folder; whether there was anything."""
    news = [read(store, run, folder, file) for file in files(run.stage)]  # all of them, in this order
    return any(news)


def files(stage: str) -> tuple[str, ...]:
    """The files that are read of a stage's runs, in the order of reading."""
    return (EVENTS, *(rows.file for rows in READ.get(stage, ())))


def outputs(stage: str) -> tuple[str, ...]:
    """The files that hold what a stage's runs have made, as far as the session takes it."""
    return tuple(rows.file for rows in READ.get(stage, ()) if rows.file.startswith("outputs/"))


def read(store: Store, run: NewRun, folder: Path, file: str) -> bool:
    """Read all that is new in one file of a run's folder; whether there was anything."""
    any_new = False
    while True:
        at = runs.offset(store, run.id, file)
        if at and _size(folder / file) < at:
            at = 0  # written anew, or cut by a crash of the machine: what is there already is skipped
        data = whole_lines(folder / file, at)
        if not data:
            return any_new
        take(store, run, file, at, data)
        any_new = True


def whole_lines(path: Path, start: int, chunk: int = CHUNK) -> bytes:
    """The next lines of a file from a byte on, without a last one that is not whole yet.

    As many as fit into a chunk, but at least one, however long.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            parts = [file.read(chunk)]
            while b"\n" not in parts[-1]:
                parts.append(file.read(chunk))
                if not parts[-1]:
                    return b""
            data = b"".join(parts)
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]


def take(store: Store, run: NewRun, file: str, at: int, data: bytes) -> None:
    """Store whole lines that were read at byte `at`. Twice is harmless."""
    rows = _rows(run, file, data)
    known = next((known for known in READ.get(run.stage, ()) if known.file == file), None)
    made = [made for row in rows if (made := _record(run, known.record, row))] if known else []
    try:
        with store.tx() as tx:
            if file == EVENTS:
                new = runs.add_events(tx, run.id, [event for row in rows if (event := event_rows.event(row))])
                metrics.add(tx, run.id, new)
            elif known:
                known.add(tx, run, made)
            runs.set_offset(tx, run.id, file, at + len(data))
    except REFUSED:
        if not known:
            raise
        _one_by_one(store, run, known, made)
        with store.tx() as tx:
            runs.set_offset(tx, run.id, file, at + len(data))


def _one_by_one(store: Store, run: NewRun, known: Rows, made: Sequence[Any]) -> None:
    """Store rows of which one is none for the tables: it must not stand in the way of the others."""
    for one in made:
        try:
            with store.tx() as tx:
                known.add(tx, run, [one])
        except REFUSED as error:
            why = str(error).partition("\n")[0][:200]
            log.warning("run %s: a row of %s can't be kept: %s", run.id, known.file, why)


def _rows(run: NewRun, file: str, data: bytes) -> list[dict[str, Any]]:
    rows = []
    for line in data.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):  # two halves of lines, where a kill left one without its end
            log.warning("run %s: a line of %s is not JSON", run.id, file)
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _record(run: NewRun, kind: type, row: dict[str, Any]) -> Any:
    try:
        # A bare NaN is a number to Python's JSON, and would be one in every mean.
        if any(isinstance(value, float) and not math.isfinite(value) for value in row.values()):
            raise ValueError("it holds a number that is none")
        return parse(kind, row)
    except ValueError as error:
        log.warning("run %s: a row that is no %s: %s", run.id, kind.__name__.lower(), error)
        return None


def _add_chains(tx: Tx, run: NewRun, some: Sequence[Chain]) -> None:
    ids = [chain.id for chain in some]
    there = {id for (id,) in tx.query("SELECT id FROM chains WHERE id IN (SELECT unnest(?))", [ids])}
    for chain in some:
        if chain.id not in there:
            there.add(chain.id)
            chains.insert(tx, _stored(run, chain), chain.steps, "finished")


def _stored(run: NewRun, chain: Chain) -> NewChain:
    config = run.config
    return NewChain(
        id=chain.id,
        prompt_id=chain.prompt_id,
        messages=chain.messages,
        constitution=chain.constitution,
        constitution_name=run.constitution_name or "",
        model=chain.model,
        critic=chain.critic,
        seed=chain.seed,
        revisions=int(config["revisions"]),
        temperature=float(config["temperature"]),
        top_p=float(config["top_p"]),
        max_tokens=int(config["max_tokens"]),
        form=str(config["form"] or ""),
        author=run.author,
        parent=chain.parent,
        branch_step=chain.branch_step,
        run=run.id,
        critiques=chain.critiques,
    )


def _add_pairs(tx: Tx, run: NewRun, some: Sequence[Pair]) -> None:
    pairs.add(tx, some, run.id)


def _add_labels(tx: Tx, run: NewRun, some: Sequence[Label]) -> None:
    labels.add(tx, some, run.id)


def _add_judgments(tx: Tx, run: NewRun, some: Sequence[Judgment]) -> None:
    judgments.add_imported(tx, some, run.id)


def _add_answers(tx: Tx, run: NewRun, some: Sequence[Answered]) -> None:
    matchups.add_prompts(tx, {one.id: one.messages for one in some}, run.id)
    weights = {one.model: one.responses[0].source.revision for one in some if one.responses}
    matchups.add_competitors(tx, weights, run.id)


def _add_matchups(tx: Tx, run: NewRun, some: Sequence[Matchup]) -> None:
    matchups.add(tx, some, run.id)


def _add_waiting(tx: Tx, run: NewRun, some: Sequence[Waiting]) -> None:
    waiting.add(tx, some, run.id)


def _add_scores(tx: Tx, run: NewRun, some: Sequence[RevisionScore]) -> None:
    revision_scores.add(tx, some, run.id)


def _add_questions(tx: Tx, run: NewRun, some: Sequence[Answer]) -> None:
    eval_answers.add(tx, some, run.id)


# By stage, in the order of reading. A `.part` grows, and gives way to the whole, which holds the same and
# what little was not yet read. The inputs of a label run that was made headless are new to the session.
READ: Mapping[str, tuple[Rows, ...]] = {
    "critique": (
        Rows("outputs/chains.jsonl.part", Chain, _add_chains),
        Rows("outputs/chains.jsonl", Chain, _add_chains),
    ),
    "pairs": (
        Rows("outputs/pairs.jsonl.part", Pair, _add_pairs),
        Rows("outputs/pairs.jsonl", Pair, _add_pairs),
    ),
    "label": (
        Rows("inputs/pairs.jsonl", Pair, _add_pairs),
        Rows("inputs/human.jsonl", Judgment, _add_judgments),
        Rows("outputs/labels.jsonl.part", Label, _add_labels),
        Rows("outputs/labels.jsonl", Label, _add_labels),
    ),
    "evaluate": (
        Rows("outputs/answers.jsonl.part", Answered, _add_answers),
        Rows("outputs/answers.jsonl", Answered, _add_answers),
        Rows("outputs/matchups.jsonl.part", Matchup, _add_matchups),
        Rows("outputs/matchups.jsonl", Matchup, _add_matchups),
        Rows(f"outputs/{WAITING}.part", Waiting, _add_waiting),
        Rows(f"outputs/{WAITING}", Waiting, _add_waiting),
    ),
    "score": (
        Rows("outputs/scores.jsonl.part", RevisionScore, _add_scores),
        Rows("outputs/scores.jsonl", RevisionScore, _add_scores),
    ),
    "evals": (
        Rows("outputs/answers.jsonl.part", Answer, _add_questions),
        Rows("outputs/answers.jsonl", Answer, _add_questions),
    ),
}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
