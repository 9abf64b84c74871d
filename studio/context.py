"""What every page gets: the session's store and folder, its live chains and runs, and who is there."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pipeline import constitution
from pipeline.engines.remote import Worker
from pipeline.errors import UserError
from studio.battling import LiveBattles
from studio.bundled_fetch import BundledFetch
from studio.chatting import LiveChats
from studio.jobs.exporting import Exports
from studio.jobs.importing import RUNS
from studio.jobs.jobs import Jobs
from studio.live import LiveChains
from studio.moving import Mover
from studio.progress import progress
from studio.store import chains, constitutions, conversations
from studio.store.database import Store
from studio.store.migrate import FILE
from studio.store.sessions import session_folder
from studio.summary import keep_summary

if TYPE_CHECKING:
    import gradio as gr

log = logging.getLogger(__name__)


@dataclass
class Studio:
    """One running studio: one session, one store, one model process (started on first use)."""

    store: Store
    session: str
    folder: Path
    mover: Mover = field(default_factory=Mover)
    live: LiveChains = field(init=False)
    chats: LiveChats = field(init=False)
    battles: LiveBattles = field(init=False)
    jobs: Jobs = field(init=False)
    bundled: BundledFetch = field(init=False)
    exports: Exports = field(init=False)

    def __post_init__(self) -> None:
        log = self.folder / "inference.log"
        self.live = LiveChains(self.store, Worker(log))
        # Looked up at each use: a test puts a scripted one in its place.
        self.chats = LiveChats(self.store, lambda *asked: self.live.load(*asked))
        self.battles = LiveBattles(self.store, lambda *asked: self.live.load(*asked))
        self.bundled = BundledFetch(log)
        # The store's own path: it is absolute, and a run's process is known by it.
        self.jobs = Jobs(self.store, self.store.folder / RUNS, release=self.live.worker.release)
        self.exports = Exports(self.store.folder)

    @classmethod
    def open(cls, folder: Path, session: str) -> Self:
        """Open a session: its store, with the shipped constitutions in it and nothing left running."""
        store = Store.open(folder)
        try:
            if store.read_only:  # it stays as it was recorded
                return cls(store, session, folder)
            chains.mark_interrupted(store)
            conversations.mark_interrupted(store)
            constitutions.seed_shipped(
                store, [constitution.load(path) for path in constitution.shipped().values()]
            )
            studio = cls(store, session, folder)
            studio.jobs.start()
        except BaseException:
            store.close()  # or nobody could open it again while this process lives
            raise
        return studio

    def close(self) -> None:
        """Stop what is written live, free the model, and close the store; runs go on in their processes.

        Twice is harmless.
        """
        self.jobs.close()
        self.bundled.stop()
        self.exports.stop()
        self.chats.close()
        self.battles.close()
        self.live.close()
        if self.store.closed:
            return
        held = progress(self.store)
        self.store.close()
        keep_summary(self.folder, held)


def moved(studio: Studio) -> Studio | None:
    """What to serve after `studio`, which is closed by now; None when nobody asked for another session.

    When the move fails, it is the session of before again, with the reason for its page.
    """
    move = studio.mover.move
    if move is None:
        return None
    serial, before = studio.mover.serial + 1, studio.mover.before
    try:
        news = move.between()
        opened = Studio.open(session_folder(studio.folder.parent, move.session), move.session)
        opened.mover = Mover(serial, news, before=studio.session if opened.store.read_only else before)
    except Exception as error:  # a session may hold anything, and everybody's studio is at stake
        if not (studio.folder / FILE).exists():
            raise  # there is no way back, and opening would make an empty session of that name
        why = str(error)
        if not isinstance(error, UserError):
            log.exception("the session %s could not be opened", move.session)
            why = f"“{move.session}” can't be opened: it is damaged ({error!r}). Restore a backup of it."
        opened = Studio.open(studio.folder, studio.session)
        opened.mover = Mover(serial, why, failed=True, before=before)
    return opened


def author(request: gr.Request) -> str:
    """The name that a person's edits are kept under: their login, or `local` where nobody logs in."""
    return request.username or "local"
