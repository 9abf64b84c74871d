"""A run that scores chains by their number of revisions: what goes in, and its place in line (figures 5, 7).

Headless: `cai score`. What is refused there is refused here before anything starts, by the same rules.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline import scoring
from pipeline.configs import Scoring
from pipeline.errors import UserError
from pipeline.records import Chain, as_json
from pipeline.train.sources import chains_in
from studio.jobs import batch
from studio.jobs.stages import SCORE
from studio.jobs.training import CHAINS
from studio.store import runs
from studio.store.database import Store
from studio.store.runs import NewRun


@dataclass(frozen=True)
class Asked:
    """Which runs of chains a preference model is to score; both by their folders."""

    chains: tuple[Path, ...]
    pm: Path

    def every(self) -> list[Chain]:
        """All chains. Raises UserError for a file that is broken."""
        return [chain for run in self.chains for chain in _read(run / CHAINS)]

    def answers(self) -> int:
        """How many answers these have. Raises UserError where there are none."""
        many = sum(1 for _ in scoring.answers({"": self.every()}))
        if not many:
            raise UserError("choose runs of chains: there is no answer to score")
        return many


def asked(folder: Path, chains: Sequence[str], pm: str) -> Asked:
    """What a form asks for, by the ids of runs below `folder`. Raises UserError."""
    if not chains:
        raise UserError("choose chains: a finished run of them, or several to compare")
    if not pm:
        raise UserError("choose a preference model: train one on the Training page first")
    for id in chains:
        if not (folder / id / CHAINS).is_file():
            raise UserError("a run of chains that was chosen is not here any more: choose another")
    return Asked(tuple(folder / id for id in chains), folder / pm)


def require(what: Asked) -> list[str]:
    """Raise UserError for what `cai score` would refuse; returns what speaks against the scores."""
    scoring.require(str(what.pm))
    return scoring.notes(str(what.pm), what.every())


def prepare(store: Store, folder: Path, what: Asked, name: str, author: str) -> str:
    """Write the inputs of a run that scores and put it in the queue; returns its id. Raises UserError."""
    scoring.require(str(what.pm))
    total = what.answers()
    run = NewRun(
        id=runs.new_id(store),
        stage=SCORE.name,
        name=name.strip() or f"scores × {total:,}",
        config=as_json(Scoring(str(what.pm))),
        constitution=None,
        constitution_name=None,
        total=total,
        author=author,
    )

    def write(inputs: Path) -> None:
        (inputs / "chains").mkdir()
        for chains in what.chains:
            shutil.copyfile(chains / CHAINS, inputs / "chains" / f"{chains.name}.jsonl")

    return batch.put_in_queue(store, folder, run, write)


@lru_cache(maxsize=4)
def _read(path: Path) -> list[Chain]:
    """Kept, for a form asks at each of its changes, and what is finished does not change."""
    return chains_in(path)
