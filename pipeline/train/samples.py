"""Answers to the same few prompts every so many steps, beside those of the start: what training changes.

Among them are harmless questions: the share of them that is refused shows a policy that becomes evasive,
which the paper watches too (section 4.4). The prompts are held-out ones of the shipped sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from transformers import TrainerCallback

from pipeline import templates
from pipeline.engines import Sampling
from pipeline.engines.encoding import Encoder
from pipeline.events import EventLog
from pipeline.growing import EXCERPT
from pipeline.prompts import starter
from pipeline.records import Prompt
from pipeline.refusals import refuses
from pipeline.train.speaking import Speaker

RED_TEAM, HELPFUL = 4, 8
"""How many prompts of each kind are asked."""
TOKENS = 48
"""How long an answer gets: enough to see a refusal."""


def fixed() -> list[Prompt]:
    """The same prompts each time: red-team ones first."""
    return [
        prompt
        for kind, many in (("red_team", RED_TEAM), ("helpful", HELPFUL))
        for prompt in islice((p for p in starter(kind) if p.split == "heldout"), many)
    ]


class Samples(TrainerCallback):
    """Asks the model at the start and every so many steps, greedily, so that no random state is moved.

    `every` 0 asks nothing.
    """

    def __init__(self, log: EventLog, encoder: Encoder, every: int) -> None:
        self.log, self.encoder, self.every = log, encoder, every
        self.prompts, self.speaker = fixed(), Speaker()

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if self.every and state.global_step == 0:
            self._tell(model, 0)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if self.every and state.global_step % self.every == 0:
            self._tell(model, state.global_step)

    def _tell(self, model: Any, step: int) -> None:
        texts = answers(self.speaker, model, self.encoder, self.prompts)
        for place, (prompt, text) in enumerate(zip(self.prompts, texts, strict=True)):
            asked = prompt.messages[-1].content[:EXCERPT]
            self.log.emit("sample", step=step, fixed=place, prompt=asked, text=text[:EXCERPT])
        helpful = [refuses(t) for p, t in zip(self.prompts, texts, strict=True) if p.kind == "helpful"]
        self.log.emit("metric", step=step, values={"evasive": sum(helpful) / len(helpful)})


def answers(speaker: Speaker, model: Any, encoder: Encoder, prompts: Sequence[Prompt]) -> list[str]:
    """A greedy answer to each prompt, by a model that is being trained and goes on being so."""
    rows = [encoder.encode(templates.response(encoder.form, prompt.messages)) for prompt in prompts]
    greedy = [Sampling(TOKENS, temperature=0)] * len(rows)
    said = speaker.answers(model, encoder.tokenizer, rows, greedy) or generated(model, encoder, rows)
    return [encoder.tokenizer.decode(row, skip_special_tokens=True).strip() for row in said]


def generated(model: Any, encoder: Encoder, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """The same by transformers."""
    import torch

    longest, pad = max(map(len, rows)), encoder.tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(row)) + [*row] for row in rows], device=model.device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=model.device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            out = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=TOKENS,
                do_sample=False,
                pad_token_id=pad,
            )
    finally:
        model.train(training)
    tokens: list[list[int]] = out[:, longest:].tolist()
    return tokens
