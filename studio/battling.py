"""Battles being written now: who competes, on which side, and their answers one after the other.

The model process does one job at a time, so that two answers at once would take as long. The left side is
always the first, and both models are loaded before its first token: neither the order nor a pause tells which
model is where.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from pipeline import prompts
from pipeline.chat import Chatting
from pipeline.engines import Cancelled, Engine, StoppedError
from pipeline.engines.fetching import Doing
from pipeline.errors import UserError
from pipeline.records import Axis, Prompt, PromptKind
from studio.chatting import Reply
from studio.live import Load
from studio.store import battles, conversations
from studio.store.conversations import NewTurn, Outcome
from studio.store.database import Store

ANY = ""
"""Stands for any model of the session."""
LARGEST_SEED = 2**31
KINDS: dict[Axis, PromptKind] = {"harmless": "red_team", "helpful": "helpful"}
"""Which starter prompts a question is asked of, as the paper measures each."""


def draw(one: str, other: str, known: Iterable[str], seed: int) -> tuple[str, str]:
    """Who answers on the left and who on the right; `ANY` is drawn from the models that are known.

    The same seed draws the same. Raises UserError where there are no two.
    """
    if one == other != ANY:
        raise UserError("choose two models, or leave one of them to be drawn")
    named = [model for model in (one, other) if model != ANY]
    pool = [model for model in dict.fromkeys(known) if model not in named]
    lacking = 2 - len(named)
    if lacking > len(pool):
        raise UserError(
            "a battle needs two models, and this session has too few: train one, or type a hub id or a folder"
        )
    chance = random.Random(seed)  # noqa: S311 - no secret: it is kept with the battle
    both = [*named, *chance.sample(pool, lacking)]
    chance.shuffle(both)
    return both[0], both[1]


def typed(text: str, axis: Axis) -> Prompt:
    """A prompt that a person typed: the starter prompt of the same words, where there is one."""
    made = replace(prompts.from_text(text), kind=KINDS[axis])
    every = (prompt for kind in prompts.SETS.values() for prompt in prompts.starter(kind))
    return next((prompt for prompt in every if prompt.messages == made.messages), made)


def next_prompt(asked: Mapping[str, int], axis: Axis, seed: int) -> Prompt:
    """A held-out starter prompt: one of those that were asked least, drawn by the seed."""
    some = [prompt for prompt in prompts.starter(KINDS[axis]) if prompt.split == "heldout"]
    least = min(asked.get(prompt.id, 0) for prompt in some)
    return random.Random(seed).choice([p for p in some if asked.get(p.id, 0) == least])  # noqa: S311


@dataclass
class _Writing:
    """The answers of a battle, the left one first, and the turns of those that have ended."""

    replies: tuple[Reply, Reply]
    ended: set[str] = field(default_factory=set)


class LiveBattles:
    """The battles of a session whose answers are being written."""

    def __init__(self, store: Store, load: Load) -> None:
        self._store, self._load = store, load
        self._lock = threading.Lock()
        self._writing: dict[str, _Writing] = {}
        self._closed = False

    def start(
        self,
        prompt: Prompt,
        models: tuple[str, str],
        chatting: Chatting,
        axis: Axis,
        seed: int,
        annotator: str,
    ) -> str:
        """Have the left and the right model answer a prompt, and return the battle's id.

        Raises UserError where one of this annotator's is still being written.
        """
        id = conversations.new_id(self._store)
        turns = [
            NewTurn(
                conversations.new_id(self._store),
                id,
                None,
                "assistant",
                annotator,
                replace(chatting, model=model, seed=seed),
            )
            for model in models
        ]
        replies = self._replies(prompt, turns)
        with self._lock:
            if self._closed:  # or it would start the model process anew, which nobody would stop
                raise UserError("the studio is closing")
            if any(one.replies[0].turn.author == annotator for one in self._writing.values()):
                raise UserError("your last battle is still being written: stop it first")
            self._writing[id] = _Writing(replies)
        try:
            with self._store.tx() as tx:
                battles.add(tx, id, prompt, axis, seed, *turns)
            for reply in replies:
                reply.start()
        except BaseException:
            with self._lock:
                del self._writing[id]
            raise
        return id

    def stop(self, id: str) -> None:
        """Stop both answers within one token; nothing happens if none is being written."""
        for reply in self.replies(id):
            reply.stop()

    def replies(self, id: str) -> Sequence[Reply]:
        """The answers that are being written, the left one first; none once both have ended."""
        with self._lock:
            found = self._writing.get(id)
            return found.replies if found else ()

    def close(self) -> None:
        """Stop them all, and keep what there is."""
        with self._lock:
            self._closed = True
            running = [reply for one in self._writing.values() for reply in one.replies]
        for reply in running:
            reply.stop()
        for reply in running:
            reply.join(2.0)

    def _replies(self, prompt: Prompt, turns: Sequence[NewTurn]) -> tuple[Reply, Reply]:
        def both(model: str, cancelled: Cancelled, doing: Doing) -> Engine:
            try:
                self._load(_model(turns[1]), cancelled, doing)
            except StoppedError:
                raise
            except UserError as error:
                raise UserError(f"the right answer's model can't be loaded: {error}") from error
            return self._load(model, cancelled, doing)

        def after_left(model: str, cancelled: Cancelled, doing: Doing) -> Engine:
            while left.moment().status == "writing" and not cancelled():
                left.join(0.05)
            if cancelled():
                raise StoppedError("stopped before its turn")
            return self._load(model, cancelled, doing)

        left, right = (
            Reply(
                turn,
                turn.chatting or Chatting(),
                prompt.messages,
                load,
                keep=partial(conversations.add_piece, self._store, turn.id),
                end=partial(self._end, turn),
            )
            for turn, load in zip(turns, (both, after_left), strict=True)
        )
        return left, right

    def _end(self, turn: NewTurn, text: str, outcome: Outcome, anew: bool) -> None:
        """Keep how an answer ended. Where it was cut, the other is of no use: no vote can come."""
        try:
            conversations.end_turn(self._store, turn.id, text, outcome, anew)
        finally:
            with self._lock:
                writing = self._writing.get(turn.conversation)
                if writing:
                    writing.ended.add(turn.id)
                    if len(writing.ended) == len(writing.replies):
                        del self._writing[turn.conversation]
            if outcome.status != "finished" and writing:
                for reply in writing.replies:
                    reply.stop()


def _model(turn: NewTurn) -> str:
    return turn.chatting.model if turn.chatting else ""
