"""What a run says while it works: one JSON object a line, flushed, appended to events.jsonl."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from pipeline.errors import UserError

Kind = Literal[
    "started", "progress", "metric", "sample", "skipped", "summary", "artifact", "finished", "failed"
]
VERSION = 1
FIELDS = frozenset(
    "v attempt seq time kind self status stage done total rows step steps fixed tokens "  # noqa: SIM905
    "tokens_per_second labels_per_second eta_s noun part prompt pair text values ratings".split()
)
"""What events say by these names is a count, a text or the like: no figure's own name may be one of them."""


class EventLog:
    """Appends events of one attempt at a run. `attempt` counts from 1; `seq` runs on through all.

    `last` is the kind of the newest event. Only one process at a time can hold a run's log, and so
    work on the run: raises UserError where another does.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        _lock(self._file, path)
        cut_torn_tail(path)
        nothing: dict[str, Any] = {"attempt": 0, "seq": 0, "kind": ""}
        last = next(_newest_first(path), nothing)
        self.attempt = last["attempt"] + 1
        self.seq = last["seq"]
        self.last: str = last["kind"]

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
        self.last = kind

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _lock(file: IO[Any], path: Path) -> None:
    if sys.platform == "win32":
        return  # no lock that ends with its process and lets others read
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise UserError(
            f"{path.parent}: another process is at work on this run; wait for it, or stop it"
        ) from error
    except OSError:  # a disk that knows no locks: two at once can't be told there
        pass


def held(path: Path) -> bool:
    """Whether a process is at work on the run of this log, as far as the system can tell."""
    try:
        with path.open("rb") as file:  # not to write: it may lie on a disk that can only be read
            _lock(file, path)
    except UserError:
        return True
    except OSError:  # there is none
        return False
    return False


def complete(path: Path) -> bool:
    """Whether the run of this log came to its end; one that was stopped did not."""
    try:
        last = json.loads(path.read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[2])
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(last, dict) and last.get("kind") == "finished" and last.get("status") == "done"


def metrics(path: Path) -> list[tuple[int, dict[str, float]]]:
    """The figures of each training step, once: those past where a later attempt went on are none.

    Figures of weights that were lost with a kill are of a run that did not happen.
    """
    found: dict[int, dict[str, float]] = {}
    for event in reversed(list(_newest_first(path))):
        match event:
            case {"kind": "started"}:
                done = event["done"] if isinstance(event.get("done"), int) else 0
                found = {step: values for step, values in found.items() if step <= done}
            case {"kind": "metric", "step": int(step), "values": dict(values)}:
                found.setdefault(step, {}).update(values)
    return sorted(found.items())


def cut_torn_tail(path: Path) -> None:
    """Drop a last line that a killed process left without its newline."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)


def _newest_first(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log. A line that is none, as a failing disk may leave, is passed over."""
    for line in reversed(path.read_bytes().split(b"\n")[:-1]):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        match event:
            case {"attempt": int(), "seq": int(), "kind": str()}:
                yield event


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
