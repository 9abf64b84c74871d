"""Processes that work for long give way to the one that answers people."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import psutil

NICE = 5
"""Beside a process of 0 it gets a quarter of a processor that both want, and all of one that nobody wants."""


def give_way(pid: int) -> None:
    """Of a process that has just begun, with a session of its own: its threads to come have the same.

    One that is over is left alone.
    """
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        if sys.platform == "win32":
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            process.nice(max(process.nice(), NICE))
            # Where Linux shares between sessions first, being nice within one's own would change nothing.
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/autogroup").write_text(str(NICE), "ascii")
