"""Voting in the arena: blind until the vote, which is a matchup, or void, or taken back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.chat import Chatting
from pipeline.errors import UserError
from pipeline.matchups import Matchup
from studio import arena_acts, battling
from studio.components import arena_battles, arena_view
from studio.components.arena_bar import BATTLE, QUEUE
from studio.context import Studio
from studio.store import battles, conversations, matchups
from studio.store.battles import Vote
from studio.store.matchups import MatchupFilter

HOSTILE = "</div><img src=x onerror=alert(1)><script>alert(2)</script>\"' [a](http://b.c)"
MARKUP = re.compile(r"<(img|script)|<a href=\"http")
ZEBRA, WALRUS = "/models/zebra-7", "org/walrus-8"
SECRETS = re.compile(r"zebra|walrus|seed|gguf|r1\b|/s\b|loading", re.IGNORECASE)


@pytest.fixture
def fight(studio: Studio, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A battle with these answers, the left one Zebra's; whole, unless it is not waited for."""

    def begin(left: str = "Gather wood.", right: str = "Ask a ranger.", wait: bool = True) -> str:
        engines = {ZEBRA: scripted(left, name=ZEBRA), WALRUS: scripted(right, name=WALRUS)}
        monkeypatch.setattr(studio.live, "load", lambda model, *_: engines[model])
        prompt = battling.typed("how can I light a fire?", "harmless")
        id = studio.battles.start(prompt, (ZEBRA, WALRUS), Chatting(), "harmless", 7, "ana")
        for reply in studio.battles.replies(id) if wait else ():
            reply.join(10)
        return id

    return begin


def pictures(studio: Studio, id: str, who: str = "ana") -> list[list[Any]]:
    return list(arena_battles.pictures(studio, id, "harmless", who))


def kept(studio: Studio) -> list[Matchup]:
    return [found.matchup for found in matchups.listed(studio.store, MatchupFilter(), 9)]


def test_a_vote_reads_the_answers_only_as_it_is_kept(
    studio: Studio, fight: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    id = fight()
    pictures(studio, id)
    query, asked = studio.store.query, list[str]()
    monkeypatch.setattr(studio.store, "query", lambda sql, params=(): asked.append(sql) or query(sql, params))
    arena_acts.vote(studio, id, "left", "ana")
    [[view, *_]] = pictures(studio, id)
    assert 'data-state="voted"' in view
    assert conversations.TURNS not in asked  # but in the vote's own transaction
    assert asked.count(battles.LOAD) == 1
    arena_acts.take_back(studio, "ana", id)
    [[view, *_]] = pictures(studio, id)
    assert 'data-state="taken back"' in view


def test_nothing_tells_who_wrote_what_before_the_vote_and_the_names_come_after(
    studio: Studio, fight: Callable[..., str]
) -> None:
    id = fight(wait=False)
    for picture in pictures(studio, id):
        assert not SECRETS.search(json.dumps(picture))
    [[view, *_]] = pictures(studio, id)
    assert 'data-state="open"' in view
    assert not SECRETS.search(view)
    arena_acts.vote(studio, id, "left", "ana")
    [[view, *_]] = pictures(studio, id)
    assert view.index("zebra-7") < view.index("org/walrus-8")
    assert "<b>zebra-7</b> beats <b>org/walrus-8</b>" in view
    assert "your vote" in view


@pytest.mark.parametrize(("vote", "share"), [("left", 1.0), ("right", 0.0), ("tie", 0.5), ("both_bad", 0.5)])
def test_a_vote_is_a_matchup_of_a_person(
    studio: Studio, fight: Callable[..., str], vote: Vote, share: float
) -> None:
    id = fight()
    for _ in range(2):  # pressed twice
        arena_acts.vote(studio, id, vote, "ana")
    [made] = kept(studio)
    assert (made.id, made.model_a, made.model_b) == (id, ZEBRA, WALRUS)
    assert (made.p_ab, made.p_ba, made.p_a) == (share, share, share)
    assert (made.judge, made.annotator.name, made.annotator.kind) == ("arena", "ana", "person")
    assert (made.axis, made.response_a, made.response_b) == ("harmless", "Gather wood.", "Ask a ranger.")
    assert {one.name: one.revision for one in matchups.competitors(studio.store)} == {
        ZEBRA: "r1",
        WALRUS: "r1",
    }
    battle = battles.load(studio.store, id)
    assert battle
    assert (battle.vote, battle.state) == (vote, "voted")
    assert battles.counts(studio.store, "ana", "harmless") == battles.Counts(1, 0)


@pytest.mark.parametrize(
    "answer", ["I am walrus-8, at your service.", "As ChatGPT, no.", "I was made by Ana."]
)
def test_an_answer_that_tells_its_model_makes_the_vote_void(
    studio: Studio, fight: Callable[..., str], answer: str
) -> None:
    id = fight(right=answer)
    arena_acts.vote(studio, id, "right", "ana")
    assert kept(studio) == []
    battle = battles.load(studio.store, id)
    assert battle
    assert (battle.vote, battle.state) == ("right", "void")
    [[view, *_]] = pictures(studio, id)
    assert "<b>Void.</b> An answer tells who wrote it" in view
    assert battles.counts(studio.store, "ana", "harmless") == battles.Counts(0, 1)


def test_the_last_vote_is_taken_back_and_its_battle_takes_no_other(
    studio: Studio, fight: Callable[..., str]
) -> None:
    first, second = fight(), fight()
    arena_acts.vote(studio, first, "left", "ana")
    arena_acts.vote(studio, second, "tie", "ana")
    assert arena_acts.take_back(studio, "ana", second) == second
    assert [made.id for made in kept(studio)] == [first]
    arena_acts.vote(studio, second, "left", "ana")  # pressed once more: nothing
    [[view, *_]] = pictures(studio, second)
    assert 'data-outcome="taken back"' in view
    assert arena_acts.take_back(studio, "ana", first) == first
    assert kept(studio) == []
    for who in ("ana", "ben"):
        with pytest.raises(UserError, match="no vote of yours"):
            arena_acts.take_back(studio, who, "")


def test_a_second_press_of_undo_is_about_the_same_vote(studio: Studio, fight: Callable[..., str]) -> None:
    first, second = fight(), fight()
    for id in (first, second):
        arena_acts.vote(studio, id, "left", "ana")
    for _ in range(2):
        assert arena_acts.take_back(studio, "ana", second) == second
    assert [made.id for made in kept(studio)] == [first]
    assert f'data-last="{first}"' in pictures(studio, second)[0][0]
    arena_acts.vote(studio, third := fight(), "tie", "ana")  # in another tab
    with pytest.raises(UserError, match="voted since"):
        arena_acts.take_back(studio, "ana", first)
    assert {made.id for made in kept(studio)} == {first, third}


def test_only_the_battle_that_undo_would_take_says_so(studio: Studio, fight: Callable[..., str]) -> None:
    first, second = fight(), fight()
    for id in (first, second):
        arena_acts.vote(studio, id, "left", "ana")
    views = {id: pictures(studio, id)[0][0] for id in (first, second)}
    assert all("your vote" in view for view in views.values())
    assert [id for id, view in views.items() if "takes the vote back" in view] == [second]
    theirs = pictures(studio, second, "ben")[0][0]
    assert "beats" in theirs
    assert "your vote" not in theirs
    assert "takes the vote back" not in theirs


def test_undo_takes_no_vote_that_came_after_the_page(studio: Studio, fight: Callable[..., str]) -> None:
    arena_acts.vote(studio, fight(), "left", "ana")  # in another tab
    with pytest.raises(UserError, match="voted since"):
        arena_acts.take_back(studio, "ana", last="")
    assert len(kept(studio)) == 1


def test_who_may_vote_on_what(studio: Studio, fight: Callable[..., str]) -> None:
    id = fight()
    assert arena_acts.unfinished(studio, "ana") == id
    assert arena_acts.unfinished(studio, "ben") == ""
    with pytest.raises(UserError, match="another person's"):
        arena_acts.vote(studio, id, "left", "ben")
    with pytest.raises(UserError, match="no such battle"):
        arena_acts.vote(studio, "nowhere", "left", "ana")
    arena_acts.vote(studio, id, "left", "ana")
    assert arena_acts.unfinished(studio, "ana") == ""


def test_a_failed_battle_takes_no_vote_and_says_why(
    studio: Studio, fight: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any) -> Any:
        raise UserError(HOSTILE)

    monkeypatch.setattr(studio.live, "load", load)
    prompt = battling.typed("Hi", "helpful")
    id = studio.battles.start(prompt, (HOSTILE, "b"), Chatting(), "helpful", 7, "ana")
    [view, *_] = pictures(studio, id)[-1]
    assert 'data-state="over"' in view
    assert "&lt;img" in view
    assert not MARKUP.search(view)
    with pytest.raises(UserError, match="takes no vote"):
        arena_acts.vote(studio, id, "left", "ana")


def test_no_text_becomes_markup(studio: Studio, fight: Callable[..., str]) -> None:
    id = fight(HOSTILE, HOSTILE)
    for picture in pictures(studio, id):
        assert not MARKUP.search(picture[0])
    arena_acts.vote(studio, id, "tie", "ana")
    [[view, *_]] = pictures(studio, id)
    assert not MARKUP.search(view)
    assert "no battle of that id" in pictures(studio, "<gone>")[0][0]
    assert arena_view.EMPTY in pictures(studio, "")[0][0]


def test_a_draw_is_kept_and_its_prompt_is_one_of_the_shipped(
    studio: Studio, fight: Callable[..., str]
) -> None:
    fight()
    values = ("helpful", ZEBRA, WALRUS, 8, 1.0, 1.0, "")
    id, text = arena_battles._start(studio, "", values, "ana")
    *_, last = pictures(studio, id)
    assert 'data-state="open"' in last[0]
    battle = battles.load(studio.store, id)
    assert battle
    assert (battle.axis, battle.kind, battle.messages[-1].content) == ("helpful", "helpful", text)
    drawn = [turn.chatting.model for turn in battle.sides if turn.chatting]
    assert drawn == list(battling.draw(ZEBRA, WALRUS, (), battle.seed))
    assert [update["value"] for update in arena_battles._remembered(studio)] == list(values)
    with pytest.raises(UserError, match="too few"):
        arena_battles._start(studio, "Hi", ("helpful", "", "", 8, 1.0, 1.0, ""), "ana")


def test_each_key_is_one_act() -> None:
    for bar in (BATTLE, QUEUE):
        assert len({action for action, *_ in bar}) == len({key for _, key, *_ in bar}) == len(bar)
