"""What nvidia-smi says of this machine's GPUs: asked apart, so that nobody has to load torch for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Literal


def asked(fields: Sequence[str], timeout: float = 10.0) -> list[list[str]]:
    """The cells of each GPU's line, one for each of these fields; no lines where there is no NVIDIA GPU."""
    try:
        return ask(fields, timeout)
    except (OSError, subprocess.SubprocessError):
        return []


def ask(fields: Sequence[str], timeout: float = 10.0) -> list[list[str]]:
    """The same. Raises OSError or SubprocessError where nvidia-smi is not here, or does not answer."""
    told = subprocess.run(
        ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=timeout,
        check=True,
    ).stdout
    return [[cell.strip() for cell in line.split(",")] for line in told.splitlines() if line.strip()]


def visible(figure: Literal["free", "total"] = "free") -> Mapping[str, float]:
    """Bytes of memory of each GPU that torch may use here, by a name that CUDA_VISIBLE_DEVICES may say.

    That variable names indices and UUIDs, or their beginnings. One that is no whole GPU's (MIG) may lie on
    any: it counts as the smallest. None where torch is made for processors.
    """
    if version("torch").endswith("+cpu"):
        return {}
    try:
        every = [
            (i, uuid, float(mib) * 2**20) for i, uuid, mib in asked(("index", "uuid", f"memory.{figure}"))
        ]
    except ValueError:  # it does not say
        return {}
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None or not every:
        return {index: size for index, _, size in every}
    names = [name.strip() for name in allowed.split(",")]
    least = min(size for _, _, size in every)

    def size_of(name: str) -> float:
        fits = (size for i, uuid, size in every if name == i or (name[0] == "G" and uuid.startswith(name)))
        return next(fits, least)

    return {name: size_of(name) for name in names if name not in ("", "-1", "NoDevFiles")}
