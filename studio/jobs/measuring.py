"""A run that puts multiple-choice questions to a model: what goes in, and its place in line (figure 4).

Headless: `cai evals --file F --model M --run DIR`.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from pipeline import evals, models
from pipeline.configs import Measuring
from pipeline.models import NotHereError
from pipeline.records import as_json
from studio.jobs import batch
from studio.jobs.stages import EVALS
from studio.store import runs
from studio.store.database import Store
from studio.store.runs import NewRun


def prepare(
    store: Store, folder: Path, file: Path, measuring: Measuring, called: str, name: str, author: str
) -> str:
    """Copy the questions into a run and put it in the queue; returns its id.

    `called` is the model's name for people. Raises UserError for a file without questions, and for what is
    no model.
    """
    total = len(evals.read(file).questions)
    with suppress(NotHereError):  # the run downloads it: that may take minutes
        models.resolve(measuring.model, download=False)
    run = NewRun(
        id=runs.new_id(store),
        stage=EVALS.name,
        name=name.strip() or f"{file.stem} · {called}",
        config={**as_json(measuring), "file": file.name},
        constitution=None,
        constitution_name=None,
        total=total,
        author=author,
    )

    def write(inputs: Path) -> None:
        shutil.copyfile(file, inputs / f"questions{file.suffix or '.jsonl'}")

    return batch.put_in_queue(store, folder, run, write)
