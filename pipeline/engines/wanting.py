"""Whether vLLM is to run a model: on a GPU where it is installed, and where nobody left it out."""

from __future__ import annotations

import os
from importlib.util import find_spec

VLLM = "CAI_VLLM"
"""Set to 0, vLLM is left out where it is installed; to 1, it runs models on processors, too."""
SHARE = 0.3
"""Of a GPU's memory, in RL: for the copy that writes the answers, and its keys and values."""
QUIET = {
    "VLLM_NO_USAGE_STATS": "1",  # it reports its use over the network otherwise
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a model ends with its process
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # the one that was tried
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}


def has_vllm() -> bool:
    """Whether vLLM is installed, and may be used."""
    return os.environ.get(VLLM) != "0" and find_spec("vllm") is not None


def wants_vllm() -> bool:
    """Whether vLLM is to run models here."""
    if not has_vllm():
        return False
    import torch

    return os.environ.get(VLLM) == "1" or torch.cuda.is_available()


def quieten() -> None:
    """Set vLLM's environment, which it reads when it is imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
