"""A studio without its pages, to be killed: goes on with every chain, and starts new ones for ever.

Says on stdout `start ID` and `step ID POSITION` only once the row is committed, and `worker PID`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pipeline import prompts
from pipeline.configs import Drawing
from studio import live
from studio.context import Studio
from studio.store import chains, constitutions
from studio.store.chains import ChainFilter
from tests.studio.hands_target import say

DRAWING = Drawing(critic="bundled", revisions=1, max_tokens=6)


def announced(add_step: Any) -> Any:
    def add(store: Any, chain: str, position: int, step: Any) -> None:
        add_step(store, chain, position, step)
        say("step", chain, position)

    return add


def main(folder: Path) -> None:
    studio = Studio.open(folder, "killed")
    studio.live.load("bundled")
    say("worker", studio.live.worker.pid)
    write(studio, DRAWING)


def write(studio: Studio, drawing: Drawing) -> None:
    """Go on with each chain, and then begin new ones."""
    live.chains.add_step = announced(chains.add_step)  # type: ignore[assignment]
    constitution = constitutions.latest(studio.store, "minimal")
    assert constitution
    for row in chains.list_chains(studio.store, ChainFilter(), 10_000, 0):
        if row.status != "finished":
            studio.live.go_on(row.id)
            wait(studio, row.id)
    while True:
        id = studio.live.start(prompts.from_text("Say hello."), constitution, drawing, "killer")
        say("start", id)
        wait(studio, id)


def wait(studio: Studio, id: str) -> None:
    if writing := studio.live.writing(id):
        writing.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
