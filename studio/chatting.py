"""Replies being written now, each in a thread of its own, whatever tab looks on.

A conversation has one reply at a time. What has come of it is in the store a second later at most, so that a
studio that dies loses no more than that, and says which reply was cut.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline.chat import LARGEST_SEED, Chatting, request
from pipeline.engines import Completion, ModelInfo, StoppedError
from pipeline.errors import UserError
from pipeline.prompt_forms import MAX_ROW
from pipeline.records import Message, well_formed
from studio.live import Load
from studio.store import conversations
from studio.store.conversations import Conversation, NewTurn, Outcome, Status, Turn
from studio.store.database import Store
from studio.watched import Watched

KEEP = 1.0  # seconds between two pieces of a reply in the store


@dataclass(frozen=True)
class Moment:
    """What a reply in the making shows at one moment. `serial` grows with every change."""

    serial: int = 0
    doing: str = ""
    text: str = ""
    status: Status = "writing"


class Reply:
    """One reply being written. `keep` gets each piece of it, `end` the last one and how it ended.

    `end` is also told whether that one is the whole text, in the place of all pieces before.
    """

    def __init__(
        self,
        turn: NewTurn,
        chatting: Chatting,
        messages: Sequence[Message],
        load: Load,
        keep: Callable[[str], None],
        end: Callable[[str, Outcome, bool], None],
    ) -> None:
        self.turn, self._chatting, self._messages = turn, chatting, messages
        self._load, self._keep, self._end = load, keep, end
        self._stopped = threading.Event()
        self._fresh, self._kept = "", time.monotonic()  # what is not in the store yet; when it last was
        self._anew = False
        self._watched = Watched(Moment(doing=f"loading {chatting.model}"))
        self.moment = self._watched.moment
        self._thread = threading.Thread(target=self._run, name="reply", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for an end within one token. What there is, is kept."""
        self._stopped.set()
        self._watched.show(doing="stopping")

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end."""
        self._thread.join(timeout)

    def _run(self) -> None:
        outcome = Outcome("failed", "the studio failed here: its terminal shows why")
        try:
            engine = self._load(self._chatting.model, self._stopped.is_set, self._doing)
            outcome = self._by(engine.info, Outcome("failed", outcome.detail))
            self._doing("waiting for the model")
            asked = request(self._chatting, self._messages, engine.info.form)
            [completion] = engine.generate([asked], self._append, self._stopped.is_set)
            self._settle(completion.text)
            outcome = self._by(engine.info, _ended(completion))
        except StoppedError:
            outcome = replace(outcome, status="stopped", detail="")
        except UserError as error:
            outcome = replace(outcome, detail=str(error))
        finally:
            # Told even when a bug or a full disk ends the thread: a reply must not seem to come for ever.
            try:
                self._end(self._fresh, outcome, self._anew)
            finally:
                self._watched.show(status=outcome.status, doing="")

    def _by(self, info: ModelInfo, outcome: Outcome) -> Outcome:
        return replace(outcome, revision=info.revision, form=self._chatting.form or info.form)

    def _doing(self, what: str) -> None:
        if not self._stopped.is_set() and what != self.moment().doing:
            self._watched.show(doing=what)

    def _append(self, index: int, text: str) -> None:
        self._fresh += text
        self._watched.show(text=self.moment().text + text, doing="")
        if time.monotonic() - self._kept >= KEEP:
            self._keep(self._fresh)
            self._fresh, self._kept = "", time.monotonic()

    def _settle(self, text: str) -> None:
        """Have the text that came of it, where a broken connection let parts of two stream."""
        if text != self.moment().text:
            self._fresh, self._anew = text, True
            self._watched.show(text=text)


def _ended(completion: Completion) -> Outcome:
    return Outcome(
        "stopped" if completion.finish == "cancelled" else "finished",
        finish=completion.finish,
        tokens=completion.tokens,
        seconds=round(completion.seconds, 3),
    )


class LiveChats:
    """What can be said in the session's conversations, and the replies that are being written in them."""

    def __init__(self, store: Store, load: Load) -> None:
        self._store, self._load = store, load
        self._lock = threading.Lock()
        self._replies: dict[str, Reply] = {}  # by conversation
        self._closed = False

    def say(self, id: str, text: str, chatting: Chatting, author: str) -> str:
        """Say something at the end of what a conversation shows, and have it answered; returns its id.

        An id that is empty begins a new conversation. Raises UserError.
        """
        text = _typed(text, "type a message first")
        there = self._idle(id) if id else Conversation("", "")
        return self._answered(there, there.at, text, chatting, author)

    def edit(self, id: str, turn: str, text: str, chatting: Chatting, author: str) -> None:
        """Say something else in the place of what a person said; what was said before is kept beside it."""
        there = self._idle(id)
        old = _require(there, turn)
        if old.role != "user":
            raise UserError(
                "what a model wrote is not edited here: send it to chains, and edit the step there"
            )
        text = _typed(text, "the message is empty: write something, or undo it")
        if text == old.text:
            raise UserError("nothing was changed: edit the text first, or retry the reply")
        self._answered(there, old.parent, text, chatting, author)

    def retry(self, id: str, turn: str, chatting: Chatting, author: str) -> None:
        """Have a message answered once more: a reply's own, or the message of this id itself."""
        there = self._idle(id)
        old = _require(there, turn)
        said = old if old.role == "user" else _require(there, old.parent)
        self._reply(there, said, said.text, chatting, author)

    def undo(self, id: str) -> str:
        """Go back to before the last message; returns its text. It is kept, and `step` leads back to it."""
        there = self._idle(id)
        said = next((turn for turn in reversed(there.shown) if turn.role == "user"), None)
        if said is None:
            raise UserError("there is nothing to undo")
        conversations.show_up_to(self._store, id, said.parent)
        return said.text

    def step(self, id: str, turn: str) -> None:
        """Show a try, and what came after it, as it was left."""
        there = self._idle(id)
        conversations.show_up_to(self._store, id, there.left_at(_require(there, turn)))

    def delete(self, id: str, author: str) -> None:
        """Take a conversation from the list."""
        self._idle(id)
        conversations.delete(self._store, id, author)

    def stop(self, id: str) -> None:
        """Stop a reply within one token; nothing happens if none is being written."""
        if reply := self.reply(id):
            reply.stop()

    def reply(self, id: str) -> Reply | None:
        """The reply that is being written in a conversation."""
        with self._lock:
            return self._replies.get(id)

    def close(self) -> None:
        """Stop them all, and keep what there is."""
        with self._lock:
            self._closed = True
            running = list(self._replies.values())
        for reply in running:
            reply.stop()
        for reply in running:
            reply.join(2.0)

    def _idle(self, id: str) -> Conversation:
        there = conversations.load(self._store, id)
        if there is None:
            raise UserError("there is no such conversation in this session")
        if self.reply(id):
            raise UserError("a reply is being written here: stop it first")
        return there

    def _answered(
        self, there: Conversation, parent: str | None, text: str, chatting: Chatting, author: str
    ) -> str:
        before = there.turn(parent)
        if before and not before.text.strip():
            raise UserError("the last reply is empty: retry it, or undo it")
        id = there.id or conversations.new_id(self._store)
        said = NewTurn(conversations.new_id(self._store), id, parent, "user", author)
        self._reply(there, said, text, chatting, author)
        return id

    def _reply(self, there: Conversation, said: NewTurn, text: str, chatting: Chatting, author: str) -> None:
        """Have what was said answered. Where the turn is new, it comes in together with its reply."""
        id, new = said.conversation, there.turn(said.id) is None
        # Each try has a seed of its own, and the same one whenever the same is done again.
        seed = (chatting.seed + len(there.after(said.id))) % (LARGEST_SEED + 1)
        chatting = replace(chatting, seed=seed)
        turn = NewTurn(conversations.new_id(self._store), id, said.id, "assistant", author, chatting)

        def end(text: str, outcome: Outcome, anew: bool) -> None:
            try:
                conversations.end_turn(self._store, turn.id, text, outcome, anew)
            finally:
                with self._lock:
                    self._replies.pop(id, None)

        reply = Reply(
            turn,
            chatting,
            (*messages(there.path(said.parent)), Message("user", text)),
            self._load,
            keep=lambda text: conversations.add_piece(self._store, turn.id, text),
            end=end,
        )
        with self._lock:
            if self._closed:  # or it would start the model process anew, which nobody would stop
                raise UserError("the studio is closing")
            if id in self._replies:  # another tab was faster
                raise UserError("a reply is being written here: stop it first")
            self._replies[id] = reply
        try:
            with self._store.tx() as tx:
                if not there.id:
                    conversations.begin(tx, id, author)
                if new:
                    conversations.add_turn(tx, said, text)
                conversations.add_turn(tx, turn)
            reply.start()
        except BaseException:
            with self._lock:
                del self._replies[id]
            raise


def messages(path: Sequence[Turn]) -> tuple[Message, ...]:
    """What was said on a path."""
    return tuple(Message(turn.role, turn.text.strip()) for turn in path)


def _typed(text: str, empty: str) -> str:
    text = well_formed(text).strip()
    if not text:
        raise UserError(empty)
    if len(text) > MAX_ROW:
        raise UserError(f"the message is longer than {MAX_ROW:,} characters: shorten it")
    return text


def _require(there: Conversation, turn: str | None) -> Turn:
    found = there.turn(turn)
    if found is None:
        raise UserError("there is no such turn in this conversation")
    return found
