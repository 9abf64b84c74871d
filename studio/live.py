"""Chains being written now, each in a thread of its own, whatever tab looks on.

A `Writing` is one of them; `LiveChains` starts, stops and goes on with those that are stored. A step
is in the store before the next one begins, so a crash loses at most the text of the step at hand.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields

from pipeline.configs import Drawing
from pipeline.critique import Draft, Plan, extend, plan
from pipeline.engines import Cancelled, Engine, StoppedError, never
from pipeline.engines.fetching import Doing, silent
from pipeline.engines.remote import RemoteEngine, Worker
from pipeline.errors import UserError
from pipeline.records import Constitution, Prompt, Step, StepKind, well_formed
from studio.store import chains, constitutions
from studio.store.chains import NewChain, StoredChain
from studio.store.database import Store
from studio.watched import Watched

Load = Callable[[str, Cancelled, Doing], Engine]
"""Loads a model by its name, until it is no longer wanted; tells what it is doing."""


@dataclass(frozen=True)
class Moment:
    """What a chain in the making shows at one moment. `serial` grows with every change."""

    serial: int = 0
    doing: str = ""
    plan: Plan | None = None
    text: str = ""
    steps: tuple[Step, ...] = ()
    status: chains.Status = "running"
    detail: str = ""


class Writing:
    """One chain being written. `keep` gets each step as it ends, `end` the outcome."""

    def __init__(
        self,
        draft: Draft,
        constitution: Constitution,
        drawing: Drawing,
        load: Load,
        keep: Callable[[int, Step], None] = lambda position, step: None,
        end: Callable[[chains.Status, str], None] = lambda status, detail: None,
    ) -> None:
        self._draft, self._constitution, self._drawing = draft, constitution, drawing
        self._load, self._keep, self._end = load, keep, end
        self._engines: dict[str, Engine] = {}
        self._stopped = threading.Event()
        self._watched = Watched(Moment(steps=draft.steps))
        self._show, self.moment = self._watched.show, self._watched.moment
        self._thread = threading.Thread(target=self._run, name="writing", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for an end within one token. What there is, is kept."""
        self._stopped.set()
        self._show(doing="stopping")

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        status: chains.Status = "failed"
        detail = "the studio failed here: its terminal shows why"
        try:
            for step in extend(
                self._draft,
                self._constitution,
                self._drawing,
                self,
                on_plan=lambda next: self._show(plan=next, text="", doing="waiting for the model"),
                on_text=self._append,
                cancelled=self._stopped.is_set,
            ):
                steps = self.moment().steps
                self._keep(len(steps), step)
                self._show(steps=(*steps, step), plan=None, text="", doing="")
            status, detail = ("stopped" if self._stopped.is_set() else "finished"), ""
        except StoppedError:
            status, detail = "stopped", ""
        except UserError as error:
            detail = str(error)
        finally:
            # Told even when a bug or a full disk ends the thread: a chain must not seem to run for ever.
            try:
                self._end(status, detail)
            finally:
                self._show(status=status, detail=detail, plan=None, text="", doing="")

    def of(self, kind: StepKind) -> Engine:
        """Who writes such a step, loaded when its turn comes: the response does not wait for the critic."""
        name = self._drawing.model if kind == "response" else self._drawing.critic_name
        if name not in self._engines:
            self._engines[name] = self._loaded(name)
            self._show(doing="waiting for the model")
        return self._engines[name]

    def _loaded(self, name: str) -> Engine:
        def doing(what: str) -> None:
            if not self._stopped.is_set() and what != self.moment().doing:
                self._show(doing=what)

        doing(f"loading {name}")
        return self._load(name, self._stopped.is_set, doing)

    def _append(self, index: int, text: str) -> None:
        self._show(text=self.moment().text + text, doing="")


class LiveChains:
    """The chains of a session that are being written, and the one model process that they share."""

    def __init__(self, store: Store, worker: Worker) -> None:
        self._store = store
        self.worker = worker
        self._lock = threading.Lock()
        self._writing: dict[str, Writing] = {}
        self._aside: set[Writing] = set()  # of which nothing is stored
        self._closed = False

    def load(self, model: str, cancelled: Cancelled = never, doing: Doing = silent) -> Engine:
        """A model in the worker. Raises UserError."""
        return RemoteEngine(self.worker, model, cancelled, doing)

    def start(
        self,
        prompt: Prompt,
        constitution: Constitution,
        drawing: Drawing,
        author: str,
        steps: tuple[Step, ...] = (),
    ) -> str:
        """Begin a chain, with the steps that it has already, and return its id."""
        chain = NewChain(
            id=chains.new_id(self._store),
            prompt_id=prompt.id,
            messages=prompt.messages,
            constitution=constitution.version,
            constitution_name=constitution.name,
            model=drawing.model,
            critic=drawing.critic_name,
            seed=drawing.seed,
            revisions=drawing.revisions,
            critiques=drawing.critiques,
            temperature=drawing.temperature,
            top_p=drawing.top_p,
            max_tokens=drawing.max_tokens,
            form=drawing.form or "",
            author=author,
        )
        chains.start_chain(self._store, chain, steps)
        self._write(chain, steps, constitution)
        return chain.id

    def go_on(self, id: str) -> None:
        """Write the rest of a chain that stopped, failed or was interrupted; a cut step is written anew."""
        chain = chains.load_chain(self._store, id)
        if chain is None:
            raise UserError("there is no such chain in this session")
        constitution = constitutions.load_version(self._store, chain.constitution)
        self._write(chain, whole_steps(chain), constitution)

    def branch(self, id: str, position: int, text: str | None, author: str) -> str:
        """Begin a branch of a chain at a step (from 0) and return its id; the chain stays as it is.

        With a text, the step is the person's and the rest is drawn with the parent's seed, so the text is
        all that differs. Without, the step and the rest are drawn with a new seed, and a redrawn critique
        draws its principle anew too. The steps before are copied. Raises UserError.
        """
        chain = chains.load_chain(self._store, id)
        if chain is None:
            raise UserError("there is no such chain in this session")
        steps = branch_steps(whole_steps(chain), position, text)
        constitution = constitutions.load_version(self._store, chain.constitution)
        kept = {column: getattr(chain, column) for column in chains.COLUMNS}
        seed = chain.seed if text is not None else secrets.randbelow(2**31)
        # A branch is a person's doing, not of the run that its parent came from.
        changes = {"id": chains.new_id(self._store), "parent": id, "branch_step": position, "run": None}
        branch = NewChain(**(kept | changes | {"author": author, "seed": seed}))
        draft = Draft(chain.prompt_id, chain.messages, steps)
        todo = plan(draft, constitution, drawing_of(branch))
        chains.start_chain(self._store, branch, steps)
        if todo is None:  # its last step was edited: no model is needed
            chains.add_event(self._store, branch.id, "finished")
        else:
            self._write(branch, steps, constitution)
        return branch.id

    def write_aside(self, draft: Draft, constitution: Constitution, drawing: Drawing) -> Writing:
        """Begin to write what is not stored. It ends with the studio at the latest. Raises UserError."""

        def end(status: chains.Status, detail: str) -> None:
            with self._lock:
                self._aside.discard(writing)

        writing = Writing(draft, constitution, drawing, self.load, end=end)
        with self._lock:
            if self._closed:  # or it would start the model process anew, which nobody would stop
                raise UserError("the studio is closing")
            self._aside.add(writing)
        writing.start()
        return writing

    def stop(self, id: str) -> None:
        """Stop a chain within one token; nothing happens if it is not being written."""
        if writing := self.writing(id):
            writing.stop()

    def writing(self, id: str) -> Writing | None:
        """The chain's writing, while it goes on."""
        with self._lock:
            return self._writing.get(id)

    def close(self) -> None:
        """Stop them all, keep what there is, and free the model."""
        with self._lock:
            self._closed = True
            running = [*self._writing.values(), *self._aside]
        for writing in running:
            writing.stop()
        for writing in running:
            writing.join(2.0)
        self.worker.stop()

    def _write(self, chain: NewChain, steps: tuple[Step, ...], constitution: Constitution) -> None:
        def end(status: chains.Status, detail: str) -> None:
            try:
                chains.add_event(self._store, chain.id, status, detail)
            finally:
                with self._lock:
                    self._writing.pop(chain.id, None)

        writing = Writing(
            Draft(chain.prompt_id, chain.messages, steps),
            constitution,
            drawing_of(chain),
            self.load,
            keep=lambda position, step: chains.add_step(self._store, chain.id, position, step),
            end=end,
        )
        with self._lock:
            if chain.id in self._writing:
                return  # another tab was faster
            self._writing[chain.id] = writing
        try:
            chains.add_event(self._store, chain.id, "running")
            writing.start()
        except BaseException:
            with self._lock:
                del self._writing[chain.id]
            raise


def drawing_of(chain: NewChain) -> Drawing:
    """How a stored chain is drawn."""
    settings = {field.name: getattr(chain, field.name) for field in fields(Drawing)}
    return Drawing(**settings | {"form": chain.form or None})


def whole_steps(chain: StoredChain) -> tuple[Step, ...]:
    """The steps that the rest can build on: all but a last one that was cut short."""
    steps = chain.steps
    return steps[:-1] if steps and steps[-1].finish == "cancelled" else steps


def branch_steps(steps: tuple[Step, ...], position: int, text: str | None) -> tuple[Step, ...]:
    """What a branch starts with: the steps before, and the person's own if there is a text.

    Raises UserError for a step that is not there, and for a text that changes nothing.
    """
    if not 0 <= position < len(steps):
        raise UserError("this chain has no such finished step")
    if text is None:
        return steps[:position]
    old, text = steps[position], well_formed(text).strip()
    if not text:
        raise UserError("the step is empty: write something, or redraw it")
    if text == old.text:
        raise UserError("nothing was changed: edit the text first, or redraw it")
    return (*steps[:position], Step(old.kind, text, old.principle, author="person"))
