"""One frozen dataclass per training stage: the command line, the forms and the docs are made from it.

`Training` is what the stages share; a stage's own settings come after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.configs import check, knob
from pipeline.errors import UserError

Tuning = Literal["lora", "full", "qlora"]
_LORA = "lora trains small added matrices, full all weights"
_HOW = f"{_LORA}, qlora on a 4-bit base (GPU)"


@dataclass(frozen=True)
class Training:
    """How weights are trained, whatever they learn."""

    model: str = knob(
        "bundled", "what training starts from: bundled, a hub id, a folder, an adapter or a run"
    )
    tuning: Literal["lora", "full", "qlora", "head"] = knob("lora", _HOW)
    rank: int = knob(16, "lora: the rank of the added matrices", low=1, high=512)
    learning_rate: float = knob(
        2e-4, "the highest learning rate; full tuning wants about a tenth", low=0, high=1
    )
    warmup: float = knob(0.1, "the share of the steps in which the rate rises to it", low=0, high=0.99)
    epochs: float = knob(1.0, "how often each example is seen", low=0.01, high=100)
    steps: int = knob(
        0, "end after so many steps, whatever the epochs say; 0: the epochs decide", low=0, high=10**6
    )
    batch: int = knob(8, "examples to a step", low=1, high=4096)
    at_once: int = knob(
        0,
        "of these, how many are in memory at once; 0: as many as fit and are of use",
        low=0,
        high=4096,
        kept=False,
    )
    max_length: int = knob(
        1024, "the longest example in tokens; longer ones are left out, and counted", low=8, high=131072
    )
    seed: int = knob(0, "the same seed shuffles and draws the same", low=0, high=2**32 - 1)
    save_every: int = knob(20, "steps between checkpoints to resume from", low=1, high=10**6)
    checkpointing: bool = knob(False, "compute activations twice to hold fewer of them: slower, less memory")
    report_to: str = knob("", "also tell tensorboard, wandb or trackio, where installed")

    def learnt(self, examples: float) -> float:
        """How many of so many examples are learnt from: all that are not kept aside to measure on."""
        return examples

    def steps_over(self, examples: float) -> int:
        """How many steps so many examples take that are learnt; at least one."""
        return self.steps or max(1, math.ceil(examples * self.epochs / self.batch))

    @property
    def least(self) -> int:
        """How many examples it takes: a batch, or a trainer would end at step 0."""
        return self.batch

    def __post_init__(self) -> None:
        check(self)
        if self.report_to not in ("", "tensorboard", "wandb", "trackio"):
            raise UserError(f"report to: {self.report_to!r} is none of tensorboard, wandb and trackio")


@dataclass(frozen=True)
class Speaking(Training):
    """What learns to answer, and so can be asked while it does."""

    tuning: Tuning = knob("lora", _HOW)
    sample_every: int = knob(
        10,
        "steps between answers to a few fixed prompts, which are also given at the start; 0: none",
        low=0,
        high=10**6,
    )


@dataclass(frozen=True)
class Supervised(Speaking):
    """SL-CAI: fine-tuning on revisions (section 3.2), or on demonstrations (RLHF's first step)."""

    revisions: Literal["final", "all"] = knob("final", "learn the last revision of each chain, or every one")
    helpful_ratio: float = knob(
        1.0, "at most so many helpful examples to each one from a chain", low=0, high=100
    )
    helpful_by: str = knob("", "who answers the helpful prompts; empty: the model that training starts from")
    helpful_tokens: int = knob(256, "the longest that such an answer may get, in tokens", low=1, high=8192)


@dataclass(frozen=True)
class Preferring(Training):
    """A preference model (section 4.1)."""

    # It is written whole, and an adapter that it starts from is merged.
    tuning: Literal["lora", "full", "head"] = knob(
        "lora",
        f"{_LORA} (no qlora: four bits would round off what was learnt); head only what scores the states of "
        "its lower half, by a regression: it needs few pairs and minutes, reads each answer once, and has no "
        "use for rank, rate, warmup and epochs",
    )
    targets: Literal["soft", "hard"] = knob(
        "soft", "learn the labels' probabilities, or only which side they favour"
    )
    clamp: float = knob(0.0, "soft: keep the labels' probabilities this far from 0 and 1", low=0, high=0.5)
    heldout: float = knob(0.1, "the share of prompts kept aside to measure on", low=0, high=0.9)
    # Of 391 pairs, two epochs at 5e-4 gave 64% on 208 others; one at 1e-4 gave chance.
    learning_rate: float = knob(
        5e-4, "the highest learning rate; full tuning wants about a tenth", low=0, high=1
    )
    epochs: float = knob(2.0, "how often each example is seen", low=0.01, high=100)

    @property
    def least(self) -> int:
        """A batch of pairs; a regression does with two."""
        return 2 if self.tuning == "head" else self.batch

    def learnt(self, examples: float) -> float:
        """How many of so many pairs are, about: whole prompts are kept aside."""
        return round(examples * (1 - self.heldout))

    def steps_over(self, examples: float) -> int:
        """How many steps so many pairs take; a head sees each once at most."""
        if self.tuning != "head":
            return super().steps_over(examples)
        once = max(1, math.ceil(examples / self.batch))
        return min(self.steps or once, once)


@dataclass(frozen=True)
class Reinforcing(Speaking):
    """RL against a preference model (section 4.1)."""

    algorithm: Literal["rloo", "grpo"] = knob("rloo", "how advantages are made of a prompt's rewards")
    answers: int = knob(4, "answers sampled to each prompt of a step", low=2, high=64)
    beta: float = knob(
        0.05, "the weight of the KL penalty that ties the policy to where it began", low=0, high=10
    )
    temperature: float = knob(1.0, "of the sampled answers", low=0.05, high=2)
    max_tokens: int = knob(96, "the longest that an answer may get, in tokens", low=1, high=8192)
    snapshot_every: int = knob(10, "steps between snapshots for the Elo trajectory", low=1, high=10**6)
    learning_rate: float = knob(
        5e-5, "the highest learning rate; full tuning wants about a tenth", low=0, high=1
    )
    steps: int = knob(40, "how many steps", low=1, high=10**6)
    batch: int = knob(16, "answers to a step: prompts times answers to each", low=2, high=4096)

    @property
    def least(self) -> int:
        """The prompts of a step, each of which gets several answers."""
        return self.batch // self.answers

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch % self.answers:
            raise UserError(
                f"batch: {self.batch} answers can't be shared out at {self.answers} to each prompt"
            )


@dataclass(frozen=True)
class Direct(Speaking):
    """Direct preference optimisation: the offline way from labels to a policy."""

    beta: float = knob(0.1, "how strongly the policy is tied to where it began", low=0.001, high=10)
    clamp: float = knob(0.0, "leave out pairs whose label is within this of 0.5", low=0, high=0.5)
    learning_rate: float = knob(
        5e-5, "the highest learning rate; full tuning wants about a tenth", low=0, high=1
    )
