"""A preference model whose scoring head alone is learnt: `cai pm --tuning head`.

The model stays as it is, but for its upper half, which is left out. A score is a weighted sum of the states
that then are its last, averaged over the answer, and the weights are a logistic regression on the differences
of pairs: hundreds of numbers and not millions, so that few pairs suffice, and each answer is read once, with
no way back through the layers.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.growing import say
from pipeline.heads import AVERAGED
from pipeline.preference_model import PreferenceModel, averaged
from pipeline.train.examples import Preference, Row, both_read
from pipeline.train.frame import whole_folder
from pipeline.train.loading import Loaded
from pipeline.train.measuring import losses
from pipeline.training_configs import Preferring

STRENGTHS = np.logspace(-5, 1, 13)
"""How little the weights are held down, from which cross-validation chooses."""
FOLDS = 5
TRAINER = "trainer_state.json"


class HeadTrainer:
    """Stands where a trainer of TRL's does: reads the answers batch by batch, and fits the head at the end.

    What was read when it is stopped is kept, and not read again. `pairs` are those learnt from, and so many
    are `too_long`.
    """

    def __init__(
        self,
        start: Loaded,
        preferences: Sequence[Preference],
        config: Preferring,
        folder: Path,
        callbacks: list[Any],
    ) -> None:
        import torch
        from transformers import TrainerControl, TrainerState

        self.folder, self.callbacks = folder, callbacks
        self.model = start.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.model.requires_grad_(False).score.requires_grad_(True)  # so that its card says what was trained
        self.at_once = 2 * (config.at_once or config.batch)
        found, self.too_long = both_read(start.encoder, preferences, config.max_length)
        if config.steps:
            drawn = np.random.default_rng(config.seed).permutation(len(found))
            found = [found[i] for i in sorted(drawn[: config.steps * config.batch])]
        self.pairs = [preference for preference, *_ in found]
        # What several pairs share is read once.
        keys = [[(*ids, begins) for ids, begins in both] for _, *both in found]
        places = {key: place for place, key in enumerate(dict.fromkeys(key for both in keys for key in both))}
        self.rows: list[Row] = [(list(ids), begins) for *ids, begins in places]
        self.places = np.array([[places[key] for key in both] for both in keys])
        self.batches = _batches(self.rows, 2 * config.batch, config.seed)
        self.states = np.zeros((len(self.rows), start.model.score.in_features), np.float32)
        self.state, self.control = TrainerState(max_steps=len(self.batches)), TrainerControl()
        # All that was read is written each time: no more than some ten times.
        self.save_every = max(config.save_every, len(self.batches) // 10)

    def train(self, resume_from_checkpoint: str | None = None) -> None:
        """Read what is not read yet; then fit, unless it was stopped."""
        if resume_from_checkpoint:
            self._load_from_checkpoint(resume_from_checkpoint)
        self._tell("on_train_begin")
        for some in self.batches[self.state.global_step :]:
            self._tell("on_step_begin")
            for part in (some[i : i + self.at_once] for i in range(0, len(some), self.at_once)):
                rows = [self.rows[i] for i in part]
                self.states[part] = averaged(self.model, rows).cpu().numpy()
                self.state.num_input_tokens_seen += sum(len(ids) for ids, _ in rows)
            self.state.global_step += 1
            self._tell("on_step_end")
            self._tell("on_log", logs={"num_tokens": self.state.num_input_tokens_seen})
            whole, stopped = self.state.global_step == self.state.max_steps, self.control.should_training_stop
            if whole or stopped or self.state.global_step % self.save_every == 0:
                self._keep()
            if stopped and not whole:
                return
        self._fit()

    def _fit(self) -> None:
        import torch

        spread = self.states.std(0) + 1e-6
        a, b = self.places.T
        d = (self.states[a] - self.states[b]) / spread
        p = np.array([one.p for one in self.pairs])
        say(f"all answers are read: the head is fitted to {len(p):,} pairs")
        weights, strength, loss = fit(d, p, [one.prompt for one in self.pairs])
        with torch.no_grad():
            self.model.score.weight.copy_(torch.from_numpy(weights / spread)[None])
        setattr(self.model.config, AVERAGED, True)
        self._tell("on_log", logs={"cv_loss": loss, "strength": strength})

    def require_alike(self, saved: PreferenceModel) -> None:
        """Raise UserError where the model as it was saved has other states than those that were learnt from.

        Some kinds scale each layer by how many there are, and so can't do without some of them.
        """
        [state] = averaged(saved.model, self.rows[:1]).cpu().numpy()
        if np.abs(state - self.states[0]).max() > 0.1 * np.abs(self.states[0]).max():
            raise UserError(
                f"{saved.model.config.model_type}: a model of this kind reads otherwise without its upper "
                "layers, and a head alone can't be learnt: choose --tuning lora"
            )

    @property
    def _kept(self) -> str:
        """The file of what was read, which is of these layers."""
        return f"states-{self.model.config.num_hidden_layers}.npy"

    def _tell(self, what: str, **more: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, what)(None, self.state, self.control, **more)

    def _keep(self) -> None:
        before = list(self.folder.glob("checkpoint-*"))
        self.folder.mkdir(exist_ok=True)
        with whole_folder(self.folder / f"checkpoint-{self.state.global_step}") as to:
            np.save(to / self._kept, self.states)
            self.state.save_to_json(str(to / TRAINER))
        for old in before:
            shutil.rmtree(old, ignore_errors=True)

    def _load_from_checkpoint(self, checkpoint: str) -> None:
        from transformers import TrainerState

        kept = Path(checkpoint) / self._kept
        if not kept.is_file():
            raise UserError(
                "what this run has read is of other layers, as an earlier version had them: begin it in "
                "another folder"
            )
        self.states = np.load(kept, allow_pickle=False)
        self.state = TrainerState.load_from_json(str(Path(checkpoint) / TRAINER))
        if self.state.global_step == self.state.max_steps:  # all is read, and its end was not reached
            self._fit()


def fit(d: np.ndarray, p: np.ndarray, prompts: Sequence[str]) -> tuple[np.ndarray, float, float]:
    """The weights w, shape (width,), by which P(a better) = σ(d·w); how strong they may be; and their loss.

    `d`: differences, shape (pairs, width); `p`: probabilities that a is better. The strength is that of the
    least loss on prompts that were left out in turn, which is the loss given: of one prompt no number.
    """
    from sklearn.model_selection import GroupKFold

    folds = min(FOLDS, len(set(prompts)))
    if folds < 2:
        return regression(d, p, STRENGTHS[0]), float(STRENGTHS[0]), math.nan
    parts = list(GroupKFold(folds).split(d, groups=prompts))
    found = []
    for strength in STRENGTHS:
        left_out = np.zeros(len(p))
        for train, test in parts:
            left_out[test] = d[test] @ regression(d[train], p[train], strength)
        found.append(float(losses(left_out, p).mean()))
    best = int(np.argmin(found))
    return regression(d, p, STRENGTHS[best]), float(STRENGTHS[best]), found[best]


def regression(d: np.ndarray, p: np.ndarray, strength: float) -> np.ndarray:
    """The weights for one strength; each pair counts as both outcomes, by their probabilities."""
    from sklearn.linear_model import LogisticRegression

    # Either way round, at half the weight: the loss is the same, and there are always two outcomes.
    both, won = np.concatenate([d, d, -d, -d]), np.repeat([1, 0, 0, 1], len(d))
    weight = np.concatenate([p, 1 - p, p, 1 - p]) / 2
    some = weight > 0
    found = LogisticRegression(C=strength, fit_intercept=False, max_iter=1000).fit(
        both[some], won[some], sample_weight=weight[some]
    )
    weights: np.ndarray = found.coef_[0]
    return weights


def _batches(rows: Sequence[Row], many: int, seed: int) -> list[list[int]]:
    """Rows of like lengths together, in an order drawn by the seed, so that the time left can be told."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    batches = [order[i : i + many] for i in range(0, len(order), many)]
    return [batches[i] for i in np.random.default_rng(seed).permutation(len(batches))]
