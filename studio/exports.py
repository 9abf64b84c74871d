"""Accepted chains as files to train on: SL-CAI's data (paper section 3.2), each row with its trace.

Three forms: `messages` for any chat trainer, the columns of the CAI sets on the hub, and our own
chains.jsonl. Parquet is written by DuckDB, in memory: nothing of the session is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

from pipeline.critique import as_row
from pipeline.records import Chain, Constitution, Principle, as_json
from pipeline.templates import ROLES
from studio.store.bulk import insert
from studio.store.chains import StoredChain
from studio.store.database import Tx
from studio.store.verdicts import Verdict

Form = Literal["messages", "cai", "chains"]
Row = Mapping[str, Any]

ROWS = 2000  # of a statement
MESSAGES = {
    "messages": "STRUCT(role VARCHAR, content VARCHAR)[]",
    "chain_id": "VARCHAR",
    "prompt_id": "VARCHAR",
    "constitution": "VARCHAR",
    "constitution_name": "VARCHAR",
    "model": "VARCHAR",
    "critic": "VARCHAR",
    "seed": "BIGINT",
    "principles": "VARCHAR[]",
    "verdict_author": "VARCHAR",
    "note": "VARCHAR",
}
CAI = dict.fromkeys(
    (
        "init_prompt",
        "init_response",
        "critic_prompt",
        "critic_response",
        "revision_prompt",
        "revision_response",
    ),
    "VARCHAR",
)


@dataclass(frozen=True)
class Accepted:
    """A chain, the judgement on it, and the constitution it was made under (None if not in the session)."""

    chain: StoredChain
    verdict: Verdict
    constitution: Constitution | None = None


def messages_row(item: Accepted) -> dict[str, Any]:
    """The prompt's messages and the last answer as the assistant's: what SL-CAI is trained on."""
    chain = item.chain
    answer = {"role": "assistant", "content": final(chain)}
    return {
        "messages": [*(as_json(message) for message in chain.messages), answer],
        "chain_id": chain.id,
        "prompt_id": chain.prompt_id,
        "constitution": chain.constitution,
        "constitution_name": chain.constitution_name,
        "model": chain.model,
        "critic": chain.critic,
        "seed": chain.seed,
        "principles": list(dict.fromkeys(step.principle for step in chain.steps if step.principle)),
        "verdict_author": item.verdict.author,
        "note": item.verdict.note,
    }


def cai_row(item: Accepted) -> dict[str, str]:
    """The columns of the hub's CAI sets, as in HuggingFaceH4/cai-conversation-harmless.

    They hold one round. Of a chain of several, this is the first response, and the critique and revision
    of the last round, each with the request of its principle. What a chain lacks is empty. A prompt of
    several turns becomes a transcript.
    """
    steps = item.chain.steps
    critique = next((step for step in reversed(steps) if step.kind == "critique"), None)
    revision = next((step for step in reversed(steps) if step.kind == "revision"), None)
    asked, mended = (_principle(item, step.principle if step else None) for step in (critique, revision))
    return {
        "init_prompt": _prompt(item.chain),
        "init_response": steps[0].text,
        "critic_prompt": (asked.critique_request if asked else None) or "",
        "critic_response": critique.text if critique else "",
        "revision_prompt": (mended.revision_request if mended else None) or "",
        "revision_response": revision.text if revision else "",
    }


def record(item: Accepted) -> Chain:
    """The chain as the pipeline knows it, for `cai` to read."""
    chain, verdict = item.chain, item.verdict
    return Chain(
        id=chain.id,
        prompt_id=chain.prompt_id,
        messages=chain.messages,
        constitution=chain.constitution,
        model=chain.model,
        critic=chain.critic,
        seed=chain.seed,
        steps=chain.steps,
        parent=chain.parent,
        branch_step=chain.branch_step,
        verdict=None if verdict.verdict == "none" else verdict.verdict,
        note=verdict.note,
        critiques=chain.critiques,
    )


def rows(items: Iterable[Accepted], form: Form) -> list[Row]:
    """One row a chain, in the given form."""
    if form == "messages":
        return [messages_row(item) for item in items]
    return [cai_row(item) if form == "cai" else as_row(record(item)) for item in items]


def write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    """One JSON object a line, in ASCII: no reader can take a character of a text for a line's end."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def write_parquet(path: Path, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    """Write rows under typed columns (name → DuckDB type)."""
    target = str(path).replace("'", "''")
    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE export ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
        for at in range(0, len(rows), ROWS):
            insert(Tx(con), "export", rows[at : at + ROWS])
        con.execute(f"COPY export TO '{target}' (FORMAT parquet)")


def write(folder: Path, name: str, items: Iterable[Accepted], form: Form, parquet: bool = False) -> Path:
    """Write a file of accepted chains and return its path. Parquet is for the two training forms."""
    ready = rows(items, form)
    if parquet and form != "chains":
        path = folder / f"{name}-{form}.parquet"
        write_parquet(path, ready, MESSAGES if form == "messages" else CAI)
    else:
        path = folder / ("chains.jsonl" if form == "chains" else f"{name}-{form}.jsonl")
        write_jsonl(path, ready)
    return path


def final(chain: StoredChain) -> str:
    """The last answer: the last revision, or the response where nothing was revised."""
    return next(step.text for step in reversed(chain.steps) if step.kind != "critique")


def _principle(item: Accepted, id: str | None) -> Principle | None:
    every = item.constitution.principles if item.constitution else ()
    return next((principle for principle in every if principle.id == id), None)


def _prompt(chain: StoredChain) -> str:
    if len(chain.messages) == 1:
        return chain.messages[0].content
    return "\n\n".join(f"{ROLES[message.role]}: {message.content}" for message in chain.messages)
