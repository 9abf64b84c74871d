"""AI feedback: the probability that response a of a pair is better, under a principle (paper section 4.1).

Four methods. `choice` compares the letters that answer a multiple choice, in both orders of the responses;
`cot` does so after a reasoning, with clamped probabilities. Two are for models too small for a multiple
choice, and see one response at a time: `contrast` compares how likely each is after examples that keep the
principle and after examples that break it; `pointwise` asks of each whether it is the kind that the
principle chooses, and compares the odds of "Yes", or the scores of a model that has a head for it. Headless:
`cai label`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from pipeline import constitution as constitutions
from pipeline.configs import Labelling
from pipeline.engines import Cancelled, Engine, OnText, ignore, never
from pipeline.errors import UserError
from pipeline.judging import Judge, Tally, Task
from pipeline.records import Constitution, Label, Method, Pair, Principle

BLOCK = 512
"""Labels that are put in order together, so that those that share most of their prompt are neighbours."""
WINDOW: dict[Method, int] = {"choice": 8, "cot": 16, "contrast": 8, "pointwise": 16}
"""Labels that are computed at once: they are there, or lost to a stop, together."""


def judges(constitution: Constitution, labelling: Labelling) -> list[Principle]:
    """The principles that can judge by this method. Raises UserError where there are none, or one can't."""
    principles = constitutions.usable(constitution, "feedback")
    lacking = [p.id for p in principles if not (p.keeps and p.breaks)]
    if labelling.settled == "contrast" and lacking:
        raise UserError(
            f"{constitution.name}: contrast needs examples, and these principles have no `keeps` or no "
            f"`breaks`: {', '.join(lacking)}. Give them some, disable them, or choose another method"
        )
    return principles


def drawn(pair: Pair, constitution: Constitution, labelling: Labelling) -> list[Principle]:
    """The principles that judge a pair: distinct, drawn by weight, the same for a seed and pair id."""
    principles = judges(constitution, labelling)
    if labelling.many is None:
        return principles
    return constitutions.draw_several(principles, labelling.seed, pair.id, labelling.many)


def label_pairs(
    pairs: Sequence[Pair],
    constitution: Constitution,
    labelling: Labelling,
    engine: Engine,
    on_label: Callable[[Label], None],
    on_skip: Callable[[Pair, str], None] = lambda pair, reason: None,
    on_text: OnText = ignore,
    cancelled: Cancelled = never,
    *,
    lacks: Callable[[Pair, Principle], bool] = lambda pair, principle: True,
    on_tokens: Callable[[int], None] = lambda tokens: None,
) -> Tally:
    """Judge each pair under each principle drawn for it, unless `lacks` says that this is done.

    `on_label` gets each label once it is there; `on_skip` hears, once, of a pair that is left out;
    `on_tokens` how many were scored. A cancel is heard between windows, and between the tokens of a
    reasoning. Raises UserError for a principle that can't judge.
    """
    began, told = time.monotonic(), set[str]()
    judge = Judge(constitution, labelling, engine, on_text, cancelled)
    tasks = [
        Task(pair, principle)
        for pair in pairs
        for principle in drawn(pair, constitution, labelling)
        if lacks(pair, principle)
    ]
    tasks = [task for i in range(0, len(tasks), BLOCK) for task in judge.ordered(tasks[i : i + BLOCK])]
    window = WINDOW[labelling.settled]
    for start in range(0, len(tasks), window):
        if cancelled():
            break
        before = judge.tally.computed
        for label in judge.labels(tasks[start : start + window]):
            on_label(label)
        on_tokens(judge.tally.computed - before)
        for pair, reason in judge.skipped:
            if pair.id not in told:
                told.add(pair.id)
                on_skip(pair, reason)
    return replace(judge.tally, seconds=time.monotonic() - began)
