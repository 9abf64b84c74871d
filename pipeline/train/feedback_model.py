"""A feedback model from judged pairs: a head that scores a response after a principle's question.

A small model can't say which of two responses is better, nor learn the words for it in reasonable time
(`pipeline/feedback_model/README.md`). What its states know of a response can be read off them all the same,
as a preference model's head does (head.py); here the question comes first, and the response is read by it.
`cai label --method pointwise` compares the scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import constitution as constitutions
from pipeline import heads, models, templates
from pipeline.engines import Engine, TooLong
from pipeline.errors import UserError
from pipeline.judging import alone, from_scores
from pipeline.records import Constitution
from pipeline.train.examples import Preference
from pipeline.train.loading import Loaded
from pipeline.train.saving import Origin, write_card
from pipeline.training_configs import Training

AT_ONCE = 16
"""Pairs whose responses are scored together."""


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
    if config.tuning != "head" or models.weights(config.model).adapter:
        raise UserError("--under makes a head: choose --tuning head, and a model that is no adapter")


def save(model: Any, start: Loaded, to: Path, origin: Origin) -> None:
    """Write the head alone, which stands on the model that it was made from."""
    heads.write(to, model, start.files.lasting)
    write_card(to, start, model, origin)


def differences(engine: Engine, preferences: Sequence[Preference]) -> np.ndarray:
    """Of each pair the score of response a less that of b, each judged alone: shape (pairs,).

    Not a number where a response is too long for the model.
    """
    found: list[float] = []
    for some in (preferences[i : i + AT_ONCE] for i in range(0, len(preferences), AT_ONCE)):
        try:
            found += _scored(engine, some)
        except TooLong:
            found += [_alone(engine, one) for one in some]
    return np.array(found)


def _scored(engine: Engine, preferences: Sequence[Preference]) -> list[float]:
    form = engine.info.form
    asked = [each for one in preferences for each in alone(form, one.pair, one.question, scores=True)]
    scores = engine.score([context for context, _ in asked], [response for _, response in asked])
    return [from_scores(a, b)[0] for a, b in zip(scores[::2], scores[1::2], strict=True)]


def _alone(engine: Engine, preference: Preference) -> float:
    try:
        return _scored(engine, [preference])[0]
    except TooLong:
        return math.nan
