"""Many exchanges at a time: no more than the server is to have at once, and than may be spent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pipeline.engines import Cancelled, EngineError, SpentError
from pipeline.engines.server.refusals import RefusedError
from pipeline.engines.spending import Purse

T = TypeVar("T")

POLL = 0.05
"""Seconds between two looks at whether an end was asked for, while a server says nothing."""


@dataclass(frozen=True)
class Job(Generic[T]):
    """An exchange to begin. `tokens`: what it may take, so that those in flight stay within the limit."""

    index: int
    tokens: int
    begin: Callable[[], Coroutine[Any, Any, T]]


async def work_through(
    jobs: Sequence[Job[T]],
    take: Callable[[int, T], Job[T] | None],
    at_once: int,
    purse: Purse,
    cancelled: Cancelled,
) -> list[int]:
    """Do the jobs, and those that `take` gives for each outcome, which go before those that wait.

    Everything is called in this one thread. Returns the indices of the jobs that a cancel left undone.
    Raises SpentError where the next one doesn't fit into what is left, and RefusedError, when those in flight
    have ended.
    """
    waiting, running = deque(jobs), dict[asyncio.Task[T], Job[T]]()
    failure: EngineError | None = None
    try:
        while waiting or running:
            if cancelled():
                return sorted(job.index for job in (*waiting, *running.values()))
            while waiting and not failure and len(running) < at_once and purse.holds(waiting[0].tokens):
                job = waiting.popleft()
                purse.reserved += job.tokens
                running[asyncio.create_task(job.begin())] = job
            if not running:
                raise failure or purse.empty(waiting[0].tokens)
            done, _ = await asyncio.wait(running, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
            # One that failed ends it all: what came with it is paid for, and taken first.
            for task in sorted(done, key=_failed):
                job = running.pop(task)
                purse.reserved -= job.tokens
                try:
                    after = take(job.index, task.result())
                except (RefusedError, SpentError) as error:
                    # The server still answers: what is on its way is paid for, and is to be kept.
                    failure, after = failure or error, job
                if after:
                    waiting.appendleft(after)
        return []
    finally:
        purse.reserved -= sum(job.tokens for job in running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _failed(task: asyncio.Task[T]) -> bool:
    return task.cancelled() or task.exception() is not None
