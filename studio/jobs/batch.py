"""A run that waits for its turn: its inputs in a folder, and its place in the queue.

The folder is that of `cai STAGE --run DIR`, with the inputs where the command itself would put them. How
chains are drawn is in section 3.1 of the paper, how pairs are made and labelled in section 4.1.
"""

from __future__ import annotations

import filecmp
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline import constitution as constitutions
from pipeline import feedback, prompts
from pipeline import pairs as pair_files
from pipeline.configs import Answering, Drawing, Labelling
from pipeline.errors import UserError
from pipeline.records import Axis, Constitution, Pair, Prompt, as_json
from pipeline.rundir import write_atomically
from studio.jobs import queue
from studio.jobs.stages import CONSTITUTION, CRITIQUE, LABEL, PAIRS, PAIRS_FILE, Stage
from studio.store import runs
from studio.store.database import Store, Tx
from studio.store.runs import ACTIVE, NewRun

PROMPTS_FILE = "prompts.jsonl"
TWICE = timedelta(seconds=2)
"""Who presses a button again this soon has pressed it twice; who wants the same run twice takes longer."""
ASKED = ("stage", "name", "constitution", "total", "author")
"""What two presses of a button have in common, besides settings and inputs."""


def prepare_critique(
    store: Store,
    folder: Path,
    asked: Sequence[Prompt],
    constitution: Constitution,
    drawing: Drawing,
    name: str,
    author: str,
) -> str:
    """Write the inputs of a batch of chains below `folder` and put it in the queue; returns its id.

    Raises UserError where the constitution can't be used, or the folder not be written.
    """
    if drawing.revisions:
        constitutions.usable(constitution, "critique")
    run = _run(
        store,
        CRITIQUE,
        name.strip() or f"{constitution.name} × {len(asked)}",
        as_json(drawing),
        len(asked),
        author,
    )

    def write(inputs: Path) -> None:
        write_atomically(inputs / CONSTITUTION, constitutions.dump(constitution))
        prompts.write(tuple(asked), inputs / PROMPTS_FILE)

    return put_in_queue(store, folder, _under(run, constitution), write)


def prepare_pairs(
    store: Store, folder: Path, asked: Sequence[Prompt], answering: Answering, name: str, author: str
) -> str:
    """The same for sampled responses, of which pairs are made."""
    label = name.strip() or f"pairs × {len(asked)} by {answering.model}"
    run = _run(store, PAIRS, label, as_json(answering), len(asked), author)
    return put_in_queue(store, folder, run, lambda inputs: prompts.write(tuple(asked), inputs / PROMPTS_FILE))


def prepare_label(
    store: Store,
    folder: Path,
    pairs: Sequence[Pair],
    constitution: Constitution,
    labelling: Labelling,
    axis: Axis,
    name: str,
    author: str,
) -> str:
    """The same for a feedback model's labels of pairs. Raises UserError where there is nothing to label."""
    if not pairs:
        raise UserError("there are no such pairs to label")
    total = len(pairs) * principles_each(constitution, labelling)
    label = name.strip() or f"{labelling.settled} by {labelling.model} × {len(pairs)}"
    run = _run(store, LABEL, label, {**as_json(labelling), "axis": axis}, total, author)

    def write(inputs: Path) -> None:
        write_atomically(inputs / CONSTITUTION, constitutions.dump(constitution))
        pair_files.write(pairs, inputs / PAIRS_FILE)

    return put_in_queue(store, folder, _under(run, constitution), write)


def principles_each(constitution: Constitution, labelling: Labelling) -> int:
    """Under how many principles each pair is judged. Raises UserError as `feedback.judges` does."""
    usable = len(feedback.judges(constitution, labelling))
    return min(labelling.many or usable, usable)


def _run(
    store: Store, stage: Stage[Any], name: str, config: dict[str, Any], total: int, author: str
) -> NewRun:
    return NewRun(
        id=runs.new_id(store),
        stage=stage.name,
        name=name,
        config=config,
        constitution=None,
        constitution_name=None,
        total=total,
        author=author,
    )


def _under(run: NewRun, constitution: Constitution) -> NewRun:
    return replace(run, constitution=constitution.version, constitution_name=constitution.name)


def put_in_queue(store: Store, folder: Path, run: NewRun, write: Callable[[Path], None]) -> str:
    """Let `write` fill the run's inputs, and put it at the end of the line; returns its id.

    Where the same was asked for a moment ago it is the id of that run: a button was pressed twice. Raises
    UserError where its folder can't be written; then nothing is left of it.
    """
    store.require_writable()
    inputs = folder / run.id / "inputs"
    try:
        inputs.mkdir(parents=True)
        write(inputs)
    except BaseException as error:
        shutil.rmtree(folder / run.id, ignore_errors=True)
        if isinstance(error, OSError):
            raise UserError(f"{inputs}: can't be written: {error}") from error
        raise
    # Only now is it a run: a studio that died above leaves a folder that nobody counts.
    with store.tx() as tx:
        first = _first_press(tx, folder, run)
        if first is None:
            runs.add(tx, run, "waiting")
            queue.enqueue(tx, run.id)
    if first is not None:
        shutil.rmtree(folder / run.id, ignore_errors=True)
    return first or run.id


def _first_press(tx: Tx, folder: Path, run: NewRun) -> str | None:
    """The run of the same person, settings and inputs that was put in the queue just now, if there is one."""
    config = json.loads(json.dumps(run.config))
    for other in runs.in_states(tx, ("waiting", *ACTIVE)):
        same = all(getattr(other, name) == getattr(run, name) for name in ASKED) and other.config == config
        soon = abs(datetime.now(UTC) - other.created) < TWICE
        if same and soon and _equal(folder / other.id / "inputs", folder / run.id / "inputs"):
            return other.id
    return None


def _equal(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files, to the byte."""
    names, others = (
        [str(path.relative_to(top)) for path in sorted(top.rglob("*")) if path.is_file()]
        for top in (one, other)
    )
    return names == others and filecmp.cmpfiles(one, other, names, shallow=False)[0] == names
