"""Helpful examples beside the revisions, so that harmlessness is not learnt alone (paper section 3.2).

The paper samples them from its helpful model. A file of answered conversations does as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline import pairs, prompts, templates
from pipeline.engines import Completion, Request, Sampling, TooLong
from pipeline.engines.freeing import free
from pipeline.engines.opening import loaded
from pipeline.errors import UserError
from pipeline.growing import Stop, say
from pipeline.prompt_rows import rows
from pipeline.records import Message, Prompt, as_json, parse
from pipeline.rundir import read_rows, write_atomically
from pipeline.stage_inputs import read_prompts
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


def sample(model: str, every: Sequence[Prompt], seed: int, max_tokens: int, kept: Path) -> list[Lesson]:
    """A sampled answer to each prompt, at temperature 1; empty and unfinished ones are none.

    Written to `kept`, where a run that goes on finds them again. Raises UserError where it was stopped.
    """
    if not kept.is_file():
        answers = _sample(model, every, seed, max_tokens)
        free()  # for the model that is trained
        write_atomically(kept, "".join(json.dumps(row) + "\n" for row in answers))
    return [
        lesson([parse(Message, m) for m in row["messages"][:-1]], row["messages"][-1]["content"], row["id"])
        for row in read_rows(kept)
    ]


def _sample(model: str, every: Sequence[Prompt], seed: int, max_tokens: int) -> list[dict[str, object]]:
    say(f"{len(every):,} helpful answers, sampled from {model}")
    engine = loaded(model)
    found: dict[int, str] = {}

    def take(i: int, outcome: Completion | TooLong) -> None:
        if isinstance(outcome, Completion) and outcome.finish == "stop" and outcome.text.strip():
            found[i] = outcome.text.strip()

    with Stop.on_signals() as stop:
        engine.flow(
            [
                Request(
                    templates.response(engine.info.form, prompt.messages),
                    Sampling(max_tokens, 1.0, seed=pairs.response_seed(seed, prompt.id, 0)),
                )
                for prompt in every
            ],
            take,
            lambda at, text: None,
            stop.is_set,
        )
        if stop.is_set():
            raise UserError("stopped while helpful answers were sampled; the same command begins them again")
    say(f"{len(found):,} of them came to an end within {max_tokens} tokens, and are learnt")
    return [
        {
            "id": every[i].id,
            "messages": [*map(as_json, every[i].messages), {"role": "assistant", "content": found[i]}],
        }
        for i in sorted(found)
    ]
