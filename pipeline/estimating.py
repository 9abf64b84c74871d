"""What a training run needs of memory and time, before it starts: from a model's shape, without torch.

Memory is the sum of what is held at once: weights (and, in RL, a preference model's), the gradients and
Adam's two moments of what is trained, and the activations of the examples that are in memory at once. The
logits of a vocabulary weigh most in small models. Time is multiply-adds over a rate measured on this machine.
"""

from __future__ import annotations

import json
import math
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from pipeline import bounded, gpus, models
from pipeline.engines.wanting import SHARE, has_vllm
from pipeline.models import ModelFiles
from pipeline.train import loading, ranks
from pipeline.training_configs import Direct, Preferring, Reinforcing, Training

BASE = 0.9e9
"""Bytes that Python with torch, transformers, TRL and its data take before a model is there: measured."""

LONGEST_HEADER = 100_000_000
"""Bytes of a safetensors file's header: no file has more."""
LARGEST = 1 << 50
"""Beyond any size of a model's."""


@dataclass(frozen=True)
class Shape:
    """A transformer's sizes, from its config.json, and the parameters that its safetensors hold."""

    layers: int
    hidden: int
    inner: int
    key_value: int
    vocabulary: int
    parameters: int

    def lora(self, rank: int) -> int:
        """Parameters that LoRA adds to every linear layer."""
        h, i, kv = self.hidden, self.inner, self.key_value
        return self.layers * rank * (4 * h + 2 * (h + kv) + 3 * (h + i))


@dataclass(frozen=True)
class Estimate:
    """Bytes by what they are for, and seconds a step. `available` is what the machine has to spare.

    No seconds where nothing is known of the machine's speed: its first steps tell.
    """

    weights: float
    others: float
    trained: float
    activations: float
    seconds_per_step: float | None
    steps: int
    available: float

    @property
    def total(self) -> float:
        return BASE + self.weights + self.others + self.trained + self.activations

    @property
    def fits(self) -> bool:
        return self.total < 0.95 * self.available

    def lines(self) -> list[str]:
        """For people: memory, what to change where it will not fit, and time."""
        parts = {
            "weights": self.weights,
            "other models": self.others,
            "gradients and optimizer": self.trained,
            "activations": self.activations,
            "Python and libraries": BASE,
        }
        told = ", ".join(f"{name} {value / 1e9:.1f}" for name, value in parts.items() if value)
        lines = [
            f"about {self.total / 1e9:.1f} GB of memory ({told}); {self.available / 1e9:.1f} GB are free",
        ]
        if self.seconds_per_step:
            lines.append(f"about {_duration(self.seconds_per_step * self.steps)} for {self.steps:,} steps")
        if not self.fits:
            first = "at once" if self.activations > self.weights + self.trained else "the model"
            lines.insert(
                1,
                f"that may not fit: lower {first}, or max length, or choose checkpointing, lora in place of "
                "full, or a smaller model",
            )
        return lines


def shape(files: ModelFiles) -> Shape:
    """The sizes of a model on this machine. Raises OSError, ValueError and KeyError for no transformer."""
    config = bounded.json_of(files.folder / "config.json")
    try:
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        head = config.get("head_dim") or hidden // heads
        sizes = (
            config["num_hidden_layers"],
            hidden,
            config.get("intermediate_size") or 4 * hidden,
            head * (config.get("num_key_value_heads") or heads),
            config["vocab_size"],
            sum(map(parameters, files.folder.glob("*.safetensors"))),
        )
    except (TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"its config.json is no transformer's: {error}") from error
    if not all(isinstance(size, int) and 0 < size < LARGEST for size in sizes):
        raise ValueError("its files hold sizes that are none")
    return Shape(*sizes)


def foresee(
    config: Training, lengths: Sequence[float], steps: int, *, download: bool = True, judges: int = 0
) -> tuple[Training, list[str]]:
    """The config with what this machine decides, and what the run is going to take, in words.

    `lengths` are the examples' in tokens; `judges` watch RL, beside what rewards. Where a model can't be
    looked at, the words say why. Raises UserError where there is none of that name, or without `download`
    none here.
    """
    try:
        files = models.weights(config.model, download=download)
        sizes = shape(files)
        fine = loading.fine(config, "reward" if isinstance(config, Preferring) else "language", files)
    except (OSError, ValueError, KeyError) as error:
        words = [f"no estimate of memory and time: {config.model} does not say its sizes ({error})"]
        return replace(config, at_once=config.at_once or 1), words
    free, cuda = memory()
    room = _alike(cuda) if ranks.many() > 1 else free
    if cuda and isinstance(config, Reinforcing) and has_vllm():
        # Of all that there is, in truth: that is free when training starts alone.
        free, room = free * (1 - SHARE), room * (1 - SHARE)
    rate = None if cuda else matrix_rate()
    if not config.at_once:
        config = replace(config, at_once=_at_once(config, sizes, lengths, room, cuda, judges, fine))
    return config, estimate(config, sizes, lengths, steps, free, rate, cuda, judges, fine).lines()


def memory() -> tuple[float, bool]:
    """Bytes that are free where training runs, and whether that is a CUDA GPU: the freest one."""
    if free := gpus.visible():
        return max(free.values()), True
    return float(psutil.virtual_memory().available), False


def _alike(cuda: bool) -> float:
    """Bytes that one of several processes may count on: what is free is another at the moment of each."""
    if cuda:
        return min(gpus.visible("total").values(), default=0.0)
    return psutil.virtual_memory().total / ranks.many()


ENOUGH = 4
"""Examples at once on a processor: more are no faster there (their tokens keep it busy)."""


def _at_once(
    config: Training,
    sizes: Shape,
    lengths: Sequence[float],
    free: float,
    cuda: bool,
    judges: int,
    fine: bool,
) -> int:
    """The most examples at once that take up to half of what is free, and divide the batch."""
    for many in range(
        config.batch if cuda or isinstance(config, Reinforcing) else min(config.batch, ENOUGH), 1, -1
    ):
        tried = replace(config, at_once=many)
        found = estimate(tried, sizes, lengths, 1, free, None, cuda, judges, fine)
        if config.batch % many == 0 and found.total < 0.5 * free:
            return many
    return 1


def estimate(
    config: Training,
    model: Shape,
    lengths: Sequence[float],
    steps: int,
    available: float,
    rate: float | None,
    cuda: bool = False,
    judges: int = 0,
    fine: bool = False,
) -> Estimate:
    """For examples of these lengths in tokens (prompt and answer), at `rate` multiply-adds a second.

    Memory is that of the batch with the longest ones; time is that of a mean one. In a preference model's
    batch, and in DPO's, each example is two sequences. `fine`: LoRA stands on weights in fp32.
    """
    tokens = sum(lengths) / max(1, len(lengths))
    width = 4.0  # bytes: fp32, in which preference models are, and on a processor without fast bf16
    sides = 2 if isinstance(config, Preferring | Direct) else 1
    full, head = config.tuning == "full", config.tuning == "head"
    # A base that LoRA's matrices stand on is in bf16 on a GPU, or in four bits.
    lora = FOUR_BITS if config.tuning == "qlora" else width if fine else 2.0
    kept = width if full or head or not cuda else lora
    trained = model.hidden if head else model.parameters if full else model.lora(config.rank)
    at_once = min(config.at_once or config.batch, config.batch)
    longest = max(lengths, default=0.0)
    # A preference model is of the policy's size here, as both start from one model unless said otherwise.
    others = width * model.parameters * (1 + judges if isinstance(config, Reinforcing) else 0) + (
        width * model.parameters if full and isinstance(config, Reinforcing | Direct) else 0
    )
    per_token = _activations(model, config)
    # Before there are activations, OpenVINO writes the answers of a merged copy: see `engines.graph.KEPT`.
    writes = isinstance(config, Reinforcing) and not cuda
    sampling = 4 * width * model.parameters if writes else 0.0
    # Forward, back through the activations, and for the weights themselves; a head reads half of the layers.
    passes = 0.5 if head else 3.0 if full else 2.0
    work = passes * 2 * model.parameters * tokens * config.batch * sides
    if isinstance(config, Reinforcing):
        # Sampling is a forward pass a token, one after another: far from the matrix rate.
        work += 2 * model.parameters * config.max_tokens * config.batch * SAMPLING
        work += 2 * 2 * model.parameters * tokens * config.batch
    return Estimate(
        kept * model.parameters,
        others,
        trained * width * 3,
        max(at_once * sides * longest * per_token, sampling),
        work / (2 * rate * REACHED) if rate else None,
        steps,
        available,
    )


FOUR_BITS = 0.55
"""Bytes of a weight in four bits, with the scales of its block."""
REACHED = 0.65
"""The share of the matrix rate that training reaches: measured, as not all of it is large matrices."""
SAMPLING = 4.0
"""How much dearer a sampled token is than one in a long sequence: it moves all weights for a few rows."""


def _activations(model: Shape, config: Training) -> float:
    """Bytes a token: what the backward pass needs of each layer, and three copies of its logits."""
    layer = 4.0 * (16 * model.hidden + 4 * model.inner + 2 * model.key_value)
    if config.tuning == "head":  # nothing goes back
        return layer
    layers = 4.0 * model.hidden * model.layers + layer if config.checkpointing else layer * model.layers
    logits = 0.0 if isinstance(config, Preferring) else 3 * 4.0 * model.vocabulary
    return layers + logits


@cache
def matrix_rate(seconds: float = 0.15) -> float:
    """Multiply-adds a second of this machine's processor, in fp32: of the fastest of many small products.

    The mean would be that of a machine with what else it does just now, and is kept for long.
    """
    import numpy as np

    a = np.ones((512, 512), np.float32)
    a @ a
    fastest, ends = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.perf_counter()
        a @ a
        fastest = min(fastest, time.perf_counter() - began)
    return 512**3 / fastest


def lengths(texts: Iterable[str], longest: int) -> list[float]:
    """Tokens of each text, by the rule of four characters each and a template's twenty, up to `longest`."""
    return [min(longest, len(text) / 4 + 20) for text in texts]


def parameters(path: Path) -> int:
    """The numbers in a safetensors file, from its header. Raises OSError, and ValueError for a broken one."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header: dict[str, Any] = json.loads(file.read(min(length, LONGEST_HEADER)))
        return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (struct.error, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: no safetensors file") from error


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
