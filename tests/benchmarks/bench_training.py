"""Tokens a second of fine-tuning: as `cai sft` does it against a plain TRL script with TRL's defaults.

python tests/benchmarks/bench_training.py [STEPS [BATCH]]

The same model, batch and LoRA for all, on the revisions of the written chains. What differs: lengths grouped,
no activation checkpointing, no scores of what is not learnt, the number form that this processor is faster
in. TRL's default is bf16, which a processor without it does at a crawl; so TRL in fp32, its other defaults
left, is measured too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import written
from pipeline.events import metrics
from pipeline.records import Message
from pipeline.rundir import RunDir
from pipeline.train import loading, sft
from pipeline.train.examples import lesson, said
from pipeline.training_configs import Supervised


def main(steps: int = 4, batch: int = 8) -> None:
    """Print a line of each, as it is measured."""
    for name, rate in rates(steps, batch, slowly=True):
        print(f"{name:12} {rate:7.1f} tokens/s", flush=True)  # noqa: T201


def rates(steps: int = 4, batch: int = 8, slowly: bool = False) -> Iterator[tuple[str, float]]:
    """Tokens a second of each; `slowly` with TRL's defaults, minutes where the processor has no bf16."""
    lessons = [lesson((Message("user", one.prompt),), one.revision, one.id) for one in written.chains()]
    config = Supervised(steps=steps, batch=batch, save_every=10**6)
    with tempfile.TemporaryDirectory() as folder:
        yield "cai sft", _ours(Path(folder), config, lessons)
        yield "TRL in fp32", _plain(Path(folder), config, lessons, {"bf16": False})
        if slowly:
            yield "TRL defaults", _plain(Path(folder), config, lessons, {})


def _mean(rates: list[float]) -> float:
    """As if each step but the first, which warms up, had as many tokens."""
    return len(rates[1:]) / sum(1 / rate for rate in rates[1:])


def _ours(folder: Path, config: Supervised, lessons: list[Any]) -> float:
    run = RunDir.open(folder / "run", {"stage": "sft"}, {})
    sft.train(run, config, lessons, {})
    return _mean([v["tokens_per_second"] for _, v in metrics(run.events) if "tokens_per_second" in v])


def _plain(folder: Path, config: Supervised, lessons: list[Any], number: dict[str, bool]) -> float:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    start = loading.load(config, "language")
    rows = [{"input_ids": said(start.encoder, x.ask("chat"), x.answer)[0]} for x in lessons]
    trainer = SFTTrainer(
        model=str(start.files.folder),
        args=SFTConfig(
            output_dir=str(folder / "plain"),
            max_steps=config.steps,
            per_device_train_batch_size=config.batch,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            **number,
        ),
        train_dataset=Dataset.from_list(rows),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    began, took = [], []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            began.append(time.perf_counter())

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            took.append(time.perf_counter() - began[-1])

    trainer.add_callback(Clock())
    trainer.train()
    tokens = [row["num_tokens"] for row in trainer.state.log_history if "num_tokens" in row]
    return _mean([float(many) / time for many, time in zip(np.diff(tokens, prepend=0), took, strict=True)])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
