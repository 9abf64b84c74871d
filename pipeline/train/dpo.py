"""Direct preference optimisation: the offline way from labels to a policy, with TRL's DPOTrainer.

No part of the paper, which trains a preference model and does RL; the same labels serve both. Headless:
`cai dpo`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.growing import say
from pipeline.rundir import RunDir
from pipeline.train import frame
from pipeline.train.examples import Preference, opposed
from pipeline.train.loading import Loaded, load
from pipeline.train.samples import Samples
from pipeline.train.saving import Origin, save_policy
from pipeline.training_configs import Direct


def train(
    folder: RunDir, config: Direct, preferences: Sequence[Preference], lineage: Mapping[str, Any]
) -> int:
    """Train on which response is better. DPO has no soft targets: pairs near 0.5 can be left out by `clamp`.

    Raises UserError; see `frame.train`.
    """
    loaded: list[Loaded] = []
    clear = [p for p in preferences if abs(p.p - 0.5) > config.clamp]

    def make(words: Mapping[str, Any], callbacks: list[Any]) -> Any:
        from trl import DPOConfig, DPOTrainer

        start = load(config, "language")
        loaded.append(start)
        data, out = opposed(start.encoder, clear, config.max_length)
        say(f"{len(data)} pairs; {len(preferences) - len(clear)} undecided and {out} too long are left out")
        frame.enough(len(data), "pairs", config.least)

        class Encoded(DPOTrainer):
            def _prepare_dataset(self, dataset: Any, *more: Any) -> Any:
                return dataset  # tokenised already, by our own encoder

        return frame.resumable(Encoded)(
            model=start.model,
            args=DPOConfig(**words, beta=config.beta, max_length=None),
            train_dataset=data,
            processing_class=start.tokenizer,
            peft_config=start.adapter,
            callbacks=[*callbacks, Samples(callbacks[0].log, start.encoder, config.sample_every)],
        )

    def save(trainer: Any, to: Path) -> Mapping[str, Any]:
        name = "rewards/accuracies"
        figures = frame.ends([row[name] for row in trainer.state.log_history if name in row], "accuracy")
        save_policy(trainer.model, loaded[0], to, Origin("dpo", trainer.state.global_step, lineage, figures))
        return figures

    return frame.train(folder, "dpo", config, make, save)
