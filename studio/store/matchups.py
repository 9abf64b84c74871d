"""Matchups: which of two models' answers was held better, and by whom (the paper's figures 2 and 3).

Append-only: a run's matchup comes in once, of an arena vote the newest row counts, and void votes and those
of a deleted run don't.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pipeline.matchups import Annotator, Matchup, Question
from pipeline.records import AnnotatorKind, Message, PromptKind, parse
from pipeline.refusals import refuses
from studio.store.bulk import insert
from studio.store.database import Reader, Tx, instant, moment

COPIED = ("id", "prompt_id", "kind", "axis", "response_a", "response_b", "judge", "constitution")
SHARES = ("p_ab", "p_ba", "p_a")


@dataclass(frozen=True)
class MatchupFilter:
    """Which matchups; a field without a value lets all through. `since` and `until` are moments, the second
    excluded. `constitution` is empty for those that were judged without one.

    `models` are numbers of competitors: one of the sides is among them. With `against` the other side is
    among those.
    """

    axis: Question | None = None
    judge: str | None = None
    annotator_kind: AnnotatorKind | None = None
    constitution: str | None = None
    kind: PromptKind | None = None
    run: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    models: tuple[int, ...] = ()
    against: tuple[int, ...] = ()


@dataclass(frozen=True)
class Competitor:
    """A model as a run (None: the arena) knows it, by its number. `revision` is that of its weights."""

    code: int
    run: str | None
    name: str
    revision: str | None


@dataclass(frozen=True)
class StoredMatchup:
    """A matchup with the numbers of its sides, its run (None: the arena) and what was asked, where known."""

    matchup: Matchup
    side_a: int
    side_b: int
    run: str | None
    messages: tuple[Message, ...]


# The statements below are put together from constants only; values go in as parameters.
CONDITIONS = {
    "axis": "axis = $axis",
    "judge": "judge = $judge",
    "annotator_kind": "annotator_kind = $annotator_kind",
    "constitution": "coalesce(constitution, '') = $constitution",
    "kind": "kind = $kind",
    "run": "run = $run",
    "since": "time >= $since",
    "until": "time < $until",
    "models": "(list_contains($models, side_a) OR list_contains($models, side_b))",
    "against": "(list_contains($models, side_a) AND list_contains($against, side_b)"
    " OR list_contains($models, side_b) AND list_contains($against, side_a))",
}
LISTED = """
SELECT {columns}, a.name, b.name, m.annotator, m.annotator_kind, epoch_us(m.time), m.side_a, m.side_b, m.run,
    (SELECT arg_max(p.messages, p.seq) FROM matchup_prompts p
     WHERE p.prompt_id = m.prompt_id AND p.run IS NOT DISTINCT FROM m.run)
FROM matchups m JOIN competitors a ON a.code = m.side_a JOIN competitors b ON b.code = m.side_b
WHERE m.seq IN (SELECT seq FROM current_matchups WHERE {where} ORDER BY seq DESC LIMIT $limit OFFSET $offset)
ORDER BY m.seq DESC
"""


def add(
    tx: Tx,
    made: Sequence[Matchup],
    run: str | None = None,
    revisions: Mapping[str, str] | None = None,
    asked: Mapping[str, Sequence[Message]] | None = None,
    void: str | None = None,
) -> int:
    """Add matchups; returns how many were new. Those that a run made and that are there stay as they are.

    Without a `run` they are votes of the arena: one of an id that is there goes in its place, and so does
    what a person says of a run's pairs. `void` is why they don't count, as where an answer revealed its
    model, or where a vote is taken back. `revisions` are those of the models' weights by name, `asked` the
    prompts by id.
    """
    new = {one.id: one for one in made}
    if run is not None:
        brought = [one.id for one in made if one.annotator.kind != "person"]
        for (id,) in tx.query(
            "SELECT id FROM matchups WHERE run = ? AND id IN (SELECT unnest(?::VARCHAR[]))", [run, brought]
        ):
            del new[id]
    add_prompts(tx, asked or {}, run)
    some = list(new.values())
    names = dict.fromkeys(name for one in some for name in (one.model_a, one.model_b))
    of = revisions or {}
    codes = add_competitors(tx, {name: of.get(name) for name in names}, run)
    insert(tx, "matchups", [_row(one, run, codes, void) for one in some])
    return len(some)


def add_competitors(tx: Tx, revisions: Mapping[str, str | None], run: str | None) -> dict[str, int]:
    """The numbers of a run's models, by name; those that are not there yet are added with their revision."""

    def known() -> dict[str, int]:
        rows = tx.query(
            "SELECT name, revision, code FROM competitors "
            "WHERE run IS NOT DISTINCT FROM ? AND name IN (SELECT unnest(?::VARCHAR[])) ORDER BY code",
            [run, list(revisions)],
        )
        return {name: code for name, held, code in rows if revisions[name] in (None, held)}

    there = known()
    missing = [(name, revision) for name, revision in revisions.items() if name not in there]
    insert(tx, "competitors", [{"run": run, "name": name, "revision": held} for name, held in missing])
    return known() if missing else there


def add_prompts(tx: Tx, asked: Mapping[str, Sequence[Message]], run: str | None) -> None:
    """Add what was asked, by prompt id, where the run or the arena has not said so yet."""
    there = tx.query(
        "SELECT prompt_id FROM matchup_prompts "
        "WHERE run IS NOT DISTINCT FROM ? AND prompt_id IN (SELECT unnest(?::VARCHAR[]))",
        [run, list(asked)],
    )
    known = {id for (id,) in there}
    rows = [
        {"run": run, "prompt_id": id, "messages": _json(messages)}
        for id, messages in asked.items()
        if id not in known
    ]
    insert(tx, "matchup_prompts", rows)


def count(store: Reader, filter: MatchupFilter | None = None) -> int:
    """How many matchups count."""
    where, values = where_of(filter or MatchupFilter())
    return int(store.query(f"SELECT count(*) FROM current_matchups WHERE {where}", values)[0][0])  # noqa: S608


def runs_of(store: Reader, judge: str) -> list[str]:
    """The runs that have a judge's matchups, the newest first."""
    where, values = where_of(MatchupFilter(judge=judge))
    rows = store.query(
        f"SELECT run FROM current_matchups WHERE {where} AND run IS NOT NULL "  # noqa: S608
        "GROUP BY run ORDER BY max(seq) DESC",
        values,
    )
    return [run for (run,) in rows]


def competitors(store: Reader) -> list[Competitor]:
    """All that ever competed, in the order of their numbers."""
    rows = store.query("SELECT code, run, name, revision FROM competitors ORDER BY code")
    return [Competitor(*row) for row in rows]


def listed(store: Reader, filter: MatchupFilter, limit: int, offset: int = 0) -> list[StoredMatchup]:
    """A page of the matchups that count, the newest first."""
    where, values = where_of(filter)
    columns = ", ".join(f"m.{name}" for name in (*COPIED, *SHARES))
    sql = LISTED.format(columns=columns, where=where)
    return [_stored(row) for row in store.query(sql, {**values, "limit": limit, "offset": offset})]


def where_of(filter: MatchupFilter) -> tuple[str, dict[str, object]]:
    """A filter as a condition, and the values of its parameters."""
    values = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(filter).items()
        if value not in (None, ())
    }
    if filter.against and not filter.models:
        raise ValueError("against whom, and not who")
    return " AND ".join(CONDITIONS[name] for name in values) or "true", values


def _row(one: Matchup, run: str | None, codes: Mapping[str, int], void: str | None) -> dict[str, object]:
    key = f"prompt:{one.prompt_id}" if one.prompt_id else f"row:{run}:{one.id}"
    return {
        **{name: getattr(one, name) for name in (*COPIED, *SHARES)},
        "run": run,
        "cluster": int.from_bytes(hashlib.sha256(key.encode("utf-8", "replace")).digest()[:8], signed=True),
        "side_a": codes[one.model_a],
        "side_b": codes[one.model_b],
        "refuses_a": refuses(one.response_a),
        "refuses_b": refuses(one.response_b),
        "annotator": one.annotator.name,
        "annotator_kind": one.annotator.kind,
        "void": void,
        "time": instant(one.time),
    }


def _json(messages: Sequence[Message]) -> str:
    return json.dumps([asdict(message) for message in messages], ensure_ascii=False)


def _stored(row: tuple[Any, ...]) -> StoredMatchup:
    copied = dict(zip((*COPIED, *SHARES), row, strict=False))
    model_a, model_b, annotator, kind, time, side_a, side_b, run, messages = row[len(copied) :]
    one = Matchup(
        **copied,
        model_a=model_a,
        model_b=model_b,
        annotator=Annotator(annotator, kind),
        time=moment(time).isoformat(timespec="milliseconds"),
    )
    asked = parse(tuple[Message, ...], json.loads(messages)) if messages else ()
    return StoredMatchup(one, side_a, side_b, run, asked)
