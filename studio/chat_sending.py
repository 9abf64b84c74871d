"""From a chat into the loop: a reply as a chain's start, two tries as a pair, a preference model's scores."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pipeline.chat import conversation as asked
from pipeline.configs import Drawing
from pipeline.engines.rewarding import rewards
from pipeline.errors import UserError
from pipeline.pairs import make_pair
from pipeline.prompt_forms import from_messages
from pipeline.records import Axis, Message, Prompt, Source, Step
from studio.chatting import messages
from studio.context import Studio
from studio.pages.chains import FORM
from studio.store import constitutions, conversations, pairs, settings
from studio.store.audit import KIND
from studio.store.conversations import Conversation, Turn

KEPT = ("critic", "revisions", "critiques", "max_tokens")
"""Settings of the chains page that hold for a chain that begins in a chat."""
OF_THE_REPLY = ("model", "seed", "temperature", "top_p", "form")
"""What it takes from how the reply was asked for."""


def to_chains(studio: Studio, there: Conversation, reply: str, author: str) -> str:
    """Begin a chain whose response is this reply; the critique goes on by itself. Returns the chain's id.

    Constitution, critic, and how it revises, are those that the chains page was last used with. Raises
    UserError.
    """
    turn = _finished(there, reply)
    saved = json.loads(settings.get(studio.store, FORM) or "{}")
    words = {name: value for name, value in saved.items() if name in KEPT}
    if chatting := turn.chatting:
        words |= {name: getattr(chatting, name) for name in OF_THE_REPLY}
    drawing = Drawing(**words)  # at once: the critic follows from the model
    constitution = constitutions.latest(studio.store, str(saved.get("constitution") or "harmless"))
    constitution = constitution or constitutions.latest(studio.store, "harmless")
    if constitution is None:
        raise UserError("choose a constitution on the Chains page first")
    return studio.live.start(_prompt(there, turn), constitution, drawing, author, (_step(turn),))


def to_audit(studio: Studio, there: Conversation, reply: str, other: str, axis: Axis = "harmless") -> str:
    """Make a pair of two tries of the same reply, to be judged on an axis; returns its id. Raises UserError.

    It was picked by hand, and so never counts as one of the random share.
    """
    one, two = _finished(there, reply), _finished(there, other)
    if one.parent != two.parent:
        raise UserError("these two do not answer the same message")
    if _told(one) != _told(two):
        raise UserError("these two were told different system prompts: they do not answer the same")
    prompt = _prompt(there, one)
    if one.text.strip() == two.text.strip():
        raise UserError("both tries say the same: a pair needs two texts")
    pair = make_pair(
        prompt.id,
        prompt.messages,
        one.text.strip(),
        two.text.strip(),
        _source(one),
        _source(two),
        KIND[axis],
    )
    with studio.store.tx() as tx:
        pairs.add(tx, [pair], pairs.BY_HAND)
    return pair.id


def unscored(studio: Studio, there: Conversation, pm: str) -> list[Turn]:
    """The whole replies on the page that a preference model, by its run, has not scored."""
    replies = scorable(there.shown)
    known = conversations.scores(studio.store, pm, [turn.id for turn in replies])
    return [turn for turn in replies if turn.id not in known]


def score(studio: Studio, there: Conversation, pm: str, replies: Sequence[Turn]) -> None:
    """Have a preference model score replies, and keep what it says.

    It is asked about what was said, not about what the system prompt said before: it has learnt from
    conversations without one. Raises UserError.
    """
    answers = [(messages(there.path(turn.parent)), turn.text.strip()) for turn in replies]
    found = rewards(studio.live.worker, str(studio.jobs.of(pm)), answers)
    by_turn = {turn.id: score for turn, score in zip(replies, found.scores, strict=True)}
    conversations.add_scores(studio.store, pm, found.revision, by_turn)


def scorable(path: Sequence[Turn]) -> list[Turn]:
    """The replies that are whole: what was cut is not what the model would have said."""
    return [t for t in path if t.role == "assistant" and t.outcome.status == "finished" and t.text.strip()]


def _finished(there: Conversation, reply: str) -> Turn:
    turn = there.turn(reply)
    if turn is None or not scorable([turn]):
        raise UserError("only a finished reply can be sent on")
    return turn


def _prompt(there: Conversation, reply: Turn) -> Prompt:
    """The conversation before a reply, with what the model was told."""
    said: tuple[Message, ...] = messages(there.path(reply.parent))
    return from_messages(asked(reply.chatting, said) if reply.chatting else said)


def _told(turn: Turn) -> str:
    return turn.chatting.system.strip() if turn.chatting else ""


def _step(turn: Turn) -> Step:
    chatting, outcome = turn.chatting, turn.outcome
    return Step(
        "response",
        turn.text.strip(),
        model=chatting.model if chatting else None,
        seed=chatting.seed if chatting else None,
        finish=outcome.finish or "stop",
        tokens=outcome.tokens,
        seconds=outcome.seconds,
        revision=outcome.revision,
        form=outcome.form,
    )


def _source(turn: Turn) -> Source:
    chatting, outcome = turn.chatting, turn.outcome
    return Source(
        chatting.model if chatting else "",
        outcome.revision,
        outcome.form,
        chatting.seed if chatting else None,
        outcome.finish,
    )
