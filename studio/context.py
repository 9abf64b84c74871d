"""What every page gets: the session's store and folder, its live chains, and who is at the keyboard."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipeline import constitution
from pipeline.engines.remote import Worker
from studio.bundled_fetch import BundledFetch
from studio.live import LiveChains
from studio.store import chains, constitutions
from studio.store.database import Store

if TYPE_CHECKING:
    import gradio as gr


@dataclass
class Studio:
    """One running studio: one session, one store, one model process (started on first use)."""

    store: Store
    session: str
    folder: Path
    live: LiveChains = field(init=False)
    bundled: BundledFetch = field(init=False)

    def __post_init__(self) -> None:
        log = self.folder / "inference.log"
        self.live = LiveChains(self.store, Worker(log))
        self.bundled = BundledFetch(log)

    @classmethod
    def open(cls, folder: Path, session: str) -> Self:
        """Open a session: its store, with the shipped constitutions in it and nothing left running."""
        store = Store.open(folder)
        chains.mark_interrupted(store)
        constitutions.seed_shipped(
            store, [constitution.load(path) for path in constitution.shipped().values()]
        )
        return cls(store, session, folder)

    def close(self) -> None:
        """Stop what runs, keep what there is, free the model, and close the store."""
        self.bundled.stop()
        self.live.close()
        self.store.close()


def author(request: gr.Request) -> str:
    """The name that a person's edits are kept under: their login, or `local` where nobody logs in."""
    return request.username or "local"
