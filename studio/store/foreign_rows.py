"""Rows that came with an archive: what of them is refused, and what is not taken over.

They are whoever's who made the archive. What a session does by itself when it is opened, and where it reads
and deletes, must not be theirs to say; and each row must be one that the pages can read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.chat import Chatting
from pipeline.errors import UserError
from pipeline.records import Constitution, Message, Source, parse
from pipeline.row_problems import reason
from studio.store import event_rows
from studio.store.archive import safe_part

Row = Mapping[str, Any]

BEGUN = "('waiting', 'starting', 'running', 'stopping')"
RESUMED = "imported: Resume runs it here"
STATES = f"""
INSERT INTO run_states (run, state, detail)
SELECT run, 'cancelled', '{RESUMED}' FROM run_status WHERE state IN {BEGUN} ORDER BY seq
"""  # noqa: S608 - made of constants
# A session may have taken in one headless run twice, where that was asked twice at once.
TWINS = """
DELETE FROM runs WHERE origin = 'imported'
AND seq NOT IN (SELECT min(seq) FROM runs GROUP BY id, stage, config, content)
"""
# Of the machine that they were made on: a process's number, and a place in its queue.
ELSEWHERE = ("run_processes", "run_places")


@dataclass(frozen=True)
class Followed:
    """What a run's config says of the recipe that it is a run of."""

    of: str
    name: str
    after: str
    step: str
    says: str
    options: dict[str, Any]
    places: dict[str, str]


def wanted(table: str, row: Row) -> bool:
    """Whether a row is taken over: an event only as it is where runs are read.

    Raises UserError for what the pages could not read in it, and for what leads out of the session.
    """
    for column, check in CHECKS.get(table, {}).items():
        if row[column] is None:
            continue
        try:
            check(json.loads(row[column]))
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(f"{column}: {reason(error)}") from error
    run = row.get("id") if table == "runs" else row.get("run")
    if run is not None and not (isinstance(run, str) and safe_part(run)):
        raise UserError(f"{str(run)[:80]!r} can't be the id of a run")
    return table != "run_events" or _event(row)


def settle(con: Any) -> None:
    """Once all rows are there: nothing waits or works, as what was begun elsewhere is not begun here."""
    con.execute(TWINS)
    if con.execute("SELECT count(*) <> count(DISTINCT id) FROM runs").fetchone()[0]:
        raise UserError("This archive is damaged: two runs in it have one id.")
    for table in ELSEWHERE:
        con.execute(f"DELETE FROM {table}")  # noqa: S608 - ours
    con.execute(STATES)


def _event(row: Row) -> bool:
    try:
        data = json.loads(row["data"])
    except (ValueError, TypeError, RecursionError):
        return False
    told = {name: row[name] for name in ("seq", "attempt", "kind", "time")}
    return isinstance(data, dict) and event_rows.event({**data, **told}) is not None


def _config(body: Any) -> None:
    _object(body)
    if "recipe" in body:
        for id in parse(Followed, body["recipe"]).places.values():
            if not safe_part(id):
                raise ValueError(f"{id[:80]!r} can't be the id of a run")


def _object(body: Any) -> None:
    if not isinstance(body, dict):
        raise ValueError("not an object")


MESSAGES = {"messages": partial(parse, tuple[Message, ...])}
SOURCE = partial(parse, Source)
CHECKS: Mapping[str, Mapping[str, Callable[[Any], object]]] = {
    "battles": MESSAGES,
    "chains": MESSAGES,
    "constitution_versions": {"body": partial(parse, Constitution)},
    "drafts": {"body": _object},
    "matchup_prompts": MESSAGES,
    "pairs": {**MESSAGES, "source_a": SOURCE, "source_b": SOURCE},
    "runs": {"config": _config},
    "turns": {"chatting": partial(parse, Chatting)},
    "waiting": MESSAGES,
}
"""By table and column, what reads a row's JSON."""
