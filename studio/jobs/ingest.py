"""What runs write, into the store: each row exactly once, whatever dies.

A file is read from the stored offset to its last newline. Its rows and the new offset are committed
together, so a row is in the store if and only if the offset is behind it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.records import Chain, parse
from studio.store import chains, runs
from studio.store.chains import NewChain
from studio.store.database import Store, Tx
from studio.store.runs import Event, NewRun

EVENTS = "events.jsonl"
# The first grows, and gives way to the second, which holds the same and what little was not yet read.
CHAINS = ("outputs/chains.jsonl.part", "outputs/chains.jsonl")
CHUNK = 1 << 18  # bytes: as much as goes into one transaction, which others wait for

log = logging.getLogger(__name__)


def ingest(store: Store, run: NewRun, folder: Path) -> bool:
    """Read all that is new in a run's folder; whether there was anything."""
    news = [_read(store, run, folder, file) for file in (EVENTS, *CHAINS)]  # all of them, in this order
    return any(news)


def _read(store: Store, run: NewRun, folder: Path, file: str) -> bool:
    any_new = False
    while True:
        at = runs.offset(store, run.id, file)
        if at and _size(folder / file) < at:
            at = 0  # written anew, or cut by a crash of the machine: what is there already is skipped
        data = whole_lines(folder / file, at)
        if not data:
            return any_new
        take(store, run, file, at, data)
        any_new = True


def whole_lines(path: Path, start: int, chunk: int = CHUNK) -> bytes:
    """The next lines of a file from a byte on, without a last one that is not whole yet.

    As many as fit into a chunk, but at least one, however long.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(chunk)
            while b"\n" not in data:
                more = file.read(chunk)
                if not more:
                    return b""
                data += more
    except FileNotFoundError:
        return b""
    return data[: data.rfind(b"\n") + 1]


def take(store: Store, run: NewRun, file: str, at: int, data: bytes) -> None:
    """Store whole lines that were read at byte `at`. Twice is harmless."""
    rows = _rows(run, file, data)
    with store.tx() as tx:
        if file == EVENTS:
            runs.add_events(tx, run.id, [event for row in rows if (event := _event(row))])
        else:
            _add_chains(tx, run, [chain for row in rows if (chain := _chain(run, row))])
        runs.set_offset(tx, run.id, file, at + len(data))


def _rows(run: NewRun, file: str, data: bytes) -> list[dict[str, Any]]:
    rows = []
    for line in data.splitlines():
        try:
            row = json.loads(line)
        except ValueError:  # two halves of lines, where a kill left one without its end
            log.warning("run %s: a line of %s is not JSON", run.id, file)
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _event(row: dict[str, Any]) -> Event | None:
    try:
        known = {"seq": int(row["seq"]), "attempt": int(row["attempt"]), "kind": str(row["kind"])}
        rest = {name: value for name, value in row.items() if name not in (*known, "v", "time")}
        return Event(**known, time=str(row["time"]), data=rest)  # type: ignore[arg-type]
    except (KeyError, ValueError, TypeError):
        return None


def _chain(run: NewRun, row: dict[str, Any]) -> Chain | None:
    try:
        return parse(Chain, row)
    except ValueError as error:
        log.warning("run %s: a row that is no chain: %s", run.id, error)
        return None


def _add_chains(tx: Tx, run: NewRun, some: Sequence[Chain]) -> None:
    ids = [chain.id for chain in some]
    there = {id for (id,) in tx.query("SELECT id FROM chains WHERE id IN (SELECT unnest(?))", [ids])}
    for chain in some:
        if chain.id not in there:
            there.add(chain.id)
            chains.insert(tx, _stored(run, chain), chain.steps, "finished")


def _stored(run: NewRun, chain: Chain) -> NewChain:
    config = run.config
    return NewChain(
        id=chain.id,
        prompt_id=chain.prompt_id,
        messages=chain.messages,
        constitution=chain.constitution,
        constitution_name=run.constitution_name or "",
        model=chain.model,
        critic=chain.critic,
        seed=chain.seed,
        revisions=int(config["revisions"]),
        temperature=float(config["temperature"]),
        top_p=float(config["top_p"]),
        max_tokens=int(config["max_tokens"]),
        form=str(config["form"] or ""),
        author=run.author,
        parent=chain.parent,
        branch_step=chain.branch_step,
        run=run.id,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
