"""What the machine is doing while a run trains: processor, memory, GPU, and the run's own share of them."""

from __future__ import annotations

from contextlib import suppress

import psutil

from pipeline import gpus
from studio.jobs.launcher import CPU, devices
from studio.store.lock import Holder

GIGA = 2**30
GPU = ("index", "utilization.gpu", "memory.used", "memory.total")


def machine_html(holder: Holder | None) -> str:
    """One line; `holder` is the process of the run at work."""
    memory = psutil.virtual_memory()
    facts = [
        f"processor {psutil.cpu_percent():.0f}% of {psutil.cpu_count() or 1} cores",
        f"memory {(memory.total - memory.available) / GIGA:.1f} of {memory.total / GIGA:.1f} GiB",
        *_gpus(),
    ]
    if holder and (used := _memory(holder)):
        facts.append(f"this run {used / GIGA:.1f} GiB")
    return f'<p class="cai-muted cai-machine" aria-label="This machine">{" · ".join(facts)}</p>'


def _memory(holder: Holder) -> int:
    """Bytes that a run's process and what it has started hold."""
    with suppress(psutil.Error):
        process = psutil.Process(holder.pid)
        if holder.alive():
            return sum(part.memory_info().rss for part in (process, *process.children(recursive=True)))
    return 0


def _gpus() -> list[str]:
    if devices() == (CPU,):
        return []
    facts = []
    for cells in gpus.asked(GPU, timeout=2):
        with suppress(ValueError):
            index, busy, used, total = cells
            if index in devices():
                facts.append(
                    f"GPU {index} {busy}%, {float(used) / 1024:.1f} of {float(total) / 1024:.1f} GiB"
                )
    return facts
