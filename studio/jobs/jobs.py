"""The runs of a session: one thread that starts them, reads what they write, and sees how they end.

Pages only change states in the store (`stop`, `resume`, …) and wake the thread, so that whatever is
done to a process is done by one thread, and a restarted studio goes on from the states alone.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import UserError
from studio.jobs import queue, stages
from studio.jobs.ingest import ingest
from studio.jobs.launcher import CPU, Launcher, certain, log_tail
from studio.jobs.recover import recover
from studio.store import runs
from studio.store.database import Store
from studio.store.runs import ACTIVE, RESUMABLE, Run, State

ROUND = 0.5  # seconds between two looks

log = logging.getLogger(__name__)


class Jobs:
    """All runs of a session, below `folder`."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        *,
        grace: float | None = None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        """`release` frees what models are held for inference, before one is trained."""
        self.folder = folder
        self._release = release
        self._store = store
        self._grace = grace
        self._launcher = Launcher()
        self._asked: set[str] = set()
        self._killed: set[str] = set()
        self._troubled: set[str] = set()
        self._wake, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Take over what an earlier studio left, and go on with the queue."""
        self._thread.start()

    def close(self) -> None:
        """Look away. The runs go on; the next studio finds them."""
        self._closed.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """Look at once: something was put in the queue."""
        self._wake.set()

    def of(self, id: str) -> Path:
        """A run's folder, right below that of all runs. Raises UserError for an id that leads elsewhere."""
        if Path(id).name != id or id in ("", ".."):
            raise UserError(f"{id[:80]!r} can't be the id of a run")
        return self.folder / id

    def known(self, id: str) -> Path:
        """The folder of a run that a page names. Raises UserError where this session has no such run.

        What a browser sends need be no id: as a path it would lead out of the session.
        """
        if runs.load(self._store, id) is None:
            raise UserError("that run is not in this session any more: choose another, or reload the page")
        return self.of(id)

    def stop(self, id: str) -> None:
        """End a run and keep what it has; one that waits leaves the queue."""
        with self._store.tx() as tx:
            if not runs.set_state(tx, id, "cancelled", ["waiting"]):
                runs.set_state(tx, id, "stopping", ["starting", "running"])
        self.wake()

    def resume(self, id: str) -> None:
        """Put a run that ended early at the end of the queue: it goes on where it was.

        Raises UserError for one that is not imported to its end: any other state would say that it is.
        """
        with self._store.tx() as tx:
            if (run := runs.load(tx, id)) and run.detail == runs.BEGUN:
                raise UserError(f"{run.name}: {runs.BEGUN}")
            if runs.set_state(tx, id, "waiting", RESUMABLE):
                queue.enqueue(tx, id)
        self.wake()

    def move(self, id: str, by: int) -> None:
        """Move a waiting run up (-1) or down (1) the queue."""
        queue.move(self._store, id, by)

    def delete(self, id: str) -> bool:
        """Remove a run that is not at work, with its folder. Chains and pairs stay, labels count no more.

        Of a recipe, those that wait behind it go too: they could never begin. False where nothing went.
        Raises UserError for an id that is no folder's name.
        """
        with self._store.tx() as tx:
            after = queue.behind(tx, id)
            folders = [self.of(one) for one in (id, *(run.id for run in after))]
            gone = runs.set_state(tx, id, "deleted", ("waiting", "done", *RESUMABLE))
            if gone:
                for run in after:
                    runs.set_state(tx, run.id, "deleted", ("waiting",))
        if gone:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
        return gone

    def _run(self) -> None:
        recovered = False
        while not self._closed.is_set():
            self._wake.clear()
            try:
                if not recovered:
                    recover(self._store, self.folder)
                    recovered = True
                self.look()
            except Exception:  # a bug, or a full disk: the next round may do better, no round does not
                log.exception("the runs could not be looked after")
            self._wake.wait(ROUND)

    def look(self) -> None:
        """One round: read what is new, settle what has ended, start what may start."""
        for run in runs.in_states(self._store, ACTIVE):
            with self._alone(run):
                self._look_after(run)
        if queue.waiting(self._store):
            # Asked for only where it matters: to find a GPU takes a moment.
            for run, device in queue.ready(self._store, certain()):
                with self._alone(run):
                    self._begin(run, device)

    @contextmanager
    def _alone(self, run: Run) -> Iterator[None]:
        """A run that can't be looked after keeps no other waiting; the log has it once, not each round."""
        try:
            yield
            self._troubled.discard(run.id)
        except Exception:  # a bug, or a full disk
            if run.id not in self._troubled:
                self._troubled.add(run.id)
                log.exception("the run %s could not be looked after", run.id)

    def _begin(self, run: Run, device: str) -> None:
        with self._store.tx() as tx:
            if not runs.set_state(tx, run.id, "starting", ["waiting"]):
                return  # cancelled meanwhile
        try:
            if stages.of(run.stage).trains:
                self._release()
            holder = self._launcher.start(stages.words(run, self.of(run.id)), self.of(run.id), device)
        except UserError as error:
            with self._store.tx() as tx:
                runs.set_state(tx, run.id, "failed", ACTIVE, str(error))
            return
        self._asked.discard(run.id)
        self._killed.discard(run.id)
        with self._store.tx() as tx:
            runs.add_process(tx, run.id, holder, device)
            # A stop that came in between stands, and the next round carries it out.
            where = "on the processor" if device == CPU else f"on GPU {device}"
            runs.set_state(tx, run.id, "running", ["starting"], where)

    def _look_after(self, run: Run) -> None:
        process = runs.process(self._store, run.id)
        if process and self._launcher.alive(process.holder):
            ingest(self._store, run, self.of(run.id))
            if run.state == "stopping":
                self._press(run, process)
            return
        # Read after its death was seen: so nothing that it wrote is missed.
        ingest(self._store, run, self.of(run.id))
        state, detail = self._outcome(run, process)
        with self._store.tx() as tx:
            runs.set_state(tx, run.id, state, ACTIVE, detail)
        if process:
            self._launcher.forget(process.holder)

    def _press(self, run: Run, process: runs.Process) -> None:
        """Ask until it was heard, and after the grace not any more.

        A studio that was started again asks once more: a process takes that for the same stop.
        """
        if run.id not in self._asked and self._launcher.ask(process.holder):
            self._asked.add(run.id)
        elif (datetime.now(UTC) - run.since).total_seconds() > self._patience(run):
            self._launcher.kill(process.holder)
            self._killed.add(run.id)

    def _patience(self, run: Run) -> float:
        return stages.of(run.stage).grace if self._grace is None else self._grace

    def _outcome(self, run: Run, process: runs.Process | None) -> tuple[State, str]:
        """How a run ended: by its own last word, or by what is left to see."""
        last = runs.last_event(self._store, run.id, after=process.after if process else 0)
        if last and last.kind == "finished":
            if last.data.get("status") == "done":
                return "done", ""
            return "stopped", str(last.data.get("reason") or "")
        if run.state != "stopping" and not self.of(run.id).is_dir():
            return "failed", "its folder is gone: someone has deleted it"
        if last and last.kind == "failed":
            return "failed", str(last.data.get("error", ""))
        if run.id in self._killed:
            kept = stages.of(run.stage).kept
            return (
                "stopped",
                f"It did not end in time and was killed: nothing is saved since the stop. {kept}.",
            )
        if run.state == "stopping":
            return "stopped", ""
        status = self._launcher.status(process.holder) if process else None
        said = log_tail(self.of(run.id), 800).strip()
        if status is not None and status >= 0:
            return "failed", said or f"its process ended with status {status}"
        how = f" by signal {-status}" if status else ""
        return "lost", (
            f"Its process is gone: killed{how}, out of memory, or the machine went down. "
            f"{stages.of(run.stage).kept}."
        )
