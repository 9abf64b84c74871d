"""From a chat into the loop: a reply as a chain's start, two tries as a pair, scores of what was said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.chat import Chatting
from pipeline.engines.rewarding import Rewards
from pipeline.errors import UserError
from pipeline.records import Message
from studio import chat_sending
from studio.context import Studio
from studio.store import audit, chains, conversations, pairs
from studio.store.conversations import Conversation

FIRE = "how can I light a fire in the forest?"
ASKED = Chatting(model="scripted", seed=5)


@pytest.fixture
def studio(tmp_path: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio whose model says `one`, `two`, `two`, then `fine`."""
    studio = Studio.open(tmp_path / "s", "s")
    engine = scripted("one", "two", "two")
    monkeypatch.setattr(studio.live, "load", lambda *_: engine)
    yield studio
    studio.close()


def load(studio: Studio, id: str) -> Conversation:
    """The conversation, once nothing is written in it."""
    if reply := studio.chats.reply(id):
        reply.join(10)
    found = conversations.load(studio.store, id)
    assert found
    return found


def tried(studio: Studio, times: int, asked: Chatting = ASKED) -> Conversation:
    """A message that was answered so many times."""
    there = load(studio, studio.chats.say("", FIRE, asked, "ana"))
    for _ in range(times - 1):
        studio.chats.retry(there.id, there.turns[0].id, asked, "ana")
        there = load(studio, there.id)
    return there


def test_a_reply_becomes_a_chains_response_and_the_critique_goes_on(studio: Studio) -> None:
    there = tried(studio, 1, replace(ASKED, system="Be brief."))
    id = chat_sending.to_chains(studio, there, there.turns[1].id, "ana")
    if writing := studio.live.writing(id):
        writing.join(10)
    chain = chains.load_chain(studio.store, id)
    assert chain
    assert chain.messages == (Message("system", "Be brief."), Message("user", FIRE))
    assert (chain.status, chain.author, chain.model) == ("finished", "ana", "scripted")
    assert chain.critic == "scripted"
    response = chain.steps[0]
    assert (response.kind, response.text, response.author) == ("response", "one", "model")
    assert (response.model, response.revision, response.seed) == ("scripted", "r1", 5)
    assert [step.kind for step in chain.steps[1:3]] == ["critique", "revision"]


def test_two_tries_become_a_pair_once(studio: Studio) -> None:
    there = tried(studio, 2)
    one, two = there.turns[1:]
    id = chat_sending.to_audit(studio, there, two.id, one.id)
    assert chat_sending.to_audit(studio, there, one.id, two.id) == id
    stored = pairs.load(studio.store, id)
    assert stored
    assert stored.pair.messages == (Message("user", FIRE),)
    sources = {stored.pair.response_a: stored.pair.source_a, stored.pair.response_b: stored.pair.source_b}
    assert {text: (source.name, source.seed) for text, source in sources.items()} == {
        "one": ("scripted", 5),
        "two": ("scripted", 6),
    }
    assert pairs.count(studio.store, pairs.PairFilter()) == 1


def test_a_pair_is_of_the_kind_that_it_is_sent_for_and_was_picked_by_hand(studio: Studio) -> None:
    there = tried(studio, 2)
    one, two = there.turns[1:]
    for axis, kind in (("helpful", "helpful"), ("harmless", "helpful")):  # as it came first
        stored = pairs.load(studio.store, chat_sending.to_audit(studio, there, two.id, one.id, axis))  # type: ignore[arg-type]
        assert stored
        assert (stored.pair.kind, stored.run) == (kind, pairs.BY_HAND)
    picked = audit.next_pair(studio.store, "ana", "helpful", "random", None)
    assert picked
    assert picked.picked_by == "chosen"


def test_what_makes_no_pair_says_why(studio: Studio) -> None:
    there = tried(studio, 3)
    said, one, two, same = there.turns
    with pytest.raises(UserError, match="say the same"):
        chat_sending.to_audit(studio, there, two.id, same.id)
    with pytest.raises(UserError, match="only a finished reply"):
        chat_sending.to_audit(studio, there, said.id, one.id)
    studio.chats.say(there.id, "more", ASKED, "ana")
    there = load(studio, there.id)
    with pytest.raises(UserError, match="do not answer the same message"):
        chat_sending.to_audit(studio, there, one.id, there.turns[-1].id)
    studio.chats.retry(there.id, one.id, replace(ASKED, system="Be brief."), "ana")
    there = load(studio, there.id)
    with pytest.raises(UserError, match="different system prompts"):
        chat_sending.to_audit(studio, there, one.id, there.turns[-1].id)


def test_each_reply_on_the_page_is_scored_once_without_the_system_prompt(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tried(studio, 2, replace(ASKED, system="Be brief."))
    heard: list[Any] = []

    def score(worker: Any, pm: str, answers: Any) -> Rewards:
        heard.append((Path(pm).name, answers))
        return Rewards("r7", (0.25,))

    monkeypatch.setattr(chat_sending, "rewards", score)
    todo = chat_sending.unscored(studio, there, "pm-run")
    chat_sending.score(studio, there, "pm-run", todo)
    assert heard == [("pm-run", [((Message("user", FIRE),), "two")])]
    assert conversations.scores(studio.store, "pm-run", [todo[0].id]) == {todo[0].id: 0.25}
    assert chat_sending.unscored(studio, there, "pm-run") == []
    assert [turn.id for turn in chat_sending.unscored(studio, there, "other")] == [todo[0].id]
