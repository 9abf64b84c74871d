"""Comparisons that people made elsewhere, taken into the session: their pairs and what was chosen.

Any file that `cai label --pairs FILE` reads. The judgments are marked imported, by the file's name, and
so are never counted as those of a person who judged here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline import comparisons
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


def import_comparisons(store: Store, file: Path, axis: Axis, on_progress: OnProgress) -> Brought:
    """Read a file of comparisons into the session, whole or not at all.

    Raises UserError where nothing in it is a pair.
    """
    read = comparisons.read(file, axis, on_progress)
    with store.tx() as tx:
        new = pairs.add(tx, read.pairs, None)
        judgments.add_imported(tx, read.judgments, None)
    return Brought(len(read.pairs), new, len(read.judgments), read.problems, read.conflicts, read.duplicates)
