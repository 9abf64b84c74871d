"""A session in which all goes on at once, to be killed: live chains, judgments, backups, exports, and runs of
drawing, training and evaluation, one after another for ever.

Says on stdout what `hands_target.py` and `kill_target.py` say, and `worker PID`.
"""

from __future__ import annotations

import sys
import threading
import time
from itertools import count
from pathlib import Path

from pipeline import constitution, prompts
from pipeline.configs import Drawing, Evaluating
from pipeline.evaluate import Tournament
from pipeline.training_configs import Supervised
from studio.context import Studio
from studio.jobs import batch, tournaments, training
from studio.jobs.training import Lessons
from studio.store import runs
from studio.store.runs import ACTIVE
from tests.studio import hands_target, kill_target
from tests.studio.hands_target import say

PROMPTS, STEPS = 30, 30


def main(folder: Path, model: str, other: str, judge: str) -> None:
    studio = Studio.open(folder, "killed")
    hands_target.seed(studio.store)
    for work, pause in ((hands_target.back_up, 1), (hands_target.export, 2), (hands_target.judge, 0.05)):
        threading.Thread(target=work, args=(studio.store, pause), daemon=True).start()
    threading.Thread(target=fill_queue, args=(studio, model, other, judge), daemon=True).start()
    drawing = Drawing(model=model, revisions=1, max_tokens=6)
    studio.live.load(model)
    say("worker", studio.live.worker.pid)
    kill_target.write(studio, drawing)


def fill_queue(studio: Studio, model: str, other: str, judge: str) -> None:
    """Begin a run when none is at work or waits, and go on with one that was killed."""
    for n in count(len(runs.listed(studio.store))):
        while not go_on(studio):
            time.sleep(0.2)
        match n % 3:
            case 0:
                draw(studio, model, n)
            case 1:
                evaluate(studio, model, other, judge)
            case 2:
                train(studio, model)


def go_on(studio: Studio) -> bool:
    """Resume the runs that were lost; whether there is nothing to be done any more."""
    lost = [run.id for run in runs.in_states(studio.store, ["lost", "stopped"])]
    for id in lost:
        studio.jobs.resume(id)
    return not lost and not runs.in_states(studio.store, [*ACTIVE, "waiting"])


def draw(studio: Studio, model: str, seed: int) -> None:
    asked = [prompts.from_text(f"Question {i}?") for i in range(PROMPTS)]
    minimal = constitution.load(constitution.shipped()["minimal"])
    drawing = Drawing(
        model=model, revisions=1, max_tokens=24, seed=seed
    )  # else they are the chains of before
    batch.prepare_critique(studio.store, studio.jobs.folder, asked, minimal, drawing, "", "ann")


def evaluate(studio: Studio, model: str, other: str, judge: str) -> None:
    asked = tuple(prompts.from_text(f"Question {i}?") for i in range(PROMPTS))
    play = Tournament((model, other), asked, "harmless", judge, Evaluating(max_tokens=24))
    tournaments.prepare(studio.store, studio.jobs.folder, play, None, {}, "", "ann")


def train(studio: Studio, model: str) -> None:
    config = Supervised(model=model, steps=STEPS, batch=2, at_once=2, save_every=10)
    demos = Lessons(demos=studio.folder / "demos.jsonl")
    training.prepare_sft(studio.store, studio.jobs.folder, demos, config, {}, "ann")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
