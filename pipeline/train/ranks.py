"""Several processes that train one model together, as `accelerate launch` starts them on several GPUs.

The first works on the run. The others compute the same steps in a scratch folder of their own, so that they
write nothing of the run, and read of it only the checkpoint to go on from.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline import gpus
from pipeline.engines import Cancelled, StoppedError, never
from pipeline.errors import UserError
from pipeline.rundir import RunDir


def follows() -> bool:
    """Whether this process is not the first."""
    return os.environ.get("RANK", "0") != "0"


def many() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def take_gpu(stage: str) -> None:
    """Settle on one GPU before a model is loaded: of several processes each on its own, else on the freest.

    TRL refuses to train in one process that sees several.
    """
    from pipeline.growing import say

    if many() > 1:
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        return
    found = gpus.visible()
    if len(found) < 2 or ("torch" in sys.modules and sys.modules["torch"].cuda.is_initialized()):
        return
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order of nvidia-smi, which says the numbers
    taken = os.environ["CUDA_VISIBLE_DEVICES"] = max(found, key=lambda name: found[name])
    words = f"accelerate launch --multi_gpu --num_processes {len(found)} --module pipeline {stage} ..."
    say(f"trains on GPU {taken}, the freest of {len(found)}; on all of them: {words}")


def open_run(folder: Path, *arguments: Any, **more: Any) -> RunDir:
    """The run's directory, or a follower's scratch one. As `RunDir.open`; raises UserError."""
    if not follows():
        return RunDir.open(folder, *arguments, **more)
    scratch = Path(tempfile.mkdtemp(prefix="cai-follower-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    run = RunDir.open(scratch, *arguments, **more)
    run.leader = folder
    return run


def wait_for(path: Path, cancelled: Cancelled = never) -> None:
    """Return once the first process has written this file.

    Whoever started the processes ends them all where one fails. Raises UserError where it is gone itself,
    StoppedError after a cancel.
    """
    launcher = os.getppid()
    while not path.is_file():
        if cancelled():
            raise StoppedError(f"stopped while waiting for {path}")
        if os.getppid() != launcher:
            raise UserError(f"{path}: the process that was to write it is gone; give the same command again")
        time.sleep(0.2)


def any_of(asked: bool) -> bool:
    """Whether any of the processes was asked: they stop at the same step, or they would wait for ever."""
    import torch
    from torch import distributed

    if many() == 1 or not distributed.is_initialized():
        return asked
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    told = torch.tensor([int(asked)], device=device)
    distributed.all_reduce(told, distributed.ReduceOp.MAX)
    return bool(told.item())
