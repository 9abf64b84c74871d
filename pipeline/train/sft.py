"""SL-CAI: fine-tuning on revisions (paper section 3.2), with TRL's SFTTrainer. Headless: `cai sft`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.events import EventLog
from pipeline.growing import Stop, say
from pipeline.rundir import RunDir
from pipeline.train import frame
from pipeline.train.examples import Lesson, supervised
from pipeline.train.loading import Loaded, load
from pipeline.train.samples import Samples
from pipeline.train.saving import Origin, save_policy
from pipeline.training_configs import Supervised


def train(
    folder: RunDir,
    config: Supervised,
    lessons: Sequence[Lesson],
    lineage: Mapping[str, Any],
    sample: Callable[[EventLog, Stop], Sequence[Lesson]] | None = None,
) -> int:
    """Fine-tune on the lessons, loss on the answers only. Raises UserError; see `frame.train`.

    `sample` makes more lessons: within the run, which no other process works on then, and which can be
    stopped.
    """
    loaded: list[Loaded] = []

    def make(words: Mapping[str, Any], callbacks: list[Any]) -> Any:
        from trl import SFTConfig, SFTTrainer

        telling = callbacks[0]
        every = [*lessons, *(sample(telling.log, telling.stop) if sample else ())]
        start = load(config, "language")
        loaded.append(start)
        data, out = supervised(start.encoder, every, config.max_length)
        if out:
            say(f"{out} of {len(every)} examples are left out as longer than {config.max_length} tokens")
        frame.enough(len(data), "examples", config.least)
        return frame.resumable(SFTTrainer)(
            model=start.model,
            args=SFTConfig(
                **words,
                max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True},
                # Batches of like lengths: on a processor padding costs as much as text.
                train_sampling_strategy="group_by_length",
                length_column_name="length",
            ),
            train_dataset=data,
            processing_class=start.tokenizer,
            peft_config=start.adapter,
            callbacks=[*callbacks, Samples(telling.log, start.encoder, config.sample_every)],
        )

    def save(trainer: Any, to: Path) -> Mapping[str, Any]:
        figures = frame.ends([row["loss"] for row in trainer.state.log_history if "loss" in row], "loss")
        save_policy(trainer.model, loaded[0], to, Origin("sft", trainer.state.global_step, lineage, figures))
        return figures

    return frame.train(folder, "sft", config, make, save)
