"""`cai pairs`: sampled responses to each prompt of a file, and the pairs that they make.

A stopped or killed run goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pipeline import pairs, prompts
from pipeline.configs import Answering, add_arguments, from_arguments
from pipeline.engines.opening import loaded
from pipeline.engines.spending import Purse
from pipeline.errors import UserError
from pipeline.growing import EXCERPT, Growing, Work, grow, say
from pipeline.pairs import Answers, Engines
from pipeline.records import Prompt, as_json, parse
from pipeline.rundir import RunDir
from pipeline.stage_inputs import add_inputs, read_prompts, writers

RESPONSES = "responses.jsonl"
PAIRS = "pairs.jsonl"
WINDOW = 512
"""Responses that the engine holds at once. Only at a window's end do its slots run empty."""
IN_STEP = 64
"""The same where two models answer: the second begins when the first has answered them all."""


def register(subparsers: Any) -> None:
    """Add `pairs` to the command line."""
    parser = subparsers.add_parser(
        "pairs",
        help="sample responses for a file of prompts, and pair them",
        description="For each prompt: several sampled responses, of one model or of two, and each two that "
        "differ as a pair. The same command again goes on with a stopped run.",
    )
    add_inputs(parser)
    add_arguments(parser, Answering)
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the stage. Raises UserError; returns 0 when whole, 130 when stopped."""
    with prompts.find(args.prompts) as args.prompts:
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    answering = from_arguments(Answering, args)
    two = answering.model_b not in ("", answering.model)
    if not (answering.temperature or two):
        raise UserError("temperature 0 makes all responses of one model alike: raise it, or name a --model-b")
    found, inputs = read_prompts(args.prompts)
    models = {"model": answering.model, **({"model_b": answering.model_b} if two else {})}
    config = {"stage": "pairs", **as_json(answering), **writers(**models)}
    folder = RunDir.open(args.run, config, inputs)

    def sample(work: Work) -> None:
        with Growing(folder, PAIRS, lambda row: str(row["id"])) as growing:
            _sample(work, growing, found.prompts, answering)
            if not work.stop.is_set() or not any(map(work.lacks, work.keys)):
                _finish(work, growing)

    ids = [prompt.id for prompt in found.prompts]
    return grow(folder, "pairs", "prompts", RESPONSES, lambda row: str(row["id"]), ids, sample)


def _sample(work: Work, growing: Growing, every: Sequence[Prompt], answering: Answering) -> None:
    def keep(answers: Answers, tokens: int) -> None:
        # Pairs first: a kill between the two leaves pairs that come again with the same ids.
        made = pairs.pairs_of(answers)
        for pair in made:
            growing.keep(as_json(pair))
        work.keep(as_json(answers), tokens, lambda: _excerpt(answers))
        if not made:
            work.skip(answers.id, "its responses are all the same, or empty, and make no pair")

    todo = [prompt for prompt in every if work.lacks(prompt.id)]
    if not todo:
        return
    engines = _load(answering, work.purse)
    held = WINDOW if engines.first is engines.second else IN_STEP
    window = max(1, held // answering.samples)
    for start in range(0, len(todo), window):
        pairs.sample_pairs(
            todo[start : start + window],
            answering,
            engines,
            work.meter.text,
            work.stop.is_set,
            lambda prompt, error: work.skip(prompt.id, str(error)),
            keep,
        )


def _finish(work: Work, growing: Growing) -> None:
    """Write all pairs in the order of their prompts. They follow from the responses, which come after."""
    ids: dict[str, None] = {}
    for row in (work.output.rows[key] for key in work.keys if key in work.output.rows):
        for pair in pairs.pairs_of(parse(Answers, row)):
            ids[pair.id] = None
            growing.keep(as_json(pair))  # is there, but where a kill came just when they were whole
    if work.output.rows and not ids:
        raise UserError("no prompt has two different responses: raise --temperature or --max-tokens")
    count = growing.finish(list(ids))
    if count:
        work.log.emit("artifact", path=f"outputs/{PAIRS}", rows=count)
        say(f"{count:,} pairs of the responses to {len(work.output.rows):,} prompts, in outputs/{PAIRS}")


def _load(answering: Answering, purse: Purse) -> Engines:
    first = loaded(answering.model, purse)
    if answering.model_b in ("", answering.model):
        return Engines(first, first)
    return Engines(first, loaded(answering.model_b, purse, [first]))


def _excerpt(answers: Answers) -> dict[str, str]:
    """What a finished prompt shows while the others are answered."""
    return {
        "prompt": answers.messages[-1].content[:EXCERPT],
        "text": answers.responses[0].text[:EXCERPT],
    }
