"""Memory of models that were dropped: they hold circles, and torch keeps what it had."""

from __future__ import annotations

import gc
import sys


def free() -> None:
    """Give it back, before the next model comes or both would need room."""
    gc.collect()
    if gpu_memory():
        import torch

        torch.cuda.empty_cache()


def gpu_memory() -> int:
    """Bytes that this process holds on the GPU."""
    torch = sys.modules.get("torch")  # not imported for this: before the first model, it is 0 anyway
    return int(torch.cuda.memory_reserved()) if torch and torch.cuda.is_initialized() else 0
