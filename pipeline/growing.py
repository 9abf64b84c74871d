"""A stage whose output grows row by row: what is finished is kept, whatever stops or kills it.

`grow` is what `cai critique`, `cai pairs`, `cai label`, `cai evals --run` and `cai score` share: the
events that a watcher reads, the first Ctrl-C that asks for an end, and the same command again that goes on
without redoing a row.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from pipeline.engines import SpentError
from pipeline.engines.spending import USAGE, Purse
from pipeline.errors import UserError
from pipeline.events import EventLog, complete
from pipeline.meter import Meter
from pipeline.rundir import RunDir, read_rows
from pipeline.terminal import shown
from pipeline.train.ranks import follows

Row = Mapping[str, Any]
Key = Callable[[Row], str]

EXCERPT = 240
"""Characters of a text that a sample shows."""


class Growing:
    """An output on its way: `outputs/NAME.part`, its rows by what `key` makes of them."""

    def __init__(self, folder: RunDir, name: str, key: Key) -> None:
        self.name = name
        self._folder, self._key = folder, key
        part = folder.part(name)
        # What was whole already counts too: a second output may be so while the run is not.
        self.rows: dict[str, Row] = {
            key(row): row for row in (*read_rows(folder.outputs / name), *read_rows(part))
        }
        self._file = part.open("a", encoding="utf-8")

    def keep(self, row: Row) -> None:
        """Append a row, unless its key is there; on the disk at once: a kill loses only what is in flight."""
        if self._key(row) not in self.rows:
            self.rows[self._key(row)] = row
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def finish(self, keys: Sequence[str]) -> int:
        """Write the rows of these keys, in this order, as the whole output; returns how many there are."""
        rows = [self.rows[key] for key in keys if key in self.rows]
        self._folder.finish(self.name, rows)
        return len(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


@dataclass(frozen=True)
class Work:
    """What a stage gets to do its rows with. `output` holds those that are done.

    `purse` is what models of servers may use in this run.
    """

    output: Growing
    meter: Meter
    stop: Stop
    log: EventLog
    keys: Sequence[str]
    purse: Purse

    def lacks(self, key: str) -> bool:
        """Whether this row is still to be made."""
        return key not in self.output.rows

    def keep(self, row: Row, tokens: int, sample: Callable[[], Mapping[str, object]]) -> None:
        """One more row is done, which took so many tokens."""
        self.output.keep(row)
        self.meter.one_more(tokens, sample)

    def skip(self, id: str, reason: str, what: Literal["prompt", "pair"] = "prompt") -> None:
        """Leave something out, and say why."""
        leave_out(self.log, id, reason, what)


def leave_out(log: EventLog, id: str, reason: str, what: Literal["prompt", "pair"] = "prompt") -> None:
    """Say that a prompt or a pair is left out, and why, to people and in the run's events."""
    log.emit("skipped", reason=reason, **{what: id})
    say(f"{what} {id} is left out: {reason}")


def grow(
    folder: RunDir,
    stage: str,
    noun: str,
    name: str,
    key: Key,
    keys: Sequence[str],
    work: Callable[[Work], None],
    total: int | None = None,
) -> int:
    """Have `work` make the rows of `keys` that are not there yet; then the output `name` is whole.

    `noun` is what a row is called, in the plural. `total` says how many there are to be where `work` itself
    finds the keys, on its way. Returns 0 when whole, 130 when stopped before. Raises UserError where the
    run was complete already, or nothing at all could be made.
    """
    total = len(keys) if total is None else total
    with EventLog(folder.events) as log, Stop.on_signals() as stop:
        if (folder.outputs / name).exists():
            return _ended(folder, log, name)
        try:
            with Growing(folder, name, key) as output:
                done = len(output.rows)
                log.emit("started", stage=stage, total=total, done=done)
                if done:
                    say(f"going on: {done} of {total} {noun} are there")
                meter = Meter(log, total, done, noun)
                purse = Purse.from_environment(folder.folder / USAGE)
                spent = _spent(work, Work(output, meter, stop, log, keys, purse))
                meter.show(force=True)
                # Work that finds its keys on its way may end before it knows them, with all rows there.
                if (stop.is_set() or spent) and sum(key in output.rows for key in keys) < total:
                    why = {"reason": spent} if spent else {}
                    log.emit("finished", status="stopped", rows=len(output.rows), **why)
                    say(
                        f"stopped: {len(output.rows)} of {total} {noun} kept; "
                        "the same command goes on from here"
                    )
                    return 130
                if not output.rows:
                    raise UserError(
                        f"{folder.folder}: no {noun} were written: each was left out, as said above"
                    )
                return _announce(folder, log, name, output.finish(keys))
        except Exception as error:
            log.emit("failed", error=str(error) or type(error).__name__)
            raise


def unless_complete(folder: RunDir, aside: bool, work: Callable[[], int]) -> int:
    """What `work` returns, a `grow` of this run; 0 at once where the run is complete.

    `aside`: what it prints goes to stderr, as a program is to read the figures alone.
    """
    if complete(folder.events):
        return 0
    with redirect_stdout(sys.stderr if aside else sys.stdout):
        return work()


def _spent(work: Callable[[Work], None], what: Work) -> str:
    """Do the work; why it ended where servers' models may use no more, else empty."""
    try:
        work(what)
    except SpentError as error:
        say(str(error))
        return str(error)
    return ""


def _ended(folder: RunDir, log: EventLog, name: str) -> int:
    """The rows are there. Refuse to make them again, but say so first where a kill came before."""
    if log.last == "finished":
        raise UserError(f"{folder.folder}: this run is complete; choose another --run folder to draw again")
    return _announce(folder, log, name, len(read_rows(folder.outputs / name)))


def _announce(folder: RunDir, log: EventLog, name: str, rows: int) -> int:
    log.emit("artifact", path=f"outputs/{name}", rows=rows)
    log.emit("finished", status="done", rows=rows)
    print(folder.outputs / name)  # noqa: T201
    return 0


class Stop:
    """Set by the first SIGINT or SIGTERM; a second SIGINT ends the process as usual.

    A second SIGTERM does not: whoever watches a run in the background may ask twice, as a studio does that
    was started again, and what is being saved then would be lost.
    """

    def __init__(self) -> None:
        self._asked = False

    def is_set(self) -> bool:
        """Whether an end was asked for."""
        return self._asked

    def __call__(self, number: int, frame: object) -> None:
        self._asked = True
        if number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)

    @classmethod
    @contextmanager
    def on_signals(cls) -> Iterator[Stop]:
        """Listen while inside."""
        stop = cls()
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield stop
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def say(text: str) -> None:
    """A line for the person at the terminal, and so in a background run's log; of several processes once."""
    if follows():
        return
    print(shown(text), file=sys.stderr)  # noqa: T201
