"""Replies in the making: what a tab sees, what the store keeps, and how tries stand beside each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import chat
from pipeline.chat import Chatting
from pipeline.engines import EngineError
from pipeline.errors import UserError
from pipeline.records import Message
from studio import chatting
from studio.chatting import LiveChats
from studio.context import Studio
from studio.store import conversations
from studio.store.conversations import Turn

FIRE = "how can I light a fire in the forest?"
ASKED = Chatting(model="scripted", seed=10)


@pytest.fixture
def speak(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], LiveChats]:
    """Let an engine, or what `load` does instead, stand where the model process would."""

    def use(engine: Any) -> LiveChats:
        monkeypatch.setattr(studio.live, "load", engine if callable(engine) else lambda *_: engine)
        return studio.chats

    return use


def shown(studio: Studio, id: str) -> tuple[Turn, ...]:
    """The turns on the page, once nothing is written any more."""
    if reply := studio.chats.reply(id):
        reply.join(10)
    found = conversations.load(studio.store, id)
    assert found
    return found.shown


def texts(studio: Studio, id: str) -> list[str]:
    return [turn.text for turn in shown(studio, id)]


def test_a_message_is_answered_and_the_next_one_after_it(studio: Studio, speak: Any, scripted: Any) -> None:
    engine = scripted("Gather wood.", "Then put it out.")
    chats = speak(engine)
    id = chats.say("", f"  {FIRE}\n", ASKED, "ana")
    assert texts(studio, id) == [FIRE, "Gather wood."]
    assert chats.say(id, "And after?", Chatting(model="scripted", system="Be brief."), "ana") == id
    assert texts(studio, id) == [FIRE, "Gather wood.", "And after?", "Then put it out."]
    assert engine.requests[1].context.messages == (
        Message("system", "Be brief."),
        Message("user", FIRE),
        Message("assistant", "Gather wood."),
        Message("user", "And after?"),
    )
    last = shown(studio, id)[-1]
    assert last.chatting
    assert (last.outcome.status, last.outcome.revision, last.outcome.form) == ("finished", "r1", "chat")
    assert (last.outcome.finish, last.outcome.tokens, last.chatting.system) == ("stop", 4, "Be brief.")


def test_each_try_has_the_next_seed_and_the_one_before_stays(
    studio: Studio, speak: Any, scripted: Any
) -> None:
    engine = scripted("one", "two", "three")
    chats = speak(engine)
    id = chats.say("", FIRE, ASKED, "ana")
    for _ in range(2):
        chats.retry(id, shown(studio, id)[-1].id, ASKED, "ana")
    assert texts(studio, id) == [FIRE, "three"]
    assert [request.sampling.seed for request in engine.requests] == [10, 11, 12]
    there = conversations.load(studio.store, id)
    assert there
    tries = there.tries(there.shown[-1])
    assert [turn.text for turn in tries] == ["one", "two", "three"]
    chats.step(id, tries[0].id)
    assert texts(studio, id) == [FIRE, "one"]


def test_the_largest_seed_can_be_retried_from(studio: Studio, speak: Any, scripted: Any) -> None:
    chats, asked = speak(scripted("one", "two")), Chatting(model="scripted", seed=chat.LARGEST_SEED)
    id = chats.say("", FIRE, asked, "ana")
    chats.retry(id, shown(studio, id)[0].id, asked, "ana")
    last = shown(studio, id)[-1]
    assert last.chatting
    assert (last.text, last.chatting.seed) == ("two", 0)


def test_an_edit_goes_on_from_there_and_keeps_what_was_said(
    studio: Studio, speak: Any, scripted: Any
) -> None:
    engine = scripted("one", "two", "three")
    chats = speak(engine)
    id = chats.say("", FIRE, ASKED, "ana")
    old = shown(studio, id)[0]
    chats.say(id, "more", ASKED, "ana")
    shown(studio, id)
    chats.edit(id, old.id, "how do I put a fire out?", ASKED, "ana")
    assert texts(studio, id) == ["how do I put a fire out?", "three"]
    assert engine.requests[-1].context.messages == (Message("user", "how do I put a fire out?"),)
    chats.step(id, old.id)
    assert texts(studio, id) == [FIRE, "one", "more", "two"]
    for text, why in (("", "is empty"), (FIRE, "nothing was changed")):
        with pytest.raises(UserError, match=why):
            chats.edit(id, old.id, text, ASKED, "ana")
    with pytest.raises(UserError, match="not edited here"):
        chats.edit(id, shown(studio, id)[1].id, "mine", ASKED, "ana")


def test_what_is_too_long_for_a_message_is_refused(studio: Studio, speak: Any, scripted: Any) -> None:
    chats = speak(scripted("one"))
    id = chats.say("", FIRE, ASKED, "ana")
    said = shown(studio, id)[0]
    with pytest.raises(UserError, match="longer than 1,000,000 characters: shorten it"):
        chats.say(id, "x" * 1_000_001, ASKED, "ana")
    with pytest.raises(UserError, match="longer than 1,000,000 characters: shorten it"):
        chats.edit(id, said.id, "x" * 1_000_001, ASKED, "ana")
    assert texts(studio, id) == [FIRE, "one"]


def test_undo_goes_back_by_one_message_and_step_brings_it_back(
    studio: Studio, speak: Any, scripted: Any
) -> None:
    chats = speak(scripted("one", "two"))
    id = chats.say("", FIRE, ASKED, "ana")
    shown(studio, id)
    chats.say(id, "more", ASKED, "ana")
    shown(studio, id)
    assert chats.undo(id) == "more"
    assert texts(studio, id) == [FIRE, "one"]
    assert chats.undo(id) == FIRE
    assert texts(studio, id) == []
    with pytest.raises(UserError, match="nothing to undo"):
        chats.undo(id)
    there = conversations.load(studio.store, id)
    assert there
    chats.step(id, there.after(None)[-1].id)
    assert texts(studio, id) == [FIRE, "one"]
    chats.step(id, there.after(there.turns[1].id)[-1].id)
    assert texts(studio, id) == [FIRE, "one", "more", "two"]


def test_a_branch_is_shown_again_as_it_was_left(studio: Studio, speak: Any, scripted: Any) -> None:
    chats = speak(scripted("one", "two", "three", "four"))
    id = chats.say("", FIRE, ASKED, "ana")
    old, first = shown(studio, id)
    chats.retry(id, first.id, ASKED, "ana")
    shown(studio, id)
    chats.step(id, first.id)
    chats.say(id, "more", ASKED, "ana")
    shown(studio, id)
    chats.edit(id, old.id, "how do I put a fire out?", ASKED, "ana")
    shown(studio, id)
    chats.step(id, old.id)
    assert texts(studio, id) == [FIRE, "one", "more", "three"]  # and not the newer try of the reply


def test_stop_keeps_the_text_and_nothing_else_is_done_meanwhile(
    studio: Studio, speak: Any, pausing: Any
) -> None:
    paused = pausing("Gather dry wood.")
    chats = speak(paused)
    id = chats.say("", FIRE, ASKED, "ana")
    assert paused.said.wait(5)
    for act in (
        lambda: chats.say(id, "more", ASKED, "ben"),
        lambda: chats.undo(id),
        lambda: chats.delete(id, "ben"),
    ):
        with pytest.raises(UserError, match="stop it first"):
            act()
    chats.stop(id)
    reply = shown(studio, id)[-1]
    assert (reply.text, reply.outcome.status, reply.outcome.finish) == ("Gather", "stopped", "cancelled")


def test_what_has_come_is_in_the_store_before_the_end(
    studio: Studio, speak: Any, pausing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chatting, "KEEP", 0.0)
    paused = pausing("Gather dry wood.")
    chats = speak(paused)
    id = chats.say("", FIRE, ASKED, "ana")
    assert paused.said.wait(5)
    there = conversations.load(studio.store, id)
    assert there
    assert (there.shown[-1].text, there.shown[-1].outcome.status) == ("Gather", "writing")
    assert chats.reply(id).moment().text == "Gather"
    chats.stop(id)
    assert texts(studio, id) == [FIRE, "Gather"]


def test_a_reply_whose_connection_broke_is_one_text_and_not_of_two(
    studio: Studio, speak: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chatting, "KEEP", 0.0)
    chats = speak(scripted("Gather dry wood.", draws=("Ask a ranger first.",)))
    id = chats.say("", FIRE, ASKED, "ana")
    reply = chats.reply(id)
    assert texts(studio, id) == [FIRE, "Ask a ranger first."]
    assert reply is None or reply.moment().text == "Ask a ranger first."


def test_what_could_not_be_kept_is_kept_at_the_end(
    studio: Studio, speak: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise UserError("no space left")

    monkeypatch.setattr(chatting, "KEEP", 0.0)
    monkeypatch.setattr(conversations, "add_piece", full)
    id = speak(scripted("Gather dry wood.")).say("", FIRE, ASKED, "ana")
    reply = shown(studio, id)[-1]
    assert (reply.text, reply.outcome.status, reply.outcome.detail) == ("Gather", "failed", "no space left")


def test_a_model_that_fails_is_told_and_the_message_can_be_answered_again(
    studio: Studio, speak: Any, scripted: Any
) -> None:
    def fail(*_: Any) -> Any:
        raise EngineError("the model process was killed")

    chats = speak(fail)
    id = chats.say("", FIRE, ASKED, "ana")
    failed = shown(studio, id)[-1]
    assert (failed.outcome.status, failed.outcome.detail) == ("failed", "the model process was killed")
    with pytest.raises(UserError, match="the last reply is empty"):
        chats.say(id, "more", ASKED, "ana")
    speak(scripted("one"))
    chats.retry(id, failed.id, ASKED, "ana")
    assert texts(studio, id) == [FIRE, "one"]


def test_a_studio_that_died_marks_the_reply_that_it_was_writing(tmp_path: Path) -> None:
    first = Studio.open(tmp_path / "s", "s")
    with first.store.tx() as tx:
        conversations.begin(tx, "c", "ana")
        conversations.add_turn(tx, conversations.NewTurn("1", "c", None, "user", "ana"), FIRE)
        conversations.add_turn(tx, conversations.NewTurn("2", "c", "1", "assistant", "ana", ASKED))
    conversations.add_piece(first.store, "2", "Gather")
    first.close()
    again = Studio.open(tmp_path / "s", "s")
    reply = shown(again, "c")[-1]
    assert (reply.text, reply.outcome.status) == ("Gather", "interrupted")
    again.close()


def test_the_plain_form_writes_labels_and_stops_at_the_next(scripted: Any) -> None:
    asked = chat.request(Chatting(system="Be kind.", seed=4), [Message("user", FIRE)], "plain")
    assert asked.context.prefill == f"\n\nSystem: Be kind.\n\nHuman: {FIRE}\n\nAssistant:"
    assert "\n\nHuman:" in asked.sampling.stop
    assert asked.sampling.seed == 4
