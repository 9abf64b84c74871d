"""What a training run says of its speed."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.events import EventLog, metrics
from pipeline.growing import Stop
from pipeline.train.telling import Telling


def test_how_fast_it_was_measured_is_no_figure_of_a_model(tmp_path: Path) -> None:
    state = SimpleNamespace(global_step=5)
    with EventLog(tmp_path / "events.jsonl") as log:
        speeds = {"eval_runtime": 1.3, "eval_samples_per_second": 9.0, "eval_steps_per_second": 2.0}
        Telling(log, Stop(), "pm").on_log(None, state, None, logs={"eval_loss": 0.5, **speeds})
    assert metrics(tmp_path / "events.jsonl") == [(5, {"eval_loss": 0.5})]


@pytest.mark.parametrize("seen", [0, 50_000])  # RL's count goes on where it is resumed
def test_the_rate_is_of_the_steps_without_what_is_sampled_or_saved_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: int
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    state = SimpleNamespace(global_step=0, max_steps=4, num_input_tokens_seen=seen)
    with EventLog(tmp_path / "events.jsonl") as log:
        telling = Telling(log, Stop(), "sft")
        telling.on_train_begin(None, state, None)
        for step in (1, 2, 3, 4):
            clock[0] += 30  # the fixed prompts are answered, a checkpoint is written
            telling.on_step_begin(None, state, None)
            clock[0] += 2
            state.global_step = step
            telling.on_step_end(None, state, None)
            tokens = {} if step == 3 else {"num_tokens": seen + 100.0 * step}
            telling.on_log(None, state, None, logs={"loss": 1.0, **tokens})
    rates = [values.get("tokens_per_second") for _, values in metrics(tmp_path / "events.jsonl")]
    assert rates == [50, 50, None, 50]
