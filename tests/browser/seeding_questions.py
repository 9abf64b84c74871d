"""Fill a session with two models' answers: `python seeding_questions.py FOLDER`. A name is hostile."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from seeding_checkpoints import HOSTILE, add_run

from pipeline.evals import Answer
from studio.store import eval_answers
from studio.store.database import Store

RUNS = tuple(f"00000000-0000-7000-9000-00000000040{n}" for n in (1, 2))
QUESTIONS = 300


def fill(folder: Path) -> None:
    """Add the runs and their answers: one model at chance and too sure, one that knows."""
    store = Store.open(folder)
    random = np.random.default_rng(0)
    for id, model, knows in ((RUNS[0], "bundled", 0.0), (RUNS[1], f"org/larger {HOSTILE}", 1.2)):
        config = {"model": model, "file": "hhh.jsonl"}
        add_run(store, store.folder / "runs", id, "evals", f"hhh · {model}", config, "done", None)
        logit = random.normal(knows, 1.5, QUESTIONS)
        answers = [
            Answer(
                f"{n}",
                "letters",
                f"p{n // 2}",
                float(x > 0),
                0.5,
                1 / (1 + float(np.exp(-x))),
                model,
                id,
                "chat",
            )
            for n, x in enumerate(logit)
        ]
        with store.tx() as tx:
            eval_answers.add(tx, answers, id)
    store.close()


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
