"""Conversations in the store: trees of turns of which nothing is lost."""

from __future__ import annotations

import pytest

from pipeline.chat import Chatting
from pipeline.errors import UserError
from studio.store import conversation_list, conversations
from studio.store.conversations import NewTurn, Outcome
from studio.store.database import Store

FIRE = "how can I light a fire in the forest?"
HOSTILE = "'; DROP TABLE turns; -- <img src=x> 🔥"


def say(store: Store, id: str, parent: str | None, text: str, conversation: str = "c") -> None:
    """A person's turn; the conversation is begun with its first."""
    with store.tx() as tx:
        if parent is None and not tx.query("SELECT 1 FROM conversations WHERE id = ?", [conversation]):
            conversations.begin(tx, conversation, "ana")
        conversations.add_turn(tx, NewTurn(id, conversation, parent, "user", "ana"), text)


def answer(store: Store, id: str, parent: str, *pieces: str, end: bool = True) -> None:
    """A model's turn, in pieces."""
    with store.tx() as tx:
        conversations.add_turn(tx, NewTurn(id, "c", parent, "assistant", "ana", Chatting(seed=3)))
    for piece in pieces:
        conversations.add_piece(store, id, piece)
    if end:
        conversations.end_turn(store, id, "", Outcome("finished", "", "r1", "chat", "stop", 5, 0.5))


def load(store: Store, id: str = "c") -> conversations.Conversation:
    found = conversations.load(store, id)
    assert found
    return found


def test_a_reply_is_the_sum_of_its_pieces_and_knows_what_made_it(store: Store) -> None:
    say(store, "1", None, FIRE)
    answer(store, "2", "1", "Gather ", "dry wood", ".")
    said, reply = load(store).shown
    assert (said.text, said.author, said.chatting) == (FIRE, "ana", None)
    assert (reply.text, reply.chatting) == ("Gather dry wood.", Chatting(seed=3))
    assert reply.outcome == Outcome("finished", "", "r1", "chat", "stop", 5, 0.5)


def test_tries_stand_beside_each_other_and_the_newest_is_shown(store: Store) -> None:
    say(store, "1", None, FIRE)
    answer(store, "2", "1", "one")
    say(store, "3", "2", "and then?")
    answer(store, "4", "1", "two")
    there = load(store)
    assert [turn.id for turn in there.shown] == ["1", "4"]
    assert [turn.id for turn in there.tries(there.shown[-1])] == ["2", "4"]
    assert there.left_at(there.turns[1]) == "3"
    conversations.show_up_to(store, "c", "3")
    assert [turn.id for turn in load(store).shown] == ["1", "2", "3"]
    conversations.show_up_to(store, "c", None)
    assert load(store).shown == ()
    assert [turn.id for turn in load(store).after(None)] == ["1"]


def test_a_reply_that_a_dead_studio_left_is_marked_with_what_had_come(store: Store) -> None:
    say(store, "1", None, FIRE)
    answer(store, "2", "1", "Gather ", end=False)
    assert conversations.mark_interrupted(store) == 1
    reply = load(store).shown[-1]
    assert (reply.text, reply.outcome.status) == ("Gather ", "interrupted")
    assert "stopped while" in reply.outcome.detail
    assert conversations.mark_interrupted(store) == 0


def test_the_list_is_found_renamed_and_deleted(store: Store) -> None:
    say(store, "1", None, FIRE)
    answer(store, "2", "1", "Gather dry wood.")
    say(store, "3", None, HOSTILE, "d")
    assert [(row.id, row.name, row.turns, row.models) for row in conversation_list.listed(store)] == [
        ("d", HOSTILE, 1, ()),
        ("c", FIRE, 2, ("bundled",)),
    ]
    assert [row.id for row in conversation_list.listed(store, "DRY")] == ["c"]
    assert [row.id for row in conversation_list.listed(store, "drop table")] == ["d"]
    conversations.rename(store, "c", "  Fires \n in woods ", "ana")
    assert load(store).name == "Fires in woods"
    assert [row.id for row in conversation_list.listed(store, "in woods")] == ["c"]
    conversations.delete(store, "c", "ana")
    assert conversations.load(store, "c") is None
    assert [row.id for row in conversation_list.listed(store)] == ["d"]
    with pytest.raises(UserError, match="no such conversation"):
        conversations.rename(store, "c", "again", "ana")


def test_a_turn_needs_its_parent_in_the_same_conversation(store: Store) -> None:
    say(store, "1", None, FIRE)
    say(store, "2", None, "else", "d")
    with pytest.raises(UserError, match="no such turn"):
        say(store, "3", "1", "not here", "d")
    with pytest.raises(UserError, match="no such conversation"), store.tx() as tx:
        conversations.add_turn(tx, NewTurn("4", "nowhere", None, "user", "ana"), "hello")


def test_scores_are_by_preference_model_and_the_newest_counts(store: Store) -> None:
    conversations.add_scores(store, "pm", "r1", {"2": 0.5, "4": -1.0})
    conversations.add_scores(store, "pm", "r1", {"2": 0.75})
    conversations.add_scores(store, "other", "r9", {"2": 9.0})
    assert conversations.scores(store, "pm", ["2", "4", "6"]) == {"2": 0.75, "4": -1.0}
