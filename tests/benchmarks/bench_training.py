"""Tokens a second of fine-tuning: as `cai sft` does it against a plain TRL script with TRL's defaults.

python tests/benchmarks/bench_training.py [STEPS]

The same model, examples, batch and LoRA for both. What differs: lengths grouped, no activation checkpointing,
the number form that this processor is faster in.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline.events import metrics
from pipeline.records import Message
from pipeline.rundir import RunDir
from pipeline.train import loading, sft
from pipeline.train.examples import lesson, said
from pipeline.training_configs import Supervised

WORDS = [
    "the",
    "fire",
    "in",
    "a",
    "forest",
    "starts",
    "with",
    "dry",
    "wood",
    "and",
    "some",
    "patience",
    "while",
    "rain",
    "makes",
    "everything",
    "harder",
]


def main(steps: int = 6) -> None:
    """Print a table of both in one run."""
    drawn = random.Random(0)
    lessons = [
        lesson(
            (Message("user", " ".join(drawn.choices(WORDS, k=drawn.randint(5, 30)))),),
            " ".join(drawn.choices(WORDS, k=drawn.randint(20, 160))),
            str(i),
        )
        for i in range(8 * steps)
    ]
    config = Supervised(steps=steps, save_every=10**6)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        ours = _ours(Path(folder), config, lessons)
        spent = time.perf_counter() - began
        plain = _plain(Path(folder), config, lessons)
    print(f"{'':14} {'tokens/s':>9}")  # noqa: T201
    print(f"{'TRL defaults':14} {plain:9.1f}")  # noqa: T201
    print(f"{'cai sft':14} {ours:9.1f}  {ours / plain:.2f} times; {spent:.0f} s in all")  # noqa: T201


def _ours(folder: Path, config: Supervised, lessons: list[Any]) -> float:
    run = RunDir.open(folder / "run", {"stage": "sft"}, {})
    sft.train(run, config, lessons, {})
    # The first step also warms up; a mean of rates over steps of like work.
    rates = [v["tokens_per_second"] for _, v in metrics(run.events)[1:] if "tokens_per_second" in v]
    return len(rates) / sum(1 / rate for rate in rates)


def _plain(folder: Path, config: Supervised, lessons: list[Any]) -> float:
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
            per_device_train_batch_size=8,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    began: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            began.append(time.perf_counter())

    trainer.add_callback(Clock())
    trainer.train()
    tokens = [row["num_tokens"] for row in trainer.state.log_history if "num_tokens" in row]
    return float(tokens[-1] - tokens[0]) / (began[-1] - began[0])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
