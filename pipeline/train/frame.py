"""What all training stages share: arguments, checkpoints to resume from, a stop that saves, plain words.

`checkpoints/checkpoint-N` are for resuming (weights, optimizer, random state); `checkpoint/` is the result.
Both are written under another name and renamed when whole.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.engines import SpentError, StoppedError
from pipeline.errors import UserError
from pipeline.events import EventLog
from pipeline.growing import Stop, say
from pipeline.rundir import RunDir
from pipeline.train import ranks
from pipeline.train.saving import read_card
from pipeline.training_configs import Training

RESULT = "checkpoint"
KEPT = 2
"""Checkpoints to resume from that are kept: one may be half gone when a disk fails."""


MakeTrainer = Callable[[Mapping[str, Any], list[Any]], Any]
"""Given TrainingArguments' words and callbacks, makes the trainer."""
Save = Callable[[Any, Path], Mapping[str, Any]]
"""Writes a trained trainer's result into a folder; returns the figures to close with."""


def train(folder: RunDir, stage: str, config: Training, make: MakeTrainer, save: Save) -> int:
    """Train, or go on with it. Returns 0 when whole, 130 when stopped before. Raises UserError."""
    from pipeline.train.telling import Telling

    with EventLog(folder.events) as log, Stop.on_signals() as stop:
        if (folder.folder / RESULT).exists():
            return _ended(folder, log)
        try:
            with in_plain_words(folder):
                score_answers_alone()
                trainer = make(arguments(folder, config), [Telling(log, stop, stage)])
                hold_to_its_beginning(trainer)
                last = newest(RunDir(folder.leader))
                if not last or not _at_its_end(trainer, last):
                    trainer.train(resume_from_checkpoint=last)
                if trainer.state.global_step < trainer.state.max_steps:
                    return _stopped(log, trainer.state.global_step)
                if ranks.follows():
                    return 0
                with whole_folder(folder.folder / RESULT) as to:
                    figures = save(trainer, to)
        except StoppedError:  # before there was a trainer, which else ends at a step
            return _stopped(log, 0)
        except SpentError as error:
            say(str(error))
            return _stopped(log, 0, reason=str(error))
        except Exception as error:
            log.emit("failed", error=str(error) or type(error).__name__)
            raise
        shutil.rmtree(checkpoints(folder), ignore_errors=True)
        return _announce(folder, log, trainer.state.global_step, figures)


def arguments(folder: RunDir, config: Training) -> dict[str, Any]:
    """TrainingArguments' words for what the stages share."""
    import torch

    from pipeline.engines.transformers import fast_in_bf16

    cuda = torch.cuda.is_available()
    share, rest = divmod(config.batch, ranks.many())
    if rest or not share:
        raise UserError(f"batch: {config.batch} can't be shared out evenly to {ranks.many()} GPUs")
    at_once = min(config.at_once or share, share)
    while share % at_once:
        at_once -= 1
    return {
        "output_dir": str(checkpoints(folder)),
        "per_device_train_batch_size": at_once,
        "per_device_eval_batch_size": at_once,
        "gradient_accumulation_steps": share // at_once,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": config.warmup,
        "num_train_epochs": config.epochs,
        "max_steps": config.steps or -1,
        "seed": config.seed,
        "data_seed": config.seed,
        # On a processor too: LoRA's fp32 matrices beside a body in bf16 cost it a third more time.
        "bf16": fast_in_bf16("cuda" if cuda else "cpu"),
        "use_cpu": not cuda,
        "activation_checkpointing": config.checkpointing,
        "logging_steps": 1,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # it would show the last good loss for a broken one
        "save_steps": config.save_every,
        "save_total_limit": None,  # the rotation is ours, after the rename
        "report_to": config.report_to or "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": cuda,
    }


def score_answers_alone() -> None:
    """Have TRL's last layer leave out what is not learnt on a processor too.

    It does so only where Triton is: elsewhere all positions are scored, as shapes that change make some
    accelerators compile anew. With 49,152 words that took 40% of a small model's time.
    """
    from trl.trainer import utils

    utils._use_triton = lambda device: device.type in ("cpu", "cuda", "xpu")


def enough(many: int, noun: str, needed: int) -> None:
    """Raise UserError where there is less than a batch to learn from: a trainer would end at step 0."""
    if many < needed:
        raise UserError(
            f"a batch takes {needed} {noun}, and there are {many}: lower the batch, or bring more {noun}"
        )


def checkpoints(folder: RunDir) -> Path:
    """Where the checkpoints to resume from are."""
    return folder.folder / "checkpoints"


def _at_its_end(trainer: Any, checkpoint: str) -> bool:
    """Whether this checkpoint is of the last step, and then taken up: a trainer would take one more."""
    from transformers import TrainerState

    state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
    if state.global_step < state.max_steps:
        return False
    trainer._load_from_checkpoint(checkpoint)
    trainer.state = state
    return True


def newest(folder: RunDir) -> str | None:
    """The newest whole checkpoint to resume from."""
    found = sorted(checkpoints(folder).glob("checkpoint-*"), key=_step)
    return str(found[-1]) if found else None


def resumable(trainer: type) -> type:
    """The trainer, made so that a run which is killed and gone on with is the run that nobody disturbed.

    Checkpoints appear whole: a kill while one is written leaves the one before. And the order of an epoch
    comes from seed and epoch alone: the trainer's own comes from the random state of the moment, so that
    a run resumed in the middle of its second epoch would see some examples twice and others not at all.
    """
    import torch
    from torch.utils.data import Sampler
    from transformers import Trainer

    class Ordered(Sampler[int]):
        """What another sampler draws, with a generator of seed and epoch."""

        def __init__(self, drawing: Any, trainer: Any) -> None:
            self.drawing, self.trainer = drawing, trainer

        def __len__(self) -> int:
            return len(self.drawing)

        def __iter__(self) -> Iterator[int]:
            epoch = int(self.trainer.state.epoch or 0)
            self.drawing.generator = torch.Generator().manual_seed(self.trainer.args.seed + epoch)
            return iter(self.drawing)

    class Resumable(trainer):
        def _get_train_sampler(self, *args: Any) -> Any:
            return Ordered(super()._get_train_sampler(*args), self)

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            goal = Path(self.args.output_dir)
            scratch = goal / ".writing"
            shutil.rmtree(scratch, ignore_errors=True)
            name = f"checkpoint-{self.state.global_step}"
            self.args.output_dir = str(scratch)
            try:
                # Not TRL's own, which writes a model card first.
                Trainer._save_checkpoint(self, model, trial)
                shutil.rmtree(goal / name, ignore_errors=True)
                os.replace(scratch / name, goal / name)
            finally:
                self.args.output_dir = str(goal)
                shutil.rmtree(scratch, ignore_errors=True)
            for old in sorted(goal.glob("checkpoint-*"), key=_step)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)

    Resumable.__name__ = trainer.__name__
    return Resumable


def ends(values: Sequence[float], name: str) -> dict[str, float]:
    """The means of a figure's first and last tenth of the steps: one step says what was in its batch."""
    many = math.ceil(len(values) / 10)
    parts = {"first": values[:many], "last": values[-many:]} if values else {}
    return {f"{name}_{which}": sum(some) / len(some) for which, some in parts.items()}


@contextmanager
def in_plain_words(folder: RunDir) -> Iterator[None]:
    """Turn what a machine lacks into a UserError that says what to do; bugs pass through."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(f"{_TOO_MUCH} ({_first_line(error)})") from error
    except MemoryError as error:
        raise UserError(_TOO_MUCH) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "out of memory" in str(error):
            raise UserError(f"{_TOO_MUCH} ({_first_line(error)})") from error
        raise _full(folder, error) or error from error
    except Exception as error:
        raise _full(folder, error) or error from error


_TOO_MUCH = (
    "the memory is full: lower `at once` (the batch stays as it is) or max length, or choose checkpointing, "
    "lora or a smaller model; the last checkpoint is kept, and the same command goes on from it"
)


def _full(folder: RunDir, error: Exception) -> UserError | None:
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if full or "No space left on device" in str(error):
        return UserError(
            f"{folder.folder}: the disk is full: make room and give the same command again; it goes on from "
            "the last checkpoint"
        )
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]


def _step(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


@contextmanager
def whole_folder(goal: Path) -> Iterator[Path]:
    """A folder to fill, which has its name only when the block is done."""
    aside = goal.with_name(f".{goal.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    yield aside
    shutil.rmtree(goal, ignore_errors=True)
    os.replace(aside, goal)


def hold_to_its_beginning(trainer: Any) -> None:
    """Give a frozen reference, where there is one, the weights that training begins with.

    TRL loads it from the folder of the base: an adapter that was merged to train all weights is not in it.
    """
    reference = getattr(trainer, "ref_model", None)
    if reference is not None:
        bare = trainer.accelerator.unwrap_model
        bare(reference).load_state_dict(bare(trainer.model).state_dict())


def _stopped(log: EventLog, steps: int, **why: str) -> int:
    log.emit("finished", status="stopped", rows=steps, **why)
    say(f"stopped at step {steps}; the same command goes on from there")
    return 130


def _ended(folder: RunDir, log: EventLog) -> int:
    if log.last == "finished":
        raise UserError(f"{folder.folder}: this run is complete; choose another --run folder to train again")
    card = read_card(folder.folder / RESULT)  # killed between the result and its last word
    return _announce(folder, log, card.get("step", 0), card.get("figures", {}))


def _announce(folder: RunDir, log: EventLog, steps: int, figures: Mapping[str, Any]) -> int:
    log.emit("artifact", path=RESULT, steps=steps)
    log.emit("finished", status="done", rows=steps, **figures)
    print(folder.folder / RESULT)  # noqa: T201
    return 0
