"""`cai critique`: one chain for each prompt of a file, in a run directory.

A stopped or killed run goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import constitution as constitutions
from pipeline import critique, models, prompts
from pipeline.configs import Drawing, add_arguments, from_arguments
from pipeline.engines import TooLong
from pipeline.errors import UserError
from pipeline.events import EventLog
from pipeline.meter import Meter
from pipeline.records import Chain, Constitution, Prompt, as_json
from pipeline.rundir import RunDir, read_rows

CHAINS = "chains.jsonl"
WINDOW = 512
"""Chains that the engine holds at once. Only at a window's end do its slots run empty."""
IN_STEP = 64
"""The same where critic and policy differ: the critic begins when the policy has answered them all."""
EXCERPT = 240
"""Characters of a text that a sample shows."""


def register(subparsers: Any) -> None:
    """Add `critique` to the command line."""
    parser = subparsers.add_parser(
        "critique",
        help="write critique→revision chains for a file of prompts",
        description="For each prompt: a response, then rounds of critique and revision under principles "
        "drawn from the constitution. The same command again goes on with a stopped run.",
    )
    parser.add_argument("--constitution", required=True, help="a YAML file, or the name of a shipped one")
    parser.add_argument(
        "--prompts",
        required=True,
        type=Path,
        help="a prompt file (text, JSONL, JSON, CSV, Parquet), or a shipped set: red-team, helpful:heldout",
    )
    parser.add_argument("--run", required=True, type=Path, metavar="DIR", help="the run's directory")
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
    found = prompts.read(args.prompts)
    for line in found.report():
        _say(line)
    suffixes = args.prompts.suffixes[-2:] if args.prompts.suffix == ".gz" else [args.prompts.suffix]
    folder = RunDir.open(
        args.run,
        # The models are found before the folder is made: a mistyped name must not claim it.
        {
            "stage": "critique",
            "constitution": constitution.version,
            **as_json(drawing),
            **_revisions(drawing),
        },
        {"constitution.yaml": source, f"prompts{''.join(suffixes)}": args.prompts},
    )
    with EventLog(folder.events) as log, _Stop.on_signals() as stop:
        if (folder.outputs / CHAINS).exists():
            return _ended(folder, log)
        try:
            return _draw(folder, log, found.prompts, constitution, drawing, stop)
        except Exception as error:
            log.emit("failed", error=str(error) or type(error).__name__)
            raise


def _revisions(drawing: Drawing) -> dict[str, str]:
    """Which weights: a folder's may change under its name, and one run is drawn from one model."""
    return {
        "model_revision": models.resolve(drawing.model).revision,
        "critic_revision": models.resolve(drawing.critic_name).revision,
    }


def _ended(folder: RunDir, log: EventLog) -> int:
    """The chains are there. Refuse to draw them again, but say so first where a kill came before."""
    if log.last == "finished":
        raise UserError(f"{folder.folder}: this run is complete; choose another --run folder to draw again")
    return _announce(folder, log, len(read_rows(folder.outputs / CHAINS)))


def _announce(folder: RunDir, log: EventLog, chains: int) -> int:
    log.emit("artifact", path=f"outputs/{CHAINS}", rows=chains)
    log.emit("finished", status="done", chains=chains)
    print(folder.outputs / CHAINS)  # noqa: T201
    return 0


def _draw(
    folder: RunDir,
    log: EventLog,
    every: Sequence[Prompt],
    constitution: Constitution,
    drawing: Drawing,
    stop: _Stop,
) -> int:
    part = folder.part(CHAINS)
    done = {row["id"]: row for row in read_rows(part)}
    ids = {prompt.id: critique.chain_id(prompt, constitution, drawing) for prompt in every}
    todo = [prompt for prompt in every if ids[prompt.id] not in done]
    log.emit("started", stage="critique", chains=len(every), done=len(done))
    if done:
        _say(f"going on: {len(done)} of {len(every)} chains are there")
    engines = _load(drawing)

    def skip(prompt: Prompt, error: TooLong) -> None:
        log.emit("skipped", prompt=prompt.id, reason=str(error))
        _say(f"prompt {prompt.id} is left out: {error}")

    meter = Meter(log, len(every), len(done), "chains")
    window = WINDOW if engines.policy is engines.critic else IN_STEP
    with part.open("a", encoding="utf-8") as file:

        def keep(chain: Chain) -> None:
            # On the disk at once: a stop or a kill loses only the chains in flight.
            done[chain.id] = as_json(chain)
            file.write(json.dumps(done[chain.id]) + "\n")
            file.flush()
            meter.one_more(sum(step.tokens for step in chain.steps), lambda: _sample(chain))

        for start in range(0, len(todo), window):
            some = todo[start : start + window]
            critique.draw_chains(
                some, constitution, drawing, engines, meter.text, stop.is_set, skip, on_chain=keep
            )
    meter.show(force=True)
    _tell_of_empty(done.values())
    if stop.is_set() and len(done) < len(every):
        log.emit("finished", status="stopped", chains=len(done))
        _say(f"stopped: {len(done)} of {len(every)} chains kept; the same command goes on from here")
        return 130
    rows = [done[ids[prompt.id]] for prompt in every if ids[prompt.id] in done]
    if not rows:
        raise UserError(f"{folder.folder}: no chain was written, as every prompt is too long for the model")
    folder.finish(CHAINS, rows)
    return _announce(folder, log, len(rows))


def _load(drawing: Drawing) -> critique.Engines:
    _say(f"loading {drawing.model}")
    from pipeline.engines.transformers import TransformersEngine

    policy = TransformersEngine(drawing.model)
    same = drawing.critic_name == drawing.model
    return critique.Engines(policy, policy if same else TransformersEngine(drawing.critic_name))


def _sample(chain: Chain) -> dict[str, str]:
    """What a finished chain shows while the others are written."""
    return {
        "chain": chain.id,
        "prompt": chain.messages[-1].content[:EXCERPT],
        "text": chain.steps[-1].text[:EXCERPT],
    }


def _tell_of_empty(chains: Iterable[dict[str, Any]]) -> None:
    empty = sum(step["finish"] == "empty" for chain in chains for step in chain["steps"])
    if empty:
        _say(f"{empty} steps stayed empty after a retry and are marked so")


class _Stop:
    """Set by the first SIGINT or SIGTERM; a second one ends the process as usual."""

    def __init__(self) -> None:
        self._asked = False

    def is_set(self) -> bool:
        return self._asked

    def __call__(self, number: int, frame: object) -> None:
        self._asked = True
        signal.signal(number, signal.SIG_DFL)

    @classmethod
    @contextmanager
    def on_signals(cls) -> Iterator[_Stop]:
        """Listen while inside."""
        stop = cls()
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201
