"""Families of chains: a chain, what it branched from, and what branched from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.records import Author, StepKind
from studio.store.chains import Status
from studio.store.database import Reader, moment
from studio.store.verdicts import Judgement

# UNION, not UNION ALL: even a family that somehow went in a circle ends.
FAMILY = """
WITH RECURSIVE up AS (
    SELECT id, parent FROM chains WHERE id = $id
    UNION SELECT c.id, c.parent FROM chains c JOIN up ON c.id = up.parent),
family AS (
    SELECT id FROM up
    UNION SELECT c.id FROM chains c JOIN family f ON c.parent = f.id)
SELECT c.id, c.parent, c.branch_step, t.kind, t.author, c.seed, c.author, epoch_us(c.created), s.status,
    coalesce(v.verdict, 'none'),
    (SELECT count(*) FROM current_steps n
     WHERE n.chain = c.id AND n.kind = t.kind AND n.position <= c.branch_step)
FROM chains c JOIN chain_status s ON s.chain = c.id LEFT JOIN current_verdicts v ON v.chain = c.id
    LEFT JOIN current_steps t ON t.chain = c.id AND t.position = c.branch_step
WHERE c.id IN (SELECT id FROM family) ORDER BY c.seq
"""


@dataclass(frozen=True)
class Member:
    """One chain of a family. A branch has a parent, the step (from 0) that it branched at, and who wrote it.

    `kind` and `step_author` are None where that step is not written yet; it is the `number`-th of its kind.
    """

    id: str
    parent: str | None
    branch_step: int | None
    kind: StepKind | None
    step_author: Author | None
    seed: int
    author: str
    created: datetime
    status: Status
    verdict: Judgement
    number: int


def family(store: Reader, id: str) -> list[Member]:
    """The chain and all its kin, oldest first; alone if it has none, empty if there is no such chain."""
    rows = store.query(FAMILY, {"id": id})
    return [
        Member(id, parent, at, kind, writer, seed, author, moment(created), status, verdict, number)
        for id, parent, at, kind, writer, seed, author, created, status, verdict, number in rows
    ]
