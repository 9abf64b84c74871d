"""At the studio's start: what became of the runs that an earlier studio left at work.

A run's process lives on without its studio. One that still works is taken over as it is; what a dead
one has left is read by the ordinary round, which then says how it ended (`lost` where nobody knows).
"""

from __future__ import annotations

from pathlib import Path

from studio.jobs import launcher
from studio.store import runs
from studio.store.database import Store
from studio.store.runs import ACTIVE


def recover(store: Store, folder: Path) -> None:
    """Find the processes of the runs in `folder` that are said to be at work."""
    for run in runs.in_states(store, ACTIVE):
        known = runs.process(store, run.id)
        if known and known.holder.alive() and run.state != "starting":
            continue
        # A studio that died between starting a process and noting it.
        found = launcher.find(folder / run.id)
        with store.tx() as tx:
            if found:
                runs.add_process(tx, run.id, found, known.device if known else launcher.devices()[0])
                runs.set_state(tx, run.id, "running", ["starting"])
            else:
                runs.set_state(tx, run.id, "waiting", ["starting"])
