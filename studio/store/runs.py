"""Runs: what was asked for, how it stands, who works on it, and what it has said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from studio.store.bulk import insert
from studio.store.database import Reader, Store, Tx, moment
from studio.store.lock import Holder

State = Literal[
    "waiting", "starting", "running", "stopping", "done", "stopped", "failed", "lost", "cancelled", "deleted"
]
ACTIVE: tuple[State, ...] = ("starting", "running", "stopping")
RESUMABLE: tuple[State, ...] = ("stopped", "failed", "lost", "cancelled")
BEGUN = "it is being imported; if its import was broken off, import its folder again"
"""The detail of a run whose rows are not all in yet: it stands until they are, or the run is deleted."""


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """What is settled before a run starts. `config` is its stage's, as plain data."""

    id: str
    stage: str
    name: str
    config: Mapping[str, Any]
    constitution: str | None
    constitution_name: str | None
    total: int
    author: str
    origin: Literal["studio", "imported"] = "studio"
    content: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run(NewRun):
    """A run as it stands; `detail` says why, `since` when it came to be so."""

    created: datetime
    state: State
    detail: str
    since: datetime


@dataclass(frozen=True)
class Process:
    """The latest process of a run. Its events are those after number `after`."""

    holder: Holder
    device: str
    after: int


@dataclass(frozen=True)
class Event:
    """One line of a run's events.jsonl; `data` is what its kind adds."""

    seq: int
    attempt: int
    kind: str
    time: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Figures:
    """How far a run is. `rate` is tokens a second, `eta` seconds to go; None where it has not said.

    `total` is how many it is to make, as it said itself: of a training run only it knows. `part` is what it
    makes before the first (`noun`, `done`, `total`, `eta_s`).
    """

    done: int = 0
    tokens: int | None = None
    rate: float | None = None
    eta: float | None = None
    total: int | None = None
    part: Mapping[str, Any] | None = None


COLUMNS = (
    *("id", "stage", "name", "config", "constitution", "constitution_name"),
    *("total", "author", "origin", "content"),
)
SELECT = f"""
SELECT {", ".join("r." + column for column in COLUMNS)},
    epoch_us(r.created), s.state, s.detail, epoch_us(s.time)
FROM runs r JOIN run_status s ON s.run = r.id
"""  # noqa: S608
# How many rows each run has made. A run of pairs goes by its prompts; those that a run of labels brought are
# none that it made. What people say of a tournament's pairs is theirs, and the pairs are its own.
KEPT = """
SELECT run, count(*) FROM chains WHERE run IS NOT NULL GROUP BY run
UNION ALL
SELECT run, count(DISTINCT prompt_id) FROM pairs
WHERE run IN (SELECT run FROM run_offsets WHERE starts_with(file, 'outputs/pairs.jsonl')) GROUP BY run
UNION ALL
SELECT run, count(*) FROM labels GROUP BY run
UNION ALL
SELECT run, count(*) FROM matchups WHERE run IS NOT NULL AND annotator_kind <> 'person' GROUP BY run
UNION ALL
SELECT run, count(*) FROM waiting GROUP BY run
UNION ALL
SELECT run, count(*) FROM revision_scores GROUP BY run
UNION ALL
SELECT run, count(*) FROM eval_answers GROUP BY run
"""
EVENTS = "SELECT seq, attempt, kind, time, data FROM run_events WHERE run = $run"
LAST = f"{EVENTS} AND ($kind::VARCHAR IS NULL OR kind = $kind) AND seq > $after ORDER BY seq DESC LIMIT 1"


def add(tx: Tx, run: NewRun, state: State, detail: str = "") -> None:
    """Add a run. The caller has seen that its id is free."""
    values = [json.dumps(run.config) if column == "config" else getattr(run, column) for column in COLUMNS]
    marks = ", ".join("?" for _ in COLUMNS)
    tx.query(f"INSERT INTO runs ({', '.join(COLUMNS)}) VALUES ({marks})", values)  # noqa: S608
    _add_state(tx, run.id, state, detail)


def set_state(tx: Tx, run: str, state: State, of: Iterable[State], detail: str = "") -> bool:
    """Bring a run from one of the states `of` into another; False if it was in none of them."""
    rows = tx.query("SELECT state FROM run_status WHERE run = ?", [run])
    if not rows or rows[0][0] not in of:
        return False
    _add_state(tx, run, state, detail)
    return True


def load(store: Reader, id: str) -> Run | None:
    """A run; None if there is none of that id, or it was deleted."""
    rows = store.query(f"{SELECT} WHERE r.id = ? AND s.state <> 'deleted'", [id])
    return _run(rows[0]) if rows else None


def listed(store: Reader) -> list[Run]:
    """All runs that were not deleted, newest first."""
    rows = store.recall(f"{SELECT} WHERE s.state <> 'deleted' ORDER BY r.seq DESC", (), tuple)
    return [_run(row) for row in rows]


def in_states(store: Reader, states: Iterable[State]) -> list[Run]:
    """The runs in one of these states, oldest first."""
    rows = store.recall(f"{SELECT} WHERE s.state IN (SELECT unnest(?)) ORDER BY r.seq", [list(states)], tuple)
    return [_run(row) for row in rows]


def of_content(store: Reader, content: str) -> Run | None:
    """The run that was imported with this content, unless it was deleted."""
    rows = store.query(f"{SELECT} WHERE r.content = ? AND s.state <> 'deleted'", [content])
    return _run(rows[0]) if rows else None


def add_process(tx: Tx, run: str, holder: Holder, device: str) -> None:
    """Say which process works on a run now."""
    tx.query(
        "INSERT INTO run_processes (run, pid, started, device, after) VALUES (?, ?, ?, ?, "
        "(SELECT coalesce(max(seq), 0) FROM run_events WHERE run = ?))",
        [run, holder.pid, holder.started, device, run],
    )


def process(store: Reader, run: str) -> Process | None:
    """The latest process that worked on a run."""
    rows = store.query("SELECT pid, started, device, after FROM current_processes WHERE run = ?", [run])
    return next((Process(Holder(pid, start), device, after) for pid, start, device, after in rows), None)


def offset(store: Reader, run: str, file: str) -> int:
    """How many bytes of a run's file have been read."""
    rows = store.query(
        "SELECT bytes FROM run_offsets WHERE run = ? AND file = ? ORDER BY seq DESC LIMIT 1", [run, file]
    )
    return int(rows[0][0]) if rows else 0


def set_offset(tx: Tx, run: str, file: str, bytes_: int) -> None:
    """Say how far a run's file has been read, in the transaction of what was read."""
    tx.query("INSERT INTO run_offsets (run, file, bytes) VALUES (?, ?, ?)", [run, file, bytes_])


def add_events(tx: Tx, run: str, events: Iterable[Event]) -> list[Event]:
    """Add what a run said; what is there already stays as it is. Returns what was new.

    Where a crash of the machine cut its log, the run counts on from there: of what it says then the numbers
    may be taken, and it comes after them.
    """
    told = {event.seq: event for event in reversed(list(events))}  # of two of a number, the first
    asked = "SELECT seq, attempt, kind, time, data FROM run_events WHERE run = ? AND seq >= ?"
    there = {seq: tuple(what) for seq, *what in tx.query(asked, [run, min(told, default=0)])}
    known, taken, last = {*there.values()}, {*there}, max(there, default=0)
    new = []
    for seq, event in sorted(told.items()):
        if (event.attempt, event.kind, event.time, json.dumps(event.data)) not in known:
            new.append(replace(event, seq=last + 1 if seq in taken else seq))
            taken.add(new[-1].seq)
            last = max(last, new[-1].seq)
    insert(tx, "run_events", [{"run": run, **vars(e), "data": json.dumps(e.data)} for e in new])
    return new


def last_event(store: Reader, run: str, kind: str | None = None, after: int = 0) -> Event | None:
    """The newest event (of a kind), of those after a number."""
    rows = store.query(LAST, {"run": run, "kind": kind, "after": after})
    return _event(rows[0]) if rows else None


def kept(store: Reader) -> dict[str, int]:
    """How many rows of each run are in the session, by its id."""
    return dict(store.query(KEPT))


def figures(store: Reader) -> dict[str, Figures]:
    """How far each run is that has said anything, by its id."""
    told: dict[str, dict[str, Any]] = {}
    for run, data in store.query(
        "SELECT run, arg_max(data, seq) FROM run_events WHERE kind IN ('progress', 'finished') "
        "GROUP BY run, kind ORDER BY kind"  # a `finished` has no rate: it must not hide the progress
    ):
        told.setdefault(run, {}).update(json.loads(data))
    there = kept(store)
    return {
        # The largest: each of them only grows, but they are told at different times.
        run: Figures(
            max(there.get(run, 0), said.get("done") or 0, said.get("rows") or 0),
            said.get("tokens"),
            said.get("tokens_per_second"),
            said.get("eta_s"),
            said.get("total"),
            said.get("part"),
        )
        for run in {*there, *told}
        for said in (told.get(run, {}),)
    }


def took(store: Reader) -> dict[str, float]:
    """Seconds that each run took that was begun once and came to its end, by the run's id."""
    # By the worker's clock, UTC: a studio that was closed meanwhile saw the end later.
    rows = store.query(
        "SELECT run, date_diff('millisecond', min(said), max(said)) / 1000 FROM "
        "(SELECT run, kind, TRY_CAST(left(time, 23) AS TIMESTAMP) AS said FROM run_events "
        "WHERE kind IN ('started', 'finished')) GROUP BY run "
        "HAVING count(*) = 2 AND count(said) = 2 AND count(DISTINCT kind) = 2"
    )
    return dict(rows)


def samples(store: Reader, run: str, many: int) -> list[Event]:
    """The newest samples, newest first."""
    rows = store.query(
        f"{EVENTS} AND kind = 'sample' ORDER BY seq DESC LIMIT $many", {"run": run, "many": many}
    )
    return [_event(row) for row in rows]


def skipped(store: Reader, run: str) -> list[Event]:
    """What the run left out, once each, in its order."""
    rows = store.query(f"{EVENTS} AND kind = 'skipped' ORDER BY seq", {"run": run})
    return list(
        {event.data.get("prompt") or event.data.get("pair"): event for event in map(_event, rows)}.values()
    )


def stamp(store: Reader) -> str:
    """Changes whenever anything about any run has."""
    [row] = store.recall(
        "SELECT (SELECT max(seq) FROM run_states), (SELECT count(*) FROM run_events), "
        "(SELECT max(seq) FROM run_places), (SELECT max(seq) FROM run_offsets)",
        (),
        tuple,
    )
    return ":".join(str(value or 0) for value in row)


def places(store: Reader) -> dict[str, int]:
    """Where each run stands in the queue, by id; only that of waiting ones means anything."""
    return dict(store.recall("SELECT run, place FROM current_places", (), tuple))


def put(tx: Tx, run: str, place: int | None = None) -> None:
    """Give a run a place in the queue; with None the last."""
    if place is None:
        place = int(tx.query("SELECT coalesce(max(place), 0) + 1 FROM run_places")[0][0])
    tx.query("INSERT INTO run_places (run, place) VALUES (?, ?)", [run, place])


def new_id(store: Store) -> str:
    """An id for a new run: a UUIDv7, so that folders sort by time."""
    return str(store.query("SELECT uuidv7()")[0][0])


def _add_state(tx: Tx, run: str, state: State, detail: str) -> None:
    tx.query("INSERT INTO run_states (run, state, detail) VALUES (?, ?, ?)", [run, state, detail])


def _run(row: tuple[Any, ...]) -> Run:
    values: dict[str, Any] = dict(zip(COLUMNS, row, strict=False))
    values["config"] = json.loads(values["config"])
    created, state, detail, since = row[len(COLUMNS) :]
    return Run(**values, created=moment(created), state=state, detail=detail, since=moment(since))


def _event(row: tuple[Any, ...]) -> Event:
    seq, attempt, kind, time, data = row
    return Event(seq, attempt, kind, time, json.loads(data))
