"""What nvidia-smi says of this machine's GPUs: asked apart, so that nobody has to load torch for it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


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
