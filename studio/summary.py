"""What a session held when it was last closed: for the list, which does not open a session to count."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from pipeline.rundir import write_atomically
from studio.progress import Progress, plural
from studio.store.migrate import FILE

SUMMARY = "summary.json"


def keep_summary(folder: Path, held: Progress) -> None:
    """Write it down; on a full disk the list says less, and nothing else suffers."""
    with suppress(OSError):
        write_atomically(folder / SUMMARY, json.dumps({"text": counts(held)}))


def read_summary(folder: Path) -> str:
    """The counts as words; empty if nobody wrote them, or the session changed since."""
    try:
        file = folder / SUMMARY
        if file.stat().st_mtime < (folder / FILE).stat().st_mtime:
            return ""
        return str(json.loads(file.read_text(encoding="utf-8"))["text"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def counts(held: Progress) -> str:
    """`3 versions, 12 chains`."""
    return f"{plural(held.versions, 'version')}, {plural(held.chains, 'chain')}"
