"""Supervised fine-tuning: the loss of the answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.engines import transformers
from pipeline.events import metrics
from pipeline.records import Message
from pipeline.rundir import RunDir
from pipeline.train import frame, sft
from pipeline.train.examples import lesson
from pipeline.training_configs import Supervised

pytestmark = pytest.mark.training


def losses(model: Path, to: Path) -> list[float]:
    """Of five steps on conversations of many lengths, two batches of two to a step."""
    lessons = [lesson([Message("user", "why " * i)], "because " * (7 - i % 7), str(i)) for i in range(1, 20)]
    settings = {"tuning": "full", "learning_rate": 1e-2, "steps": 5, "batch": 4, "at_once": 2}
    folder = RunDir.open(to, {"stage": "sft"}, {})
    assert sft.train(folder, Supervised(model=str(model), **settings), lessons, {}) == 0
    return [values["loss"] for _, values in metrics(folder.events) if "loss" in values]


def test_the_loss_of_the_answers_alone_is_trls_own(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl.kernels import chunked_logprob
    from trl.trainer import utils

    # In bf16, which some processors are faster in, the two round differently.
    monkeypatch.setattr(transformers, "fast_in_bf16", lambda device: False)
    ours = losses(tiny_model, tmp_path / "ours")
    monkeypatch.setattr(utils, "_use_triton", chunked_logprob._use_triton)
    monkeypatch.setattr(frame, "score_answers_alone", lambda: None)
    assert ours == pytest.approx(losses(tiny_model, tmp_path / "trl"), rel=1e-4)
    assert len(ours) == 5
    assert ours[-1] < ours[0]


def test_a_cards_figures_are_of_a_tenth_of_the_steps_and_not_of_one() -> None:
    assert frame.ends([float(i) for i in range(20)], "loss") == {"loss_first": 0.5, "loss_last": 18.5}
    assert frame.ends([], "loss") == {}
