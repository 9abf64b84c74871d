"""What a run says while it works: one JSON object a line, flushed, appended to events.jsonl."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

Kind = Literal["started", "progress", "sample", "artifact", "finished", "failed"]
VERSION = 1


class EventLog:
    """Appends events of one attempt at a run. `attempt` counts from 1; `seq` runs on through all."""

    def __init__(self, path: Path) -> None:
        lines = _whole_lines(path)
        last = json.loads(lines[-1]) if lines else {"attempt": 0, "seq": 0}
        self.attempt = last["attempt"] + 1
        self.seq = last["seq"]
        self._file = path.open("a", encoding="utf-8")

    def emit(self, kind: Kind, **data: Any) -> None:
        """Append one event. NaN and infinities become null: JSON has no word for them."""
        self.seq += 1
        event = {
            "v": VERSION,
            "attempt": self.attempt,
            "seq": self.seq,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "kind": kind,
            **{name: _finite(value) for name, value in data.items()},
        }
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def cut_torn_tail(path: Path) -> None:
    """Drop a last line that a killed process left without its newline."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)


def _whole_lines(path: Path) -> list[bytes]:
    cut_torn_tail(path)
    return path.read_bytes().splitlines() if path.exists() else []


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
