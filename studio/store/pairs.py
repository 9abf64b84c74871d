"""Pairs: two responses to one prompt, which a feedback model labels and people judge (paper section 4.1).

Identified by their content, so that the same pair comes in once, whoever brings it; it never changes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pipeline.records import AnnotatorKind, Axis, Message, Pair, PromptKind, Source, as_json, parse
from pipeline.refusals import refuses
from studio.store.bulk import insert
from studio.store.database import Reader, Tx, moment
from studio.store.labels import SELECTIONS, Labeller

BY_HAND = "chat"
"""In the place of a run: a person chose these two answers and sent them on. They are no random share."""


@dataclass(frozen=True)
class StoredPair:
    """A pair in the session: its number, the run that brought it first (or BY_HAND), and when."""

    pair: Pair
    seq: int
    run: str | None
    created: datetime


@dataclass(frozen=True)
class Judge:
    """Who judged, and by which question: one name may be of two kinds, and one file of both axes."""

    annotator: str
    kind: AnnotatorKind
    axis: Axis


@dataclass(frozen=True)
class PairFilter:
    """Which pairs; an empty field lets all through.

    `search` is literal, whatever its case, in the prompt or a response. `labelled` and `unlabelled` ask for
    a label by that labeller, or for none; one that triage asked for is none there, or a run over the rest
    would miss just the pairs that were hard. `judged_by` asks for a judgment (a skip is none) by that judge.
    """

    search: str | None = None
    kind: PromptKind | None = None
    run: str | None = None
    labelled: Labeller | None = None
    unlabelled: Labeller | None = None
    judged_by: Judge | None = None


Row = dict[str, object]

COLUMNS = (
    *("id", "prompt_id", "messages", "response_a", "response_b", "kind", "source_a", "source_b"),
    *("grouping", "seq", "run", "epoch_us(created)"),
)
SELECT = f"SELECT {', '.join(COLUMNS)} FROM pairs"  # noqa: S608 - of constants; values are parameters
LABELLED = """
SELECT l.pair FROM labels l WHERE l.model = ${0}_model AND l.method = ${0}_method
    AND l.constitution = ${0}_constitution
    AND l.run NOT IN (SELECT d.run FROM deleted_runs d)
"""
CONDITIONS = {
    "search": "(contains(lower(prompt_text), lower($search)) OR contains(lower(response_a), lower($search)) "
    "OR contains(lower(response_b), lower($search)))",
    "kind": "kind = $kind",
    "run": "run = $run",
    "labelled": f"id IN ({LABELLED.format('labelled')})",
    "unlabelled": f"id NOT IN ({LABELLED.format('unlabelled')} AND l.run NOT IN ({SELECTIONS}))",
    "judged_by": "id IN (SELECT j.pair FROM standing_judgments j "
    "WHERE j.annotator = $judged_by_annotator AND j.annotator_kind = $judged_by_kind "
    "AND j.axis = $judged_by_axis AND j.choice <> 'skip')",
}
# All pairs of the responses that are ranked together, those too that another run had brought before.
GROUP = f"""
WITH members AS (
    SELECT messages AS asked, response_a AS said FROM pairs WHERE grouping = $group
    UNION SELECT messages, response_b FROM pairs WHERE grouping = $group)
{SELECT} WHERE (messages, response_a) IN (SELECT (asked, said) FROM members)
    AND (messages, response_b) IN (SELECT (asked, said) FROM members) ORDER BY seq
"""  # noqa: S608


def add(tx: Tx, pairs: Sequence[Pair], run: str | None) -> int:
    """Add the pairs that are not there yet, in their order; returns how many these are."""
    return add_rows(tx, rows(pairs, run))


def rows(pairs: Sequence[Pair], run: str | None) -> list[Row]:
    """The pairs as `add_rows` takes them: for very many, made before the transaction that others wait for."""
    return [_row(pair, run) for pair in pairs]


def add_rows(tx: Tx, rows: Sequence[Row]) -> int:
    """What `add` does, of rows made before."""
    new = {row["id"]: row for row in rows}
    for (id,) in tx.query("SELECT id FROM pairs WHERE id IN (SELECT unnest(?::VARCHAR[]))", [list(new)]):
        del new[id]
    insert(tx, "pairs", list(new.values()))
    return len(new)


def load(store: Reader, id: str) -> StoredPair | None:
    """One pair; None if there is none of that id."""
    rows = store.recall(f"{SELECT} WHERE id = ?", [id], tuple)
    return _stored(rows[0]) if rows else None


def listed(store: Reader, filter: PairFilter, limit: int, offset: int) -> list[StoredPair]:
    """A page of the pairs that match, the newest first."""
    where, values = _where(filter)
    page = {**values, "limit": limit, "offset": offset}
    rows = store.query(f"{SELECT} WHERE {where} ORDER BY seq DESC LIMIT $limit OFFSET $offset", page)
    return [_stored(row) for row in rows]


def count(store: Reader, filter: PairFilter) -> int:
    """How many pairs match."""
    where, values = _where(filter)
    return int(store.query(f"SELECT count(*) FROM pairs WHERE {where}", values)[0][0])  # noqa: S608


def select(store: Reader, filter: PairFilter) -> list[Pair]:
    """All the pairs that match, by their ids."""
    where, values = _where(filter)
    return [_stored(row).pair for row in store.query(f"{SELECT} WHERE {where} ORDER BY id", values)]


def group(store: Reader, group: str) -> list[Pair]:
    """The pairs of a group: those of any two of its responses, the oldest first; empty for no group."""
    return [_stored(row).pair for row in store.query(GROUP, {"group": group})]


def prompts_of(store: Reader, ids: Sequence[str]) -> list[str]:
    """The prompt's id of each pair, in the order asked. Raises KeyError for a pair that is not there."""
    rows = store.query(
        "SELECT id, prompt_id FROM pairs WHERE id IN (SELECT unnest(?::VARCHAR[]))", [list(ids)]
    )
    of: dict[str, str] = dict(rows)
    return [of[id] for id in ids]


def _where(filter: PairFilter) -> tuple[str, dict[str, object]]:
    values: dict[str, object] = {}
    parts = ["true"]
    for name, condition in CONDITIONS.items():
        wanted = getattr(filter, name)
        if isinstance(wanted, Labeller | Judge):
            values |= {f"{name}_{field}": value for field, value in asdict(wanted).items()}
        elif wanted:
            values[name] = wanted
        else:
            continue
        parts.append(condition)
    return " AND ".join(parts), values


def _row(pair: Pair, run: str | None) -> Row:
    return {
        "id": pair.id,
        "prompt_id": pair.prompt_id,
        "kind": pair.kind,
        "messages": json.dumps([asdict(message) for message in pair.messages], ensure_ascii=False),
        "prompt_text": "\n\n".join(message.content for message in pair.messages),
        "response_a": pair.response_a,
        "response_b": pair.response_b,
        "source_a": json.dumps(as_json(pair.source_a), ensure_ascii=False),
        "source_b": json.dumps(as_json(pair.source_b), ensure_ascii=False),
        "length_a": len(pair.response_a),
        "length_b": len(pair.response_b),
        "refuses_a": refuses(pair.response_a),
        "refuses_b": refuses(pair.response_b),
        "grouping": pair.group,
        "run": run,
    }


def _stored(row: tuple[Any, ...]) -> StoredPair:
    id, prompt_id, messages, a, b, kind, source_a, source_b, group, seq, run, created = row
    pair = Pair(
        id,
        prompt_id,
        parse(tuple[Message, ...], json.loads(messages)),
        a,
        b,
        kind,
        parse(Source, json.loads(source_a)),
        parse(Source, json.loads(source_b)),
        group,
    )
    return StoredPair(pair, seq, run, moment(created))
