"""Matchups: which of two models' answers was held better, and by whom (the paper's figures 2 and 3).

Append-only: a run's matchup comes in once, of an arena vote the newest row counts, and void votes and those
of a deleted run don't.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pipeline import elo
from pipeline.elo import Group, Rule, Votes
from pipeline.intervals import Floats, Ints, dense
from pipeline.matchups import Annotator, Matchup, Question
from pipeline.records import AnnotatorKind, Message, PromptKind, parse
from pipeline.refusals import refuses
from studio.store.bulk import insert
from studio.store.database import Columns, Reader, Store, Tx, moment

COPIED = ("id", "prompt_id", "kind", "axis", "response_a", "response_b", "judge", "constitution")
SHARES = ("p_ab", "p_ba", "p_a")


@dataclass(frozen=True)
class MatchupFilter:
    """Which matchups; an empty field lets all through. `since` and `until` are moments, the second excluded.

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
class Coded:
    """The votes of one group: sides `a` and `b` are numbers of competitors. See `elo.Votes`."""

    group: Group
    a: Ints
    b: Ints
    won: Floats
    cluster: Ints

    def votes(self, names: Mapping[int, str]) -> Votes:
        """As they are rated, each competitor by the name given; without the votes of a model on itself."""
        codes = np.unique(np.concatenate([self.a, self.b]))
        models = sorted({names[code] for code in codes.tolist()})
        place = {name: at for at, name in enumerate(models)}
        to = np.array([place[names[code]] for code in codes.tolist()], np.int64)
        a, b = to[np.searchsorted(codes, self.a)], to[np.searchsorted(codes, self.b)]
        two = a != b
        return Votes(tuple(models), a[two], b[two], self.won[two], dense(self.cluster[two]))


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
    "constitution": "constitution = $constitution",
    "kind": "kind = $kind",
    "run": "run = $run",
    "since": "time >= $since",
    "until": "time < $until",
    "models": "(list_contains($models, side_a) OR list_contains($models, side_b))",
    "against": "(list_contains($models, side_a) AND list_contains($against, side_b)"
    " OR list_contains($models, side_b) AND list_contains($against, side_a))",
}
GROUP = "axis, judge, annotator_kind, constitution"
GROUPS = f"""
SELECT {GROUP}, hash({GROUP}) FROM current_matchups WHERE {{where}} GROUP BY ALL ORDER BY min(seq)
"""  # noqa: S608
# A list is searched for each row, but it is short; a hash is made faster than the text that it is of.
ROWS = f"""
SELECT list_position($groups::UBIGINT[], hash({GROUP})) AS "group", side_a, side_b, {{won}}, cluster
FROM current_matchups WHERE {{where}}
"""  # noqa: S608
# A prompt's answers count as one, however often each was judged. What an answer is, no axis or judge decides.
REFUSALS = """
SELECT side, cluster, avg(refuses::DOUBLE) AS refused FROM (
    SELECT side_a AS side, cluster, refuses_a AS refuses FROM current_matchups WHERE {where}
    UNION ALL SELECT side_b, cluster, refuses_b FROM current_matchups WHERE {where})
GROUP BY side, cluster
"""
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
    where, values = _where(filter or MatchupFilter())
    return int(store.query(f"SELECT count(*) FROM current_matchups WHERE {where}", values)[0][0])  # noqa: S608


def runs_of(store: Reader, group: Group) -> list[str]:
    """The runs that a group's matchups are of, the newest first."""
    where, values = _where(MatchupFilter(axis=group.axis, judge=group.judge, annotator_kind=group.kind))
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


def groups(store: Reader, filter: MatchupFilter) -> list[Group]:
    """What may be rated together, the oldest first."""
    where, values = _where(filter)
    return [Group(*row) for *row, _ in store.query(GROUPS.format(where=where), values)]


def coded(store: Store, filter: MatchupFilter, rule: Rule = "majority") -> list[Coded]:
    """The votes of each group in arrays: a million rows in about a second."""
    where, values = _where(filter)
    found = store.query(GROUPS.format(where=where), values)
    if not found:
        return []
    keys = [key for *_, key in found]
    won = "p_a" if rule == "soft" else "p_ab, p_ba"
    rows = store.columns(ROWS.format(won=won, where=where), {**values, "groups": keys})
    share = rows["p_a"] if rule == "soft" else elo.majority(rows["p_ab"], rows["p_ba"])
    result = []
    for number, (*group, _) in enumerate(found, 1):
        of = np.flatnonzero(rows["group"] == number)
        result.append(
            Coded(Group(*group), rows["side_a"][of], rows["side_b"][of], share[of], rows["cluster"][of])
        )
    return result


def refusals(store: Store, filter: MatchupFilter) -> Columns:
    """Of each competitor (`side`) and helpful prompt (`cluster`), the share of answers that refuse.

    Of the filter only the run and the time hold.
    """
    where, values = _where(
        MatchupFilter(kind="helpful", run=filter.run, since=filter.since, until=filter.until)
    )
    return store.columns(REFUSALS.format(where=where), values)


def listed(store: Reader, filter: MatchupFilter, limit: int, offset: int = 0) -> list[StoredMatchup]:
    """A page of the matchups that count, the newest first."""
    where, values = _where(filter)
    columns = ", ".join(f"m.{name}" for name in (*COPIED, *SHARES))
    sql = LISTED.format(columns=columns, where=where)
    return [_stored(row) for row in store.query(sql, {**values, "limit": limit, "offset": offset})]


def _where(filter: MatchupFilter) -> tuple[str, dict[str, object]]:
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
        "time": _time(one.time),
    }


def _time(said: str) -> datetime:
    """When it was judged; now, where it does not say."""
    try:
        found = datetime.fromisoformat(said)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.now(UTC)


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
