"""What the chat page shows: nothing of anybody's text is live, and each reply says what made it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from pipeline.chat import Chatting
from pipeline.engines.rewarding import Rewards
from studio import chat_sending
from studio.chatting import Moment
from studio.components import chat_view
from studio.components.chat_list import SCRIPT, chat_list
from studio.components.chat_models import called
from studio.components.chat_view import Knowing
from studio.context import Studio
from studio.pages import chat
from studio.store import conversations, settings
from studio.store.conversations import Conversation, NewTurn, Outcome, Turn

HOSTILE = "</textarea></div><img src=x onerror=alert(1)><script>alert(2)</script>\"' [a](http://b.c)"
MARKUP = re.compile(r"<(img|script)|<a href=\"http")
ASKED = Chatting(model=HOSTILE, system=HOSTILE, seed=3)
WHOLE = Outcome("finished", "", "r1", "chat", "stop", 30, 2.0)


def reply(id: str, parent: str, text: str, outcome: Outcome = WHOLE) -> Turn:
    return Turn(id, "c", parent, "assistant", "ana", ASKED, text, outcome)


SAID = Turn("1", "c", None, "user", HOSTILE, None, HOSTILE)
TRIED = Conversation("c", HOSTILE, ("3",), (SAID, reply("2", "1", "one"), reply("3", "1", HOSTILE)))


def test_no_text_becomes_markup() -> None:
    knowing = Knowing([(HOSTILE, HOSTILE)], HOSTILE, {"3": 0.5})
    failed = replace(TRIED, turns=(*TRIED.turns[:2], reply("3", "1", "", Outcome("failed", HOSTILE))))
    new = NewTurn("4", "c", "1", "assistant", "ana", ASKED)
    for html in (
        chat_view.thread(TRIED, knowing),
        chat_view.thread(failed, knowing),
        chat_view.in_progress(new, Moment(text=HOSTILE, doing=HOSTILE), knowing),
    ):
        assert not MARKUP.search(html)
        assert "&lt;img src=x" in html


def test_a_reply_says_what_made_it_its_speed_its_score_and_which_try_it_is() -> None:
    html = chat_view.thread(TRIED, Knowing(pm="harmless PM", scores={"3": -0.4567}))
    assert "30 tokens, 15.0/s" in html
    assert "PM -0.46" in html
    assert "harmless PM: only the difference" in html
    assert "2 of 2" in html
    for fact in ("<dt>weights</dt><dd>r1</dd>", "<dt>seed</dt><dd>3</dd>", "<dt>top p</dt><dd>1</dd>"):
        assert fact in html
    assert 'data-send="audit"' in html
    assert '<option value="2">with try 1</option>' in html


@pytest.mark.parametrize(
    ("status", "mark"),
    [("interrupted", "cut when the studio stopped"), ("stopped", "stopped here"), ("failed", "failed")],
)
def test_what_was_cut_says_so_and_is_not_sent_on(status: Any, mark: str) -> None:
    cut = replace(TRIED, turns=(*TRIED.turns[:2], reply("3", "1", "half", Outcome(status))))
    html = chat_view.thread(cut, Knowing())
    assert mark in html
    assert 'data-act="retry"' in html
    assert "data-send" not in html


def test_what_was_undone_can_be_brought_back_and_nothing_is_done_while_it_writes() -> None:
    undone = chat_view.thread(replace(TRIED, places=(None, "3")), Knowing())
    assert 'data-act="step" data-to="1"' in undone
    writing = chat_view.thread(TRIED, Knowing(), "3")
    assert "data-act" not in writing
    assert 'data-turn="3"' not in writing
    assert "how can I light a fire in the forest?" in chat_view.thread(None, Knowing())


@pytest.fixture
def studio(tmp_path: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    studio = Studio.open(tmp_path / "s", "s")
    monkeypatch.setattr(studio.live, "load", lambda *_: scripted("one two three"))
    yield studio
    studio.close()


def test_the_page_streams_then_shows_the_whole(studio: Studio) -> None:
    id = studio.chats.say("", "Hi", Chatting(model="scripted"), "ana")
    *_, last = chat._watch(studio, id, "")
    thread, reply, send, stop, undo = last
    assert "one two three" in thread
    assert reply == ""
    assert [button["interactive"] for button in (send, stop, undo)] == [True, False, True]
    [[missing, *_]] = list(chat._watch(studio, "<gone>", ""))
    assert "no conversation &lt;gone&gt;" in missing


@pytest.mark.parametrize("answered", [False, True])
def test_what_was_said_while_the_preference_model_read_is_not_covered_up(
    studio: Studio, scripted: Any, monkeypatch: pytest.MonkeyPatch, answered: bool
) -> None:
    id, gate = studio.chats.say("", "Hi", ASKED, "ana"), threading.Event()
    list(chat._watch(studio, id, ""))
    monkeypatch.setattr(studio.live, "load", lambda *_: gate.wait() and scripted("four"))

    def meanwhile(*_: Any) -> Rewards:
        studio.chats.say(id, "And then?", ASKED, "ana")
        if answered:
            gate.set()
            list(chat._watch(studio, id, ""))
        return Rewards("r7", (0.25,))

    monkeypatch.setattr(chat_sending, "rewards", meanwhile)
    _, (thread, said) = chat._score(studio, id, "pm")
    gate.set()
    assert said == ""
    assert ("And then?" in thread) if answered else thread == gr.skip()


def test_the_controls_come_back_as_the_conversations_last_reply_was_asked_for(studio: Studio) -> None:
    typed = ("scripted", "Be brief.", 64, 0.5, 0.9, 7, "")
    chatting = chat._chatting(studio, "", typed)
    id = studio.chats.say("", "Hi", chatting, "ana")
    chat._chatting(studio, "", ("bundled", "", 8, 0.0, 1.0, 8, ""))
    there = chat._remembered(studio, id)
    assert [update["value"] for update in there] == ["scripted", "Be brief.", 64, 0.5, 0.9, 8, "", ""]
    assert [update["value"] for update in chat._remembered(studio, "")][:3] == ["bundled", "", 8]
    settings.put(studio.store, chat.FORM, '{"pm": "a run that is gone"}')
    assert chat._remembered(studio, "")[-1]["value"] == ""


def test_the_list_escapes_what_it_shows_and_says_when_there_is_more(studio: Studio) -> None:
    with studio.store.tx() as tx:
        for number in range(3):
            conversations.begin(tx, f"c{number}", "ana")
            conversations.add_turn(tx, NewTurn(f"{number}", f"c{number}", None, "user", "ana"), HOSTILE)
    html, more = chat_list(studio.store, "", 2, "c1", [])
    assert more
    assert not MARKUP.search(html)
    assert html.count("<li") == 2
    assert html.count("aria-current") == 1
    assert chat_list(studio.store, "nowhere", 2, "", []) == (
        '<p class="cai-muted">No conversation matches.</p>',
        False,
    )


def test_the_list_is_read_again_once_something_was_said_and_only_then(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed() -> str:
        return chat_list(studio.store, "", 9, "", [])[0]

    assert "None yet" in listed()
    query, asked = studio.store.query, list[str]()
    monkeypatch.setattr(studio.store, "query", lambda sql, params=(): asked.append(sql) or query(sql, params))
    listed()
    assert asked == []
    id = studio.chats.say("", "What is fire?", ASKED, "ana")
    assert "What is fire?" in listed()
    list(chat._watch(studio, id, ""))
    conversations.rename(studio.store, id, "Fires", "ana")
    assert "Fires" in listed()
    conversations.delete(studio.store, id, "ana")
    assert "None yet" in listed()


def test_a_delete_says_that_it_takes_away_no_words() -> None:
    assert "Its words stay in the session’s file, its backups and exports" in SCRIPT


def test_models_are_called_by_name_and_folders_by_their_last_part() -> None:
    known = [("SL-CAI · SL-CAI (sft)", "/runs/1")]
    assert called("/runs/1", known) == "SL-CAI · SL-CAI (sft)"
    assert called("/else/where", known) == "where"
    assert called("org/name", known) == "org/name"
