"""What a training run says while it works, and how it hears that it is to stop."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import torch
from transformers import TrainerCallback

from pipeline.errors import UserError
from pipeline.events import EventLog
from pipeline.growing import Stop
from pipeline.train import ranks

NOT_FIGURES = ("epoch", "total_flos", "eval_num_tokens", "_runtime", "_per_second")
"""How the names end of what TRL logs of its own bookkeeping."""


class Telling(TrainerCallback):
    """Events for whoever watches: `metric` each step, `progress` with an ETA; a stop saves and ends.

    A metric's `step` is the trainer's. On a resume `started` says the step that it goes on from: figures of
    earlier attempts past that step were of weights that are gone, and do not count.
    """

    def __init__(self, log: EventLog, stop: Stop, stage: str) -> None:
        self.log, self.stop, self.stage = log, stop, stage
        self._first = 0
        self._began: float | None = None
        self._step = self._worked = self._tokens = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._first = state.global_step
        if args:  # a resumed state has how often the run was to save when its checkpoint was written
            state.compute_steps(args, state.max_steps)
        # RL's count goes on over a resume, and the trainer has it here; the others' begin at 0.
        self._tokens = float(state.num_input_tokens_seen)
        self.log.emit("started", stage=self.stage, total=state.max_steps, done=state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._step = time.monotonic()
        if self._began is None:
            self._began = self._step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # a GPU is still at work on what was asked of it
        now = time.monotonic()
        self._worked += now - self._step
        spent = now - (self._began or now)
        steps = state.global_step - self._first
        eta = spent / steps * (state.max_steps - state.global_step) if steps else None
        self.log.emit(
            "progress",
            done=state.global_step,
            total=state.max_steps,
            eta_s=None if eta is None else round(eta, 1),
        )
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{state.global_step}/{state.max_steps} steps ")
            sys.stderr.flush()
        if ranks.any_of(self.stop.is_set()):
            control.should_save = True
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        figures = {
            k: float(v) for k, v in (logs or {}).items() if not k.endswith(NOT_FIGURES) and _is_number(v)
        }
        if not figures or "train_loss" in figures:  # the closing summary of the trainer says nothing new
            return
        self._add_rate(figures)
        self.log.emit("metric", step=state.global_step, values=figures)
        if any(not math.isfinite(figures.get(name, 0.0)) for name in ("loss", "grad_norm")):
            raise UserError(
                f"the loss is no number any more at step {state.global_step}: lower the learning rate (a "
                "third is a good try) and start again; the checkpoint before is kept"
            )

    def _add_rate(self, figures: dict[str, float]) -> None:
        """Tokens a second of the steps since the last figures, without loading, saving and sampling."""
        tokens = figures.pop("num_tokens", None)
        if tokens is not None and tokens > self._tokens and self._worked:
            figures["tokens_per_second"] = (tokens - self._tokens) / self._worked
            self._tokens, self._worked = tokens, 0.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
