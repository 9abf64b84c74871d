"""Runs that wait for a device: one works on each, the others stand in a line that people can change.

A run of a recipe waits for the run before it too, and keeps nobody from a device meanwhile.
"""

from __future__ import annotations

from studio.store import runs
from studio.store.database import Reader, Store, Tx
from studio.store.runs import ACTIVE, Run


def enqueue(tx: Tx, run: str) -> None:
    """Put a run, which is said to wait, at the end of the line."""
    runs.put(tx, run)


def waiting(store: Reader) -> list[Run]:
    """The line, the next one first."""
    places = runs.places(store)
    return sorted(runs.in_states(store, ["waiting"]), key=lambda run: places.get(run.id, 0))


def move(store: Store, id: str, by: int) -> bool:
    """Move a waiting run up (`by` -1) or down (1) the line; False where there is nothing to pass."""
    with store.tx() as tx:
        line = [run.id for run in waiting(tx)]
        if id not in line or not 0 <= line.index(id) + by < len(line):
            return False
        other = line[line.index(id) + by]
        places = runs.places(tx)
        runs.put(tx, id, places[other])
        runs.put(tx, other, places[id])
    return True


def ready(store: Reader, devices: tuple[str, ...]) -> list[tuple[Run, str]]:
    """The runs of the line that may start now, each with its device, or the several that it asks for.

    One that waits for a certain device keeps it from those behind it, or it might wait for ever.
    """
    taken: set[str] = set()
    for run in runs.in_states(store, ACTIVE):
        process = runs.process(store, run.id)
        taken.update(process.device.split(",") if process else devices[:1])
    found = []
    for run in waiting(store):
        if held_back(store, run):
            continue
        wanted = asked_for(run, devices) or [device for device in devices if device not in taken][:1]
        if wanted and not taken & set(wanted):
            found.append((run, ",".join(wanted)))
        taken.update(wanted)
    return found


def held_back(store: Reader, run: Run) -> bool:
    """Whether a run follows one that is not whole yet, or that was deleted."""
    after = run.config.get("recipe", {}).get("after")
    before = runs.load(store, after) if after else None
    return bool(after) and (before is None or before.state != "done")


def behind(store: Reader, id: str) -> list[Run]:
    """The waiting runs of a recipe that come after this one, and can't begin without it."""
    after = {run.config.get("recipe", {}).get("after"): run for run in waiting(store)}
    found = []
    while run := after.get(id):
        found.append(run)
        id = run.id
    return found


def asked_for(run: Run, devices: tuple[str, ...]) -> list[str]:
    """The devices that a run is to work on, of those that are here; none: whichever is free."""
    return [device for device in devices if device in str(run.config.get("gpus") or "").split(",") and device]
