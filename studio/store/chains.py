"""Chains: a prompt, then response, critique and revision, with all that made them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

from pipeline.records import Message, Step, parse
from studio.store.database import Reader, Store, Tx, moment
from studio.store.verdicts import Judgement

Status = Literal["running", "finished", "stopped", "failed", "interrupted"]
SNIPPET = 160  # characters of a prompt in a list


@dataclass(frozen=True, kw_only=True)
class NewChain:
    """What is settled before the first token: enough to run the chain again."""

    id: str
    prompt_id: str
    messages: tuple[Message, ...]
    constitution: str  # content hash
    constitution_name: str
    model: str
    critic: str
    seed: int
    revisions: int
    temperature: float
    top_p: float
    max_tokens: int
    form: str
    author: str
    parent: str | None = None
    branch_step: int | None = None
    run: str | None = None
    critiques: bool = True


@dataclass(frozen=True, kw_only=True)
class StoredChain(NewChain):
    """A chain as it stands: `steps` are the newest text of each position, in order."""

    created: datetime
    steps: tuple[Step, ...]
    status: Status
    detail: str
    updated: datetime


@dataclass(frozen=True)
class ChainFilter:
    """Which chains to list; an empty field lets all through. `text` is literal, whatever its case."""

    text: str | None = None
    principle: str | None = None
    model: str | None = None
    version: str | None = None
    constitution: str | None = None
    status: str | None = None
    verdict: str | None = None  # accepted, rejected, or none: not judged
    run: str | None = None


@dataclass(frozen=True)
class ChainRow:
    """A chain in a list: `prompt` is the start of the last message, on one line."""

    id: str
    prompt: str
    model: str
    constitution_name: str
    constitution: str
    status: Status
    steps: int
    principles: tuple[str, ...]
    created: datetime
    verdict: Judgement


@dataclass(frozen=True)
class FilterValues:
    """What occurs in this session.

    `versions` are pairs of constitution name and content hash; `runs` are id, name and when it was made,
    the newest first, also of a run that was deleted since.
    """

    principles: tuple[str, ...]
    models: tuple[str, ...]
    constitutions: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    runs: tuple[tuple[str, str, datetime], ...]


COLUMNS = tuple(column.name for column in fields(NewChain))
STEP_COLUMNS = tuple(column.name for column in fields(Step))

MATCHING = """
SELECT c.seq, c.id, c.created, c.messages, c.model, c.constitution_name, c.constitution, s.status,
    coalesce(v.verdict, 'none') AS verdict
FROM chains c JOIN chain_status s ON s.chain = c.id LEFT JOIN current_verdicts v ON v.chain = c.id
WHERE ($model::VARCHAR IS NULL OR c.model = $model)
  AND ($version::VARCHAR IS NULL OR c.constitution = $version)
  AND ($constitution::VARCHAR IS NULL OR c.constitution_name = $constitution)
  AND ($status::VARCHAR IS NULL OR s.status = $status)
  AND ($verdict::VARCHAR IS NULL OR coalesce(v.verdict, 'none') = $verdict)
  AND ($run::VARCHAR IS NULL OR c.run = $run)
  AND ($principle::VARCHAR IS NULL OR c.id IN (SELECT chain FROM current_steps WHERE principle = $principle))
  AND ($text::VARCHAR IS NULL OR contains(lower(c.prompt_text), lower($text)) OR c.id IN (
        SELECT chain FROM current_steps WHERE $text IS NOT NULL AND contains(lower(text), lower($text))))
"""

# The statements below are put together from constants only; values go in as parameters.
COUNT = f"SELECT count(*) FROM ({MATCHING})"  # noqa: S608
PAGE = f"""
WITH page AS ({MATCHING} ORDER BY c.seq DESC LIMIT $limit OFFSET $offset),
turns AS (
    SELECT chain, count(*) AS steps,
        list(principle ORDER BY position) FILTER (principle IS NOT NULL) AS principles
    FROM current_steps WHERE chain IN (SELECT id FROM page) GROUP BY chain)
SELECT p.id, p.messages, p.model, p.constitution_name, p.constitution, p.status,
    coalesce(t.steps, 0), t.principles, epoch_us(p.created), p.verdict
FROM page p LEFT JOIN turns t ON t.chain = p.id ORDER BY p.seq DESC
"""  # noqa: S608
LOAD = f"""
SELECT {", ".join("c." + column for column in COLUMNS)}, epoch_us(c.created), s.status, s.detail,
    epoch_us(greatest(s.time, (SELECT max(written) FROM steps WHERE chain = $id)))
FROM chains c JOIN chain_status s ON s.chain = c.id WHERE c.id = $id
"""  # noqa: S608
STEPS = f"SELECT {', '.join(STEP_COLUMNS)} FROM current_steps WHERE chain = ? ORDER BY position"  # noqa: S608


def new_id(store: Reader) -> str:
    """An id for a new chain: a UUIDv7, so ids sort by time, to the millisecond."""
    return str(store.query("SELECT uuidv7()")[0][0])


def start_chain(store: Store, chain: NewChain, steps: Sequence[Step] = ()) -> None:
    """Add a chain that runs from now on, with the steps that it starts with (a branch's).

    Raises ValueError if the id is taken.
    """
    with store.tx() as tx:
        if _exists(tx, chain.id):
            raise ValueError(f"there is a chain {chain.id} already")
        insert(tx, chain, steps, "running")


def insert(tx: Tx, chain: NewChain, steps: Sequence[Step], status: Status) -> None:
    """Add a chain, its steps and its status. The caller has seen that the id is free."""
    values = {column: getattr(chain, column) for column in COLUMNS}
    values["messages"] = json.dumps([asdict(message) for message in chain.messages], ensure_ascii=False)
    values["prompt_text"] = "\n\n".join(message.content for message in chain.messages)
    tx.query(_insert("chains", tuple(values)), list(values.values()))
    for position, step in enumerate(steps):
        _add_step(tx, chain.id, position, step)
    _add_event(tx, chain.id, status, "")


def add_step(store: Store, chain: str, position: int, step: Step) -> None:
    """Write the step at a position (from 0); it replaces what was there, which is kept as history.

    Raises ValueError if there is no such chain.
    """
    with store.tx() as tx:
        _require(tx, chain)
        _add_step(tx, chain, position, step)


def add_event(store: Store, chain: str, status: Status, detail: str = "") -> None:
    """Set a chain's status; `detail` says why, in words. Raises ValueError if there is no such chain."""
    with store.tx() as tx:
        _require(tx, chain)
        _add_event(tx, chain, status, detail)


def load_chain(store: Reader, id: str) -> StoredChain | None:
    """A whole chain; None if there is none of that id."""
    rows = store.query(LOAD, {"id": id})
    return stored(rows[0], store.query(STEPS, [id])) if rows else None


def stored(row: tuple[Any, ...], steps_rows: Sequence[tuple[Any, ...]]) -> StoredChain:
    """A chain from its row (COLUMNS, created, status, detail, updated) and those of its steps."""
    values: dict[str, Any] = dict(zip(COLUMNS, row, strict=False))
    values["messages"] = parse(tuple[Message, ...], json.loads(values["messages"]))
    created, status, detail, updated = row[len(COLUMNS) :]
    steps = (dict(zip(STEP_COLUMNS, step, strict=True)) for step in steps_rows)
    return StoredChain(
        **values,
        created=moment(created),
        steps=tuple(parse(Step, step) for step in steps),
        status=status,
        detail=detail,
        updated=moment(updated),
    )


def list_chains(store: Reader, filter: ChainFilter, limit: int, offset: int) -> list[ChainRow]:
    """One page of the chains that match, newest first."""
    rows = store.query(PAGE, parameters(filter) | {"limit": limit, "offset": offset})
    return [
        ChainRow(
            id=id,
            prompt=_snippet(messages),
            model=model,
            constitution_name=name,
            constitution=version,
            status=status,
            steps=steps,
            principles=tuple(dict.fromkeys(principles or ())),
            created=moment(created),
            verdict=verdict,
        )
        for id, messages, model, name, version, status, steps, principles, created, verdict in rows
    ]


def count_chains(store: Reader, filter: ChainFilter) -> int:
    """How many chains match."""
    return int(store.query(COUNT, parameters(filter))[0][0])


def filter_values(store: Reader) -> FilterValues:
    """What the filters of the list can be set to."""
    principles = store.query(
        "SELECT DISTINCT principle FROM current_steps WHERE principle IS NOT NULL ORDER BY principle"
    )
    models = store.query("SELECT DISTINCT model FROM chains ORDER BY model")
    versions = store.query("SELECT DISTINCT constitution_name, constitution FROM chains ORDER BY ALL")
    runs = store.query(
        "SELECT id, name, epoch_us(created) FROM runs WHERE id IN (SELECT run FROM chains) ORDER BY seq DESC"
    )
    return FilterValues(
        principles=tuple(value for (value,) in principles),
        models=tuple(value for (value,) in models),
        constitutions=tuple(dict.fromkeys(name for name, _ in versions)),
        versions=tuple((name, version) for name, version in versions),
        runs=tuple((id, name, moment(created)) for id, name, created in runs),
    )


def mark_interrupted(store: Store) -> int:
    """At the studio's start: no chain runs yet, so those said to run were cut off. Returns how many."""
    with store.tx() as tx:
        rows = tx.query(
            "INSERT INTO chain_events (chain, status, detail) "
            "SELECT chain, 'interrupted', 'The studio stopped while this chain ran.' "
            "FROM chain_status WHERE status = 'running' RETURNING chain"
        )
    return len(rows)


def parameters(filter: ChainFilter) -> dict[str, object]:
    """What MATCHING takes."""
    return {key: value or None for key, value in asdict(filter).items()}


def _snippet(messages: str) -> str:
    contents = [message["content"] for message in json.loads(messages)]
    line = " ".join(str(contents[-1]).split()) if contents else ""
    return line if len(line) <= SNIPPET else line[: SNIPPET - 1] + "…"


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


def _exists(tx: Tx, chain: str) -> bool:
    return bool(tx.query("SELECT 1 FROM chains WHERE id = ? LIMIT 1", [chain]))


def _require(tx: Tx, chain: str) -> None:
    if not _exists(tx, chain):
        raise ValueError(f"there is no chain {chain}")


def _add_step(tx: Tx, chain: str, position: int, step: Step) -> None:
    row = {"chain": chain, "position": position, **asdict(step)}
    tx.query(_insert("steps", tuple(row)), list(row.values()))


def _add_event(tx: Tx, chain: str, status: str, detail: str) -> None:
    tx.query("INSERT INTO chain_events (chain, status, detail) VALUES (?, ?, ?)", [chain, status, detail])
