"""A feedback model from judged pairs: it reads a principle and one response, and says Yes or No.

A small model can't tell which of two responses is better, and to learn the words "Yes" and "No" takes it long
(`pipeline/feedback_model/README.md`). So it learns as preference models do, by the difference of two scores.
The head that scores begins as what tells " Yes" from " No"; what it has become is put back into the row of
" Yes". So that word's odds are the score, and any engine can ask for them (`cai label --method pointwise`);
but that a text which has the word itself is read a little differently than it was learnt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import bounded, models, templates
from pipeline import constitution as constitutions
from pipeline.engines import Engine, TooLong
from pipeline.engines.encoding import Encoder
from pipeline.errors import UserError
from pipeline.judging import from_verdicts
from pipeline.records import Constitution
from pipeline.rundir import write_atomically
from pipeline.train.examples import Preference
from pipeline.train.loading import Loaded
from pipeline.train.saving import Origin, name_base, write_card
from pipeline.training_configs import Training

WEIGHTS, SHAPE = "adapter_model.safetensors", "adapter_config.json"
_HEAD = "base_model.model.score.weight"
_ROW = "base_model.model.{}.token_adapter.trainable_tokens_delta"


def asked(preferences: Sequence[Preference], constitution: Constitution, seed: int) -> list[Preference]:
    """The pairs, each with its question: that of a principle drawn for it, or for helpful ones `BETTER`."""
    principles = constitutions.usable(constitution, "feedback")
    found = []
    for one in preferences:
        [principle] = constitutions.draw_several(principles, seed, one.pair.id, 1)
        helpful = one.pair.kind == "helpful"
        found.append(replace(one, question=templates.BETTER if helpful else principle.comparison or ""))
    return found


def require(config: Training) -> None:
    """Raise UserError where no feedback model can be made so."""
    files = models.weights(config.model)
    if config.tuning != "lora" or files.adapter:
        raise UserError("--under makes an adapter: choose --tuning lora, and a model that is none itself")
    if not bounded.json_of(files.folder / "config.json").get("tie_word_embeddings"):
        raise UserError(f"{config.model}: --under needs a model whose words are read and said by one matrix")


def begin(start: Loaded) -> None:
    """Let the head that scores begin as " Yes" less " No". Raises UserError where one is no token."""
    yes, no = _words(start.encoder)
    words = start.model.get_input_embeddings().weight.detach()
    start.model.score.weight.data.copy_((words[yes] - words[no])[None])


def save(model: Any, start: Loaded, to: Path, origin: Origin) -> None:
    """Write the trained adapter, in bf16, as one of a language model, its head within the row of " Yes"."""
    import torch
    from safetensors.torch import load_file, save_file

    model.save_pretrained(to, selected_adapters=["default"])
    weights = load_file(to / WEIGHTS)
    yes, no = _words(start.encoder)
    matrix = start.model.get_input_embeddings()
    row = weights.pop(_HEAD)[0].float() + matrix.weight[no].detach().float().cpu()
    kept = {name: weight.to(torch.bfloat16) for name, weight in weights.items()}
    words = next(name for name, module in start.model.named_modules() if module is matrix)
    save_file({**kept, _ROW.format(words): row[None]}, to / WEIGHTS, {"format": "pt"})
    shape = bounded.json_of(to / SHAPE)
    shape |= {"task_type": "CAUSAL_LM", "modules_to_save": None, "exclude_modules": None}
    shape["trainable_token_indices"] = {words.rpartition(".")[2]: [yes]}
    write_atomically(to / SHAPE, json.dumps(shape, indent=2) + "\n")
    name_base(to, start)
    (to / "README.md").unlink(missing_ok=True)  # PEFT's, which says nothing
    start.tokenizer.save_pretrained(to)
    write_card(to, start, model, origin)


def differences(engine: Engine, preferences: Sequence[Preference]) -> np.ndarray:
    """Of each pair the log-odds of Yes for response a less those for b, each judged alone: shape (pairs,).

    Not a number where a response is too long for the model.
    """
    found: list[float] = []
    for one in preferences:
        asked = [
            templates.pointwise(engine.info.form, one.pair.messages, one.question, response)
            for response in (one.pair.response_a, one.pair.response_b)
            for _ in templates.VERDICTS
        ]
        try:
            scores = engine.score(asked, list(templates.VERDICTS) * 2)
            found.append(from_verdicts(*scores)[0])
        except TooLong:
            found.append(math.nan)
    return np.array(found)


def _words(encoder: Encoder) -> tuple[int, int]:
    """The tokens of both verdicts. Raises UserError where one is more than a token."""
    tokens = [encoder.tokens(word) for word in templates.VERDICTS]
    if any(len(ids) != 1 for ids in tokens):
        raise UserError(f"{encoder.name}: --under needs a model that has a token each for Yes and No")
    return tokens[0][0], tokens[1][0]
