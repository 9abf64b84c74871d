"""A preference model from AI and human labels (paper section 4.1), with TRL's RewardTrainer.

The targets are soft: the loss of a pair with probability p is -[p·log σ(d) + (1-p)·log σ(-d)], where d is
the difference of the two scores. Pairs with a question make a feedback model (feedback_model.py).
Headless: `cai pm`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import bounded, models
from pipeline.errors import UserError
from pipeline.growing import say
from pipeline.preference_model import PreferenceModel
from pipeline.rundir import RunDir, write_atomically
from pipeline.train import feedback_model, frame, measuring, ranks
from pipeline.train.examples import Preference, preferred
from pipeline.train.head import HeadTrainer
from pipeline.train.loading import Loaded, load
from pipeline.train.saving import Origin, add_figures, save_merged
from pipeline.training_configs import Preferring

TRAINED_ON = "trained_on.json"
"""In a checkpoint: the ids of the pairs that it was trained on, so that no judge shares them.

Also those of the preference model that it began from."""
WATCHED = 128
"""Held-out pairs that are scored while it trains. All of them are at the end."""


def train(
    folder: RunDir,
    config: Preferring,
    preferences: Sequence[Preference],
    lineage: Mapping[str, Any],
    measured_on: Mapping[str, Sequence[Preference]] | None = None,
) -> int:
    """Train on what is not held out; measure on what is, and on other sets by name.

    Raises UserError, also where a set to measure on shares pairs with what is learnt; see `frame.train`.
    """
    learnt, kept = held_out(preferences, config.heldout, config.seed)
    sets = {"heldout": kept, **(measured_on or {})}
    if config.targets == "hard":
        sided = [preference for preference in learnt if preference.p != 0.5]
        if ties := len(learnt) - len(sided):
            say(f"{ties} pairs are left out: they favour neither side, and a hard target has to")
        learnt = sided
    judges = any(preference.question for preference in learnt)
    if config.tuning == "head" and ranks.many() > 1:
        raise UserError("--tuning head reads each answer once, and on one GPU: choose one")
    before = trained_on(config.model)
    require_apart(learnt, sets, before)
    loaded: list[Loaded] = []
    told: dict[str, Any] = {}

    def make(words: Mapping[str, Any], callbacks: list[Any]) -> Any:
        start = load(config, "reward")
        loaded.append(start)
        targets = [_target(p, config) for p in learnt]
        if config.tuning == "head":
            reader = HeadTrainer(start, targets, config, frame.checkpoints(folder), callbacks)
            _say_what_is_learnt(told, len(reader.pairs), reader.too_long, config)
            return reader
        from trl import RewardConfig

        data, out = preferred(start.encoder, targets, config.max_length)
        aside, out_aside = preferred(start.encoder, kept[:WATCHED], config.max_length)
        _say_what_is_learnt(told, len(data), out + out_aside, config)
        return frame.resumable(soft_trainer())(
            model=start.model,
            args=RewardConfig(
                **words,
                max_length=None,
                train_sampling_strategy="group_by_length",
                length_column_name="length",
                eval_strategy="steps" if len(aside) else "no",
                eval_steps=config.save_every,
            ),
            data_collator=soft_collator()(pad_token_id=start.tokenizer.pad_token_id),
            train_dataset=data,
            eval_dataset=aside if len(aside) else None,
            processing_class=start.tokenizer,
            peft_config=start.adapter,
            callbacks=callbacks,
        )

    def save(trainer: Any, to: Path) -> Mapping[str, Any]:
        write_model = feedback_model.save if judges else save_merged
        method = "feedback" if judges else "pm"
        write_model(trainer.model, loaded[0], to, Origin(method, trainer.state.global_step, lineage, told))
        if isinstance(trainer, HeadTrainer) and not judges:
            trainer.require_alike(PreferenceModel(str(to)))
        write_atomically(to / TRAINED_ON, json.dumps(sorted(before | {p.pair.id for p in learnt})) + "\n")
        # On the checkpoint as it will be used: merged, and loaded again.
        told.update(_measure(to, sets, judges))
        add_figures(to, told)
        return told

    return frame.train(folder, "pm", config, make, save)


def _say_what_is_learnt(told: dict[str, Any], pairs: int, too_long: int, config: Preferring) -> None:
    told.update(pairs=pairs, too_long=too_long)
    if too_long:
        say(f"{too_long} pairs are left out as longer than {config.max_length} tokens")
    frame.enough(pairs, "pairs", config.least)


def _measure(checkpoint: Path, sets: Mapping[str, Sequence[Preference]], judges: bool) -> dict[str, Any]:
    if judges:
        from pipeline.engines.opening import loaded

        differences = partial(feedback_model.differences, loaded(str(checkpoint)))
    else:
        differences = partial(measuring.differences, PreferenceModel(str(checkpoint)).score)
    figures = {}
    for name, pairs in sets.items():
        if pairs:
            say(f"measuring on {len(pairs):,} pairs: {name}")
            d = differences(pairs)
            fits = np.isfinite(d)
            if out := len(pairs) - int(fits.sum()):
                say(f"{out} of them are left out as too long for the model")
            some = [pair for pair, fit in zip(pairs, fits, strict=True) if fit]
            figures[name] = measuring.measure(d[fits], some)
            say(measuring.line(name, figures[name]))
    return figures


def require_apart(
    learnt: Sequence[Preference], sets: Mapping[str, Sequence[Preference]], before: Set[str] = frozenset()
) -> None:
    """Raise UserError where pairs to measure on are pairs to learn from, naming how many.

    `before`: the ids of those that the model has learnt from already.
    """
    known = before | {preference.pair.id for preference in learnt}
    for name, pairs in sets.items():
        shared = len(known & {preference.pair.id for preference in pairs})
        if shared:
            raise UserError(
                f"{name}: {shared:,} of its pairs are learnt from too, here or by the model that it starts "
                "from, and would flatter the figures: take them out of one of the two"
            )


def apart(reward: str, judge: str, own: Set[str] | None = None) -> None:
    """Raise UserError where a judge was trained on pairs that the reward was trained on, naming how many.

    `own`: the pairs that the judge learnt from, where its folder is not what says so.
    """
    shared = trained_on(reward) & (trained_on(judge) if own is None else own)
    if shared:
        raise UserError(
            f"{judge}: shares {len(shared):,} training pairs with {reward}, and so can't judge what that one "
            "rewards: train the judge on pairs that the reward has not seen"
        )


def trained_on(name: str) -> set[str]:
    """The ids of the pairs that a preference model learnt from; none where its folder does not say."""
    files = models.weights(name)
    path = files.own / TRAINED_ON
    return set(bounded.json_of(path)) if path.is_file() else set()


def held_out(
    preferences: Iterable[Preference], share: float, seed: int
) -> tuple[list[Preference], list[Preference]]:
    """What to learn and what to measure on, divided by prompt: no prompt is in both."""
    learnt: list[Preference] = []
    kept: list[Preference] = []
    for preference in preferences:
        digest = hashlib.sha256(f"{seed}:heldout:{preference.prompt}".encode()).digest()
        (kept if int.from_bytes(digest[:4], "big") < share * 2**32 else learnt).append(preference)
    return learnt, kept


def _target(preference: Preference, config: Preferring) -> Preference:
    if config.targets == "hard":
        return replace(preference, p=1.0 if preference.p > 0.5 else 0.0)
    return replace(preference, p=min(max(preference.p, config.clamp), 1 - config.clamp))


def soft_trainer() -> type:
    """TRL's RewardTrainer with a probability for each pair."""
    import torch
    from trl import RewardTrainer

    class SoftRewardTrainer(RewardTrainer):
        def _set_signature_columns_if_needed(self) -> None:
            self._signature_columns = ["chosen_ids", "rejected_ids", "p", "length"]

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            p = inputs.pop("p")
            hard, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
            better, worse = torch.chunk(outputs.logits.squeeze(-1).float(), 2)
            sigmoid = torch.nn.functional.logsigmoid
            d = better - worse
            # The parent's loss is of p = 1; what else it may add to it stays.
            loss = hard + sigmoid(d).mean() - (p * sigmoid(d) + (1 - p) * sigmoid(-d)).mean()
            # The parent takes the mean over batches, and the last one may be smaller: each pair is to count.
            for values in self._metrics["train" if self.model.training else "eval"].values():
                values.extend(values[-1:] * (len(p) - 1))
            return (loss, outputs) if return_outputs else loss

    return SoftRewardTrainer


def soft_collator() -> type:
    """TRL's collator for pairs, which would drop their probabilities."""
    import torch
    from trl.trainer.reward_trainer import DataCollatorForPreference

    class SoftCollator(DataCollatorForPreference):
        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            batch: dict[str, Any] = super().torch_call(examples)
            batch["p"] = torch.tensor([example["p"] for example in examples])
            return batch

    return SoftCollator
