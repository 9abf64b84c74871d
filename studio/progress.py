"""How far the session has come round the loop, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from studio.store.constitutions import PROJECT
from studio.store.database import Store


@dataclass(frozen=True)
class Progress:
    """What the session holds."""

    versions: int = 0  # saved, of all its constitutions, the shipped ones included
    edits: int = 0  # of these, the ones that a person saved
    chains: int = 0
    finished: int = 0  # of these, the ones that can be judged
    judged: int = 0  # of these, the ones that a person accepted or rejected
    runs: int = 0


@dataclass(frozen=True)
class Action:
    """One thing worth doing now, and the page where it is done."""

    label: str
    path: str
    why: str


def progress(store: Store) -> Progress:
    """Live counts from the store."""
    (row,) = store.query(
        "SELECT count(*), count(*) FILTER (author <> $project), (SELECT count(*) FROM chains), "
        "(SELECT count(*) FROM chain_status WHERE status = 'finished'), "
        "(SELECT count(*) FROM current_verdicts WHERE verdict <> 'none'), "
        "(SELECT count(*) FROM run_status WHERE state <> 'deleted') FROM constitution_versions",
        {"project": PROJECT},
    )
    return Progress(*(int(number) for number in row))


def next_action(now: Progress) -> Action:
    """The next useful thing: the first stage of the loop that is still empty, else its last."""
    if now.chains == 0:
        return Action("Watch a chain", "chains", "See the model answer, criticise itself and revise.")
    if now.edits == 0:
        return Action(
            "Edit a principle", "constitution", "Change what the critiques look for, then look again."
        )
    if now.judged < now.finished:
        return Action("Read and judge", "reading", "Accept the chains that are fit to train on.")
    return Action("Run another chain", "chains", "See what the constitution in force changes.")


def plural(count: int, noun: str) -> str:
    """`1 chain`, `2 chains`, `1,204 chains`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
