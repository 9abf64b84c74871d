"""A tournament as a run of the session: who may compete and judge, how much that is, and its place in line.

Headless: `cai evaluate`. What is refused there is refused here before anything starts, by the same rules
(`pipeline.seen`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import constitution as constitutions
from pipeline import models, prompts, seen
from pipeline.errors import UserError
from pipeline.evaluate import PEOPLE, Tournament
from pipeline.models import NotHereError
from pipeline.records import Constitution, as_json
from pipeline.rundir import write_atomically
from studio.jobs import batch
from studio.jobs.stages import CONSTITUTION, EVALUATE
from studio.store import runs
from studio.store.database import Reader, Store
from studio.store.runs import NewRun, Run


@dataclass(frozen=True)
class Size:
    """How much a tournament computes, at most. `verdicts` are the judge's: scores of answers by a preference
    model, or labels by a feedback model."""

    answers: int
    matchups: int
    verdicts: int


def size(play: Tournament, constitution: Constitution | None) -> Size:
    """How much this tournament computes. Raises UserError where the constitution can't judge."""
    matchups = play.total()
    if constitution is None:
        return Size(play.answers(), matchups, min(play.answers(), 2 * matchups))
    each = batch.principles_each(constitution, play.settings.labelling(play.judge))
    return Size(play.answers(), matchups, matchups * each)


def require(play: Tournament, constitution: Constitution | None) -> list[str]:
    """Raise UserError for what `cai evaluate` would refuse; returns what is not known of the models."""
    if len(play.models) < 2 or len(set(play.models)) < len(play.models):
        raise UserError("choose two models or more, each once")
    feedback = [play.judge] if constitution else []
    notes = [note for name in (*play.models, *feedback) for note in _missing(name)]
    notes += seen.require_heldout(play.models, play.prompts)
    if play.judge == PEOPLE:
        return notes
    return notes + seen.require_apart(play.models, play.judge, scores=constitution is None)


def _missing(name: str) -> list[str]:
    """What is to be said of a model whose files are not all here. Raises UserError for what is no model."""
    try:
        models.resolve(name, download=False)
    except NotHereError as error:
        return [f"{error}; without that the run does it"]
    return []


def took(store: Reader, run: Run) -> float | None:
    """Seconds that a whole tournament took; None where it was stopped on the way, or says nothing."""
    began, ended = (runs.last_event(store, run.id, kind) for kind in ("started", "finished"))
    if not began or not ended or ended.attempt != 1:
        return None
    try:
        return (datetime.fromisoformat(ended.time) - datetime.fromisoformat(began.time)).total_seconds()
    except (ValueError, TypeError):  # no times, or such that can't be compared: another program's
        return None


def prepare(
    store: Store,
    folder: Path,
    play: Tournament,
    constitution: Constitution | None,
    chosen: Mapping[str, Any],
    name: str,
    author: str,
) -> str:
    """Write the inputs of a tournament and put it in the queue; returns the run's id. Raises UserError.

    `chosen` is what the form held, for whoever wants the same again.
    """
    require(play, constitution)
    title = name.strip() or f"{len(play.models)} models × {len(play.prompts):,} prompts, {play.axis}"
    run = NewRun(
        id=runs.new_id(store),
        stage=EVALUATE.name,
        name=title,
        config={
            **as_json(play.settings),
            "models": list(play.models),
            "judge": play.judge,
            "axis": play.axis,
            "chosen": chosen,
        },
        constitution=constitution.version if constitution else None,
        constitution_name=constitution.name if constitution else None,
        total=play.total(),
        author=author,
    )

    def write(inputs: Path) -> None:
        if constitution:
            write_atomically(inputs / CONSTITUTION, constitutions.dump(constitution))
        prompts.write(play.prompts, inputs / batch.PROMPTS_FILE)

    return batch.put_in_queue(store, folder, run, write)
