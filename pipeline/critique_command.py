"""`cai critique`: one chain for each prompt of a file, in a run directory.

A stopped or killed run goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline import constitution as constitutions
from pipeline import critique, prompts
from pipeline.configs import Drawing, add_arguments, from_arguments
from pipeline.engines.opening import loaded
from pipeline.engines.spending import Purse
from pipeline.growing import EXCERPT, Row, Work, grow, say
from pipeline.records import Chain, Constitution, Prompt
from pipeline.rundir import RunDir
from pipeline.stage_inputs import add_inputs, read_prompts, writers

CHAINS = "chains.jsonl"
WINDOW = 512
"""Chains that the engine holds at once. Only at a window's end do its slots run empty."""
IN_STEP = 64
"""The same where critic and policy differ: the critic begins when the policy has answered them all."""


def register(subparsers: Any) -> None:
    """Add `critique` to the command line."""
    parser = subparsers.add_parser(
        "critique",
        help="write critique→revision chains for a file of prompts",
        description="For each prompt: a response, then rounds of critique and revision under principles "
        "drawn from the constitution, or of revision alone. The same command again goes on with a stopped "
        "run.",
    )
    parser.add_argument("--constitution", required=True, help="a YAML file, or the name of a shipped one")
    add_inputs(parser)
    add_arguments(parser, Drawing)
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the stage. Raises UserError; returns 0 when whole, 130 when stopped."""
    with prompts.find(args.prompts) as args.prompts:
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    drawing = from_arguments(Drawing, args)
    source = constitutions.find(args.constitution)
    constitution = constitutions.load(source)
    if drawing.revisions:
        constitutions.usable(constitution, "critique")  # fails here, before a model is loaded
    found, inputs = read_prompts(args.prompts)
    folder = RunDir.open(
        args.run,
        # The models are found before the folder is made: a mistyped name must not claim it.
        {
            "stage": "critique",
            "constitution": constitution.version,
            **critique.as_row(drawing),
            **writers(model=drawing.model, critic=drawing.critic_name),
        },
        {"constitution.yaml": source, **inputs},
    )
    ids = {critique.chain_id(prompt, constitution, drawing): prompt for prompt in found.prompts}

    def draw(work: Work) -> None:
        todo = [prompt for id, prompt in ids.items() if work.lacks(id)]
        _draw(work, todo, constitution, drawing)

    return grow(folder, "critique", "chains", CHAINS, lambda row: str(row["id"]), list(ids), draw)


def _draw(work: Work, todo: Sequence[Prompt], constitution: Constitution, drawing: Drawing) -> None:
    engines = _load(drawing, work.purse)

    def keep(chain: Chain) -> None:
        tokens = sum(step.tokens for step in chain.steps)
        work.keep(critique.as_row(chain), tokens, lambda: _sample(chain))

    window = WINDOW if engines.policy is engines.critic else IN_STEP
    for start in range(0, len(todo), window):
        critique.draw_chains(
            todo[start : start + window],
            constitution,
            drawing,
            engines,
            work.meter.text,
            work.stop.is_set,
            lambda prompt, error: work.skip(prompt.id, str(error)),
            on_chain=keep,
        )
    _tell_of_empty(work.output.rows.values())


def _load(drawing: Drawing, purse: Purse) -> critique.Engines:
    policy = loaded(drawing.model, purse)
    same = drawing.critic_name == drawing.model
    return critique.Engines(policy, policy if same else loaded(drawing.critic_name, purse, [policy]))


def _sample(chain: Chain) -> dict[str, str]:
    """What a finished chain shows while the others are written."""
    return {
        "chain": chain.id,
        "prompt": chain.messages[-1].content[:EXCERPT],
        "text": chain.steps[-1].text[:EXCERPT],
    }


def _tell_of_empty(chains: Iterable[Row]) -> None:
    empty = sum(step["finish"] == "empty" for chain in chains for step in chain["steps"])
    if empty:
        say(f"{empty} steps stayed empty after a retry and are marked so")
