"""Tokens a second of training: as `cai sft`, `cai pm` and `cai rl` do it, against plain TRL scripts.

python tests/benchmarks/bench_training.py [STEPS [BATCH]]

The same model, batch, LoRA and data for both. What differs: lengths grouped, no activation checkpointing, no
scores of what is not learnt, the number form that this processor is faster in. TRL's default is bf16, which
a processor without it does at a crawl; so TRL is measured in fp32, its other defaults left, and SFT by its
defaults too.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import models, prompts, written
from pipeline.events import metrics
from pipeline.records import Message, Prompt
from pipeline.rundir import RunDir
from pipeline.train import loading, preference, rl, sft
from pipeline.train.examples import lesson, said
from pipeline.training_configs import Preferring, Reinforcing, Supervised, Training


@dataclass(frozen=True)
class Size:
    """How much is trained to be measured. The first step warms up and is not counted."""

    steps: int = 4
    batch: int = 8

    def config(self, kind: type, **more: Any) -> Any:
        """Ours, of this size."""
        return kind(steps=self.steps, batch=self.batch, at_once=self.batch, save_every=10**6, **more)

    def plain(self, folder: Path, **more: Any) -> dict[str, Any]:
        """The same for TRL's own scripts, on a processor."""
        return {
            "output_dir": str(folder / "plain"),
            "max_steps": self.steps,
            "per_device_train_batch_size": self.batch,
            "logging_steps": 1,
            "report_to": "none",
            "save_strategy": "no",
            "use_cpu": True,
            "disable_tqdm": True,
            **more,
        }


def main(steps: int = 4, batch: int = 8) -> None:
    """Print a line of each, as it is measured."""
    size = Size(steps, batch)
    every = {"SFT": sft_rates(size, slowly=True), "PM": pm_rates(size), "RL": rl_rates(size)}
    for what, measured in every.items():
        for name, rate in measured:
            print(f"{what:4} {name:12} {rate:7.1f} tokens/s", flush=True)  # noqa: T201


Rates = Iterator[tuple[str, float]]
"""(`ours` or which of TRL's, tokens a second)"""


def sft_rates(size: Size = Size(), slowly: bool = False) -> Rates:
    """On the revisions of the written chains; `slowly` by TRL's defaults too: minutes without bf16."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    config: Supervised = size.config(Supervised, sample_every=0)
    lessons = [lesson((Message("user", one.prompt),), one.revision, one.id) for one in written.chains()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield "ours", _ours(folder, "sft", lambda run: sft.train(run, config, lessons, {}))
        start = loading.load(config, "language")
        rows = [{"input_ids": said(start.encoder, x.ask("chat"), x.answer)[0]} for x in lessons]
        for which, number in (("TRL in fp32", {"bf16": False}), ("TRL defaults", {}))[: 1 + slowly]:
            plain = SFTTrainer(
                model=str(start.files.folder),
                args=SFTConfig(**size.plain(folder, **number)),
                train_dataset=Dataset.from_list(rows),
                peft_config=_lora("CAUSAL_LM"),
            )
            yield which, _clocked(plain)


def pm_rates(size: Size = Size()) -> Rates:
    """On the written pairs of harmlessness."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    config: Preferring = size.config(Preferring, heldout=0.0)
    preferences = written.preferences("harmless", reserved=False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield "ours", _ours(folder, "pm", lambda run: preference.train(run, config, preferences, {}))
        rows = [
            {
                "prompt": [{"role": m.role, "content": m.content} for m in one.messages],
                "chosen": [{"role": "assistant", "content": one.better}],
                "rejected": [{"role": "assistant", "content": one.worse}],
            }
            for one in written.judged("harmless")
            if not one.reserved
        ]
        plain = RewardTrainer(
            model=str(models.weights(config.model).folder),
            args=RewardConfig(**size.plain(folder, bf16=False)),
            train_dataset=Dataset.from_list(rows),
            peft_config=_lora("SEQ_CLS"),
        )
        yield "TRL in fp32", _clocked(plain)


def rl_rates(size: Size = Size()) -> Rates:
    """RLOO, four answers of 48 tokens to a prompt. The reward is their length: no model's time is in it.

    Next to nothing is learnt, so that the same model answers to the end.
    """
    from datasets import Dataset
    from trl import RLOOConfig, RLOOTrainer

    never = {"sample_every": 0, "snapshot_every": 10**6, "learning_rate": 1e-9}
    config: Reinforcing = size.config(Reinforcing, answers=4, max_tokens=48, **never)
    some: Sequence[Prompt] = list(islice(prompts.starter("red_team"), 64))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield "ours", _ours(folder, "rl", lambda run: rl.train(run, config, some, _lengths, None, {}))
        rows = [{"prompt": [{"role": "user", "content": one.messages[0].content}]} for one in some]
        plain = RLOOTrainer(
            model=str(models.weights(config.model).folder),
            reward_funcs=lambda completions, **more: [float(len(c[0]["content"])) for c in completions],
            args=RLOOConfig(
                **size.plain(folder, bf16=False),
                num_generations=config.answers,
                max_completion_length=config.max_tokens,
                temperature=config.temperature,
                beta=config.beta,
                learning_rate=config.learning_rate,
            ),
            train_dataset=Dataset.from_list(rows),
            peft_config=_lora("CAUSAL_LM"),
        )
        yield "TRL in fp32", _clocked(plain)


def _lengths(said: Sequence[tuple[Any, str]]) -> list[float]:
    return [float(len(text)) for _, text in said]


def _lora(task: str) -> Any:
    from peft import LoraConfig

    config = Training()
    return LoraConfig(r=config.rank, lora_alpha=2 * config.rank, target_modules="all-linear", task_type=task)


def _mean(rates: list[float]) -> float:
    """As if each step but the first, which warms up, had as many tokens."""
    return len(rates[1:]) / sum(1 / rate for rate in rates[1:])


def _ours(folder: Path, stage: str, train: Callable[[RunDir], int]) -> float:
    run = RunDir.open(folder / stage, {"stage": stage}, {})
    train(run)
    return _mean([v["tokens_per_second"] for _, v in metrics(run.events) if "tokens_per_second" in v])


def _clocked(trainer: Any) -> float:
    """Train, and time each step as ours are timed."""
    from transformers import TrainerCallback

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
