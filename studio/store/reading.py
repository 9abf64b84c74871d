"""The finished chains in the order they are read, oldest first, and those accepted for training."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from studio.store.chains import (
    COLUMNS,
    MATCHING,
    STEP_COLUMNS,
    ChainFilter,
    StoredChain,
    parameters,
    stored,
)
from studio.store.database import Reader
from studio.store.verdicts import Judgement, Verdict

# Put together from constants only; values go in as parameters.
QUEUE = f"SELECT seq, id, verdict FROM ({MATCHING}) ORDER BY seq"  # noqa: S608
CHAINS = f"""
SELECT v.verdict, v.note, v.author, {", ".join("c." + column for column in COLUMNS)},
    epoch_us(c.created), s.status, s.detail, epoch_us(greatest(s.time, w.written))
FROM chains c JOIN chain_status s ON s.chain = c.id JOIN current_verdicts v ON v.chain = c.id
    LEFT JOIN (SELECT chain, max(written) AS written FROM steps GROUP BY chain) w ON w.chain = c.id
WHERE c.id IN (SELECT id FROM ({MATCHING})) ORDER BY c.seq
"""  # noqa: S608
STEPS = f"""
SELECT chain, {", ".join(STEP_COLUMNS)} FROM current_steps
WHERE chain IN (SELECT unnest(?::VARCHAR[])) ORDER BY chain, position
"""  # noqa: S608


@dataclass(frozen=True)
class Entry:
    """One chain of the queue; `seq` orders it."""

    seq: int
    id: str
    verdict: Judgement


@dataclass(frozen=True)
class Queue:
    """All finished chains that match, and the verdict (if any) that narrows what is gone through."""

    entries: tuple[Entry, ...]
    verdict: str | None = None

    @cached_property
    def shown(self) -> tuple[Entry, ...]:
        """What is gone through."""
        return tuple(e for e in self.entries if self.verdict in (None, e.verdict))

    def count(self, verdict: Judgement) -> int:
        """How many of all have this verdict."""
        return sum(entry.verdict == verdict for entry in self.entries)

    @property
    def judged(self) -> int:
        """How many of all are accepted or rejected."""
        return len(self.entries) - self.count("none")

    def position(self, id: str) -> int | None:
        """The chain's place among those shown, from 1; None if it is not one of them."""
        return next((at for at, entry in enumerate(self.shown, 1) if entry.id == id), None)

    def after(self, id: str, wrap: bool = False) -> str | None:
        """The next one shown; with `wrap`, after the last the first, but never `id` itself."""
        seq = self._seq(id)
        later = [entry.id for entry in self.shown if entry.seq > seq]
        if wrap:
            later += [entry.id for entry in self.shown if entry.seq < seq]
        return later[0] if later else None

    def before(self, id: str) -> str | None:
        """The one shown before."""
        seq = self._seq(id)
        return next((entry.id for entry in reversed(self.shown) if entry.seq < seq), None)

    def _seq(self, id: str) -> int:
        # A chain that the filter leaves out has no place: start from the first.
        return next((entry.seq for entry in self.entries if entry.id == id), -1)


def queue(store: Reader, filter: ChainFilter) -> Queue:
    """What there is to read. Counts are over all that match but for the verdict, which only narrows."""
    every = replace(filter, status="finished", verdict=None)
    rows = store.query(QUEUE, parameters(every))
    return Queue(tuple(Entry(*row) for row in rows), filter.verdict or None)


def accepted(store: Reader, filter: ChainFilter) -> list[tuple[StoredChain, Verdict]]:
    """Every finished chain that matches and was accepted, oldest first, whole."""
    wanted = replace(filter, status="finished", verdict="accepted")
    rows = store.query(CHAINS, parameters(wanted))
    steps: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    # Of those that were found, and not of what is accepted by now.
    for chain, *step in store.query(STEPS, [[row[3] for row in rows]]):
        steps[chain].append(tuple(step))
    return [(stored(row[3:], steps[row[3]]), Verdict(*row[:3])) for row in rows]
