"""The process of a run: started apart from the studio, told from others, stopped in two steps.

What `cai STAGE --run DIR` does in a terminal, a run of the studio does in the background.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from time import monotonic

import psutil

from pipeline import gpus
from pipeline.background import give_way
from pipeline.errors import UserError
from studio.store.lock import Holder

LOG = "worker.log"
ACCELERATE = "accelerate.commands.launch"
PAUSE = 30.0
"""Seconds until a silent nvidia-smi is asked again."""
BUSY = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
"""Why no process can be started at the moment."""
CPU = ""
"""The device of a machine without a GPU, as CUDA_VISIBLE_DEVICES says it."""

log = logging.getLogger(__name__)


class Launcher:
    """Starts and ends runs' processes. For one thread."""

    def __init__(self) -> None:
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, words: Sequence[str], folder: Path, device: str) -> Holder:
        """Run `python -P -m pipeline WORDS`, its output at the end of the folder's worker.log.

        On several devices (`0,1`) a process for each, by `accelerate launch`. Raises UserError where no
        process can be started.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # To a file, never a pipe: an undrained pipe stalls a worker, and breaks with the studio.
            with (folder / LOG).open("ab") as said:
                child = subprocess.Popen(
                    # -P: a `pipeline` in the current folder must not win.
                    [sys.executable, "-P", "-m", *together(device), "pipeline", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # a Ctrl-C in the studio's terminal is not for it
                    env=environment(device),
                )
        except OSError as error:
            raise UserError(f"the run's process can't be started: {error}") from error
        self._children[child.pid] = child
        give_way(child.pid)
        try:
            return Holder.of(child.pid)
        except psutil.Error:  # over already, and someone else's child
            return Holder(child.pid, 0.0)

    def alive(self, holder: Holder) -> bool:
        """Whether this very process still works. Reaps it where it was ours and has ended."""
        child = self._children.get(holder.pid)
        return child.poll() is None if child is not None else holder.alive()

    def status(self, holder: Holder) -> int | None:
        """How an ended process ended, minus the signal's number for a killed one; None if nobody knows."""
        child = self._children.get(holder.pid)
        return child.poll() if child else None

    def forget(self, holder: Holder) -> None:
        """Its end has been dealt with."""
        self._children.pop(holder.pid, None)

    def ask(self, holder: Holder) -> bool:
        """Ask a process to stop: it saves what it has and ends by itself. False where nobody heard it."""
        heard = False
        if not self.alive(holder):
            return heard
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            process = psutil.Process(holder.pid)
            # The launcher of several would give them 30 seconds, and a checkpoint may take longer. Until it
            # has started them there is nobody to ask.
            for one in process.children() if ACCELERATE in process.cmdline() else [process]:
                one.send_signal(signal.SIGTERM)
                heard = True
        return heard

    def kill(self, holder: Holder) -> None:
        """End a process, and what it has started, at once."""
        if not self.alive(holder):
            return
        started = []
        with contextlib.suppress(psutil.Error):  # before it goes: nobody knows whose they were then
            started = psutil.Process(holder.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                os.kill(holder.pid, signal.SIGTERM)
            else:
                os.killpg(holder.pid, signal.SIGKILL)  # it leads a group of its own
        for one in started:  # the workers of several devices have each a session of their own
            with contextlib.suppress(psutil.Error):
                one.kill()


def together(device: str) -> list[str]:
    """What starts one process for each of several devices; nothing for one."""
    many = len(device.split(","))
    if many == 1:
        return []
    plain = ["--mixed_precision", "no", "--dynamo_backend", "no", "--num_machines", "1"]  # training chooses
    # Any free port: two such runs may be on one machine.
    return [
        ACCELERATE,
        "--multi_gpu",
        "--num_processes",
        str(many),
        *plain,
        "--main_process_port",
        "0",
        "--module",
    ]


def environment(device: str) -> dict[str, str]:
    """What a run's process is given. The device is always said: TRL refuses to see several GPUs."""
    return {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": device,
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",  # the same as -P, for what `accelerate launch` starts
    }


def find(folder: Path) -> Holder | None:
    """The process that works on the run in this folder, though nobody noted which it is."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if "pipeline" in words and "--run" in words and str(folder) in words:
                holder = Holder.of(process.pid)
                if holder.alive():
                    found.append(holder)
    return min(found, key=lambda holder: holder.started, default=None)  # the one that started the others


def devices() -> tuple[str, ...]:
    """This machine's devices, one run at a time on each: its GPUs, or else the processor.

    The processor, too, while nobody knows whether there is a GPU: see `certain`.
    """
    return certain() or (CPU,)


def certain() -> tuple[str, ...]:
    """The same, but none while nvidia-smi does not answer: a GPU may be there all the same."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = (name.strip() for name in (allowed or "").split(","))
    found = lately() if allowed is None else tuple(filter(None, named))
    return () if found is None else found or (CPU,)


def lately() -> tuple[str, ...] | None:
    """This machine's GPUs; None where nvidia-smi did not answer in this half minute."""
    return _within(int(monotonic() // PAUSE))


@lru_cache(maxsize=1)
def _within(period: int) -> tuple[str, ...] | None:
    # Each page and each round would wait for its silence anew.
    try:
        return present()
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("the GPUs can't be asked for, so nothing is started meanwhile: %s", error)
        return None


@cache
def present() -> tuple[str, ...]:
    """This machine's NVIDIA GPUs. Raises OSError or SubprocessError where nobody can say just now."""
    try:
        return tuple(index for [index] in gpus.ask(("index",)))
    except subprocess.CalledProcessError:  # one without a driver, as in many images
        return ()
    except OSError as error:
        if error.errno in BUSY:
            raise
        return ()  # no nvidia-smi, or none that can be started


def log_tail(folder: Path, size: int = 4000) -> str:
    """The end of a run's worker.log, from a whole line on."""
    try:
        with (folder / LOG).open("rb") as file:
            file.seek(0, os.SEEK_END)
            start = max(0, file.tell() - size)
            file.seek(start)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return text.partition("\n")[2] if start else text
