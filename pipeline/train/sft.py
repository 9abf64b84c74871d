"""SL-CAI: fine-tuning on revisions (paper section 3.2), with TRL's SFTTrainer. Headless: `cai sft`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.growing import say
from pipeline.rundir import RunDir
from pipeline.train import frame
from pipeline.train.examples import Lesson, supervised
from pipeline.train.loading import Loaded, load
from pipeline.train.samples import Samples
from pipeline.train.saving import Origin, save_policy
from pipeline.training_configs import Supervised


def train(folder: RunDir, config: Supervised, lessons: Sequence[Lesson], lineage: Mapping[str, Any]) -> int:
    """Fine-tune on the lessons, loss on the answers only. Raises UserError; see `frame.train`."""
    loaded: list[Loaded] = []

    def make(words: Mapping[str, Any], callbacks: list[Any]) -> Any:
        from trl import SFTConfig

        start = load(config, "language")
        loaded.append(start)
        data, out = supervised(start.encoder, lessons, config.max_length)
        if out:
            say(f"{out} of {len(lessons)} examples are left out as longer than {config.max_length} tokens")
        frame.enough(len(data), "examples", config.batch)
        return frame.renaming(trainer())(
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
            callbacks=[*callbacks, Samples(callbacks[0].log, start.encoder, config.sample_every)],
        )

    def save(trainer: Any, to: Path) -> Mapping[str, Any]:
        losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
        figures = {"loss_first": losses[0], "loss_last": losses[-1]} if losses else {}
        save_policy(trainer.model, loaded[0], to, Origin("sft", trainer.state.global_step, lineage, figures))
        return figures

    return frame.train(folder, "sft", config, make, save)


def trainer() -> type:
    """TRL's SFTTrainer, whose last layer computes on a processor only what is learnt."""
    import torch
    from trl import SFTTrainer

    class AnswersAlone(SFTTrainer):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            # On a GPU TRL does the same. Elsewhere it scores each position of the questions too, four of five:
            # with 49,152 words that is 40% of a small model's time.
            if inputs["input_ids"].is_cuda or not self.model.training:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            labels = inputs["labels"][:, 1:]
            learnt = labels != -100
            places = learnt.any(0).nonzero().squeeze(1)
            asked = {name: value for name, value in inputs.items() if name != "labels"}
            outputs = model(**asked, logits_to_keep=places, use_cache=False)
            kept = learnt[:, places]
            logits, words = outputs.logits[kept].float(), labels[:, places][kept]
            many = len(words) if num_items_in_batch is None else num_items_in_batch
            loss = torch.nn.functional.cross_entropy(logits, words, reduction="sum") / max(1, int(many))
            self._total_train_tokens += int(inputs["attention_mask"].sum())
            self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
            right = (logits.argmax(-1) == words).float().mean() if len(words) else torch.zeros(())
            self._metrics["train"]["mean_token_accuracy"].append(right.item())
            return (loss, outputs) if return_outputs else loss

    return AnswersAlone
