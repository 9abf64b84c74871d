"""Comparisons that people made elsewhere, taken into the session: their pairs and what was chosen.

Any file that `cai label --pairs FILE` reads. The judgments are marked imported, by the file's name, and
so are never counted as those of a person who judged here. Judgments that were exported come back as whose
they were: a person's, a data set's, or a model's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline import comparisons
from pipeline.errors import UserError
from pipeline.records import Axis
from studio.store import judgments, pairs
from studio.store.database import Store

OnProgress = Callable[[int, float], None]
"""Told how many rows are read, and how much of the file that is, 0 to 1."""


@dataclass(frozen=True)
class Brought:
    """What a file held: pairs, those of them that were new, choices, and what was wrong with it.

    `conflicts` are rows that choose otherwise than an earlier one of the same pair.
    """

    pairs: int
    new: int
    judgments: int
    problems: tuple[str, ...]
    conflicts: tuple[str, ...]
    duplicates: int


@dataclass(frozen=True)
class BroughtJudgments:
    """What a file of judgments held: how many, how many that were new here, and what was wrong in it."""

    judgments: int
    new: int
    problems: tuple[str, ...]


def import_comparisons(store: Store, file: Path, axis: Axis, on_progress: OnProgress) -> Brought:
    """Read a file of comparisons into the session, whole or not at all.

    Raises UserError where nothing in it is a pair.
    """
    read = comparisons.read(file, axis, on_progress)
    rows = pairs.rows(read.pairs, None)
    with store.tx() as tx:
        new = pairs.add_rows(tx, rows)
        judgments.add_imported(tx, read.judgments, None)
    return Brought(len(read.pairs), new, len(read.judgments), read.problems, read.conflicts, read.duplicates)


def import_judgments(store: Store, file: Path) -> BroughtJudgments:
    """Take judgments of the session's pairs, each with its annotator and their kind. Twice is once.

    Raises UserError where the file holds no judgments, or of none of these pairs.
    """
    found, problems = comparisons.read_judgments(file)
    ids = list({one.pair_id for one in found})
    with store.tx() as tx:
        known = tx.query(
            "SELECT count(DISTINCT id) FROM pairs WHERE id IN (SELECT unnest(?::VARCHAR[]))", [ids]
        )
        if known == [(0,)]:
            raise UserError(f"{file}: none of its judgments is of a pair in this session")
        new = judgments.add_imported(tx, found, None)
    return BroughtJudgments(len(found), new, tuple(problems))
