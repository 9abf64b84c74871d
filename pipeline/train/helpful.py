"""Helpful examples beside the revisions, so that harmlessness is not learnt alone (paper section 3.2).

The paper samples them from its helpful model. A file of answered conversations does as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline import pairs, prompts, templates
from pipeline.engines import Completion, Request, Sampling, StoppedError, TooLong
from pipeline.engines.freeing import free
from pipeline.engines.opening import loaded
from pipeline.engines.spending import USAGE, Purse
from pipeline.events import EventLog
from pipeline.growing import Growing, Stop, leave_out, say
from pipeline.meter import Meter, Part
from pipeline.prompt_rows import rows
from pipeline.records import Message, Prompt, as_json, parse
from pipeline.rundir import RunDir, read_rows
from pipeline.stage_inputs import read_prompts
from pipeline.train import ranks
from pipeline.train.examples import Lesson, lesson

SAMPLED = "helpful.jsonl"


def are_answered(path: Path) -> bool:
    """Whether a file's first row ends in an assistant's turn: demonstrations, and not prompts."""
    if not path.is_file():
        return False
    first = next(iter(rows(path)), None)
    messages = first.value.get("messages") if first and isinstance(first.value, dict) else None
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        return False
    return bool(messages[-1].get("role") == "assistant")


def asked(name: Path, many: int) -> list[Prompt]:
    """The first so many helpful prompts of a file or a shipped set. Raises UserError."""
    with prompts.find(name) as path:
        found, _ = read_prompts(path)
    return list(found.prompts[:many])


def sample(
    model: str,
    every: Sequence[Prompt],
    seed: int,
    max_tokens: int,
    folder: RunDir,
    log: EventLog,
    stop: Stop,
) -> list[Lesson]:
    """A sampled answer to each prompt, at temperature 1; empty and unfinished ones are none.

    Kept in the run as they come: one that goes on neither waits nor pays for them again. Raises
    StoppedError, and SpentError where servers' models may use no more.
    """
    kept = RunDir(folder.leader).outputs / SAMPLED
    if ranks.follows():  # each would sample them for itself, and pay again
        ranks.wait_for(kept, stop.is_set)
    elif not kept.is_file():
        with Growing(folder, SAMPLED, lambda row: str(row["id"])) as output:
            purse = Purse.from_environment(folder.folder / USAGE)
            _sample(model, every, seed, max_tokens, output, purse, log, stop)
            found = [prompt.id for prompt in every if output.rows[prompt.id]["messages"]]
            say(f"{len(found):,} of them came to an end within {max_tokens} tokens, and are learnt")
            output.finish(found)
        free()  # for the model that is trained
    return [
        lesson([parse(Message, m) for m in row["messages"][:-1]], row["messages"][-1]["content"], row["id"])
        for row in read_rows(kept)
    ]


def _sample(
    model: str,
    every: Sequence[Prompt],
    seed: int,
    max_tokens: int,
    output: Growing,
    purse: Purse,
    log: EventLog,
    stop: Stop,
) -> None:
    """Keep a row for each prompt that has none yet; one without messages says that no answer came."""
    say(f"{len(every):,} helpful answers, sampled from {model}")
    missing = [prompt for prompt in every if prompt.id not in output.rows]
    if not missing:
        return
    if len(missing) < len(every):
        say(f"going on: {len(every) - len(missing):,} of {len(every):,} are there")
    meter = Meter(log, 0, 0, "steps")  # of training: how many, it will say itself
    part = Part("helpful answers", len(every), len(every) - len(missing))
    meter.begin(part)
    engine = loaded(model, purse, cancelled=stop.is_set)

    def take(i: int, outcome: Completion | TooLong) -> None:
        said: list[object] = []
        if isinstance(outcome, Completion):
            if outcome.finish == "cancelled":
                return
            if outcome.finish == "stop" and outcome.text.strip():
                answer = {"role": "assistant", "content": outcome.text.strip()}
                said = [*map(as_json, missing[i].messages), answer]
        else:
            leave_out(log, missing[i].id, str(outcome))
        output.keep({"id": missing[i].id, "messages": said})
        part.more(1)
        meter.show()

    engine.flow(
        [
            Request(
                templates.response(engine.info.form, prompt.messages),
                Sampling(max_tokens, 1.0, seed=pairs.response_seed(seed, prompt.id, 0)),
            )
            for prompt in missing
        ],
        take,
        meter.text,
        stop.is_set,
    )
    if stop.is_set():
        raise StoppedError("stopped while helpful answers were sampled")
