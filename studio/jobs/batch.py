"""A batch of chains as a run: its folder, and the words of the command that draws it.

The folder is that of `cai critique --run DIR`, with the inputs where the command itself would put them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from pipeline import constitution as constitutions
from pipeline import prompts
from pipeline.configs import Drawing, as_arguments
from pipeline.errors import UserError
from pipeline.records import Constitution, Prompt, as_json
from pipeline.rundir import write_atomically
from studio.jobs import queue
from studio.store import runs
from studio.store.database import Store
from studio.store.runs import NewRun

STAGE: Final = "critique"
CONSTITUTION = "constitution.yaml"


def prepare(
    store: Store,
    folder: Path,
    asked: Sequence[Prompt],
    constitution: Constitution,
    drawing: Drawing,
    name: str,
    author: str,
) -> str:
    """Write a batch's inputs below `folder` and put it in the queue; returns its id.

    Raises UserError where the constitution can't be used, or the folder not be written.
    """
    if drawing.revisions:
        constitutions.usable(constitution, STAGE)
    run = NewRun(
        id=runs.new_id(store),
        stage=STAGE,
        name=name.strip() or f"{constitution.name} × {len(asked)}",
        config=as_json(drawing),
        constitution=constitution.version,
        constitution_name=constitution.name,
        total=len(asked),
        author=author,
    )
    inputs = folder / run.id / "inputs"
    try:
        inputs.mkdir(parents=True)
        write_atomically(inputs / CONSTITUTION, constitutions.dump(constitution))
        prompts.write(tuple(asked), inputs / "prompts.jsonl")
    except OSError as error:
        raise UserError(f"{inputs}: can't be written: {error}") from error
    # Only now is it a run: a studio that died above leaves a folder that nobody counts.
    with store.tx() as tx:
        runs.add(tx, run, "waiting")
        queue.enqueue(tx, run.id)
    return run.id


def drawing_of(config: Any) -> Drawing:
    """How a run draws, from its config. Raises UserError or TypeError for what is no config."""
    return Drawing(**{f.name: config[f.name] for f in fields(Drawing) if f.name in config})


def asked_in(folder: Path) -> Path:
    """The prompts of a run. Raises UserError where they are gone."""
    found = sorted((folder / "inputs").glob("prompts.*"))
    if not found:
        raise UserError(f"{folder / 'inputs'}: the run's prompts are not there")
    return found[0]


def words(run: NewRun, folder: Path) -> list[str]:
    """What follows `cai` in the command that draws (or goes on with) a run. Raises UserError."""
    files = ["--constitution", str(folder / "inputs" / CONSTITUTION), "--prompts", str(asked_in(folder))]
    return [run.stage, *files, "--run", str(folder), *as_arguments(drawing_of(run.config))]
