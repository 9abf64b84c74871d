"""Battles in the making: who is drawn on which side, what streams when, and what a stop or a death leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import prompts
from pipeline.chat import Chatting
from pipeline.engines import EngineError
from pipeline.errors import UserError
from studio import battling
from studio.battling import ANY, draw
from studio.context import Studio
from studio.store import battles, conversation_list, conversations
from studio.store.battles import Battle

FIRE = "how can I light a fire in the forest?"


class Models:
    """Engines by name, where the model process would be; keeps the order of what was asked of them."""

    def __init__(self, **engines: Any) -> None:
        self.engines, self.order = engines, list[str]()

    def __call__(self, model: str, cancelled: Any, doing: Any) -> Any:
        doing(f"loading {model}")
        self.order.append(f"load {model}")
        return self.engines[model]


def begin(studio: Studio, models: Any, monkeypatch: pytest.MonkeyPatch, who: str = "ana") -> str:
    monkeypatch.setattr(studio.live, "load", models)
    prompt = battling.typed(FIRE, "harmless")
    return studio.battles.start(prompt, ("one", "two"), Chatting(), "harmless", 7, who)


def ended(studio: Studio, id: str) -> Battle:
    for reply in studio.battles.replies(id):
        reply.join(10)
    battle = battles.load(studio.store, id)
    assert battle
    return battle


def test_sides_are_drawn_by_the_seed_about_half_each() -> None:
    left = [draw("one", "two", (), seed)[0] for seed in range(2000)]
    assert 900 < left.count("one") < 1100
    assert left == [draw("one", "two", (), seed)[0] for seed in range(2000)]


def test_any_two_of_the_session_are_never_the_same_and_all_come() -> None:
    drawn = {draw(ANY, ANY, ("a", "b", "c"), seed) for seed in range(100)}
    assert drawn == {(x, y) for x in "abc" for y in "abc" if x != y}
    assert {frozenset(draw("b", ANY, ("a", "b", "c"), s)) for s in range(50)} == {
        frozenset("ab"),
        frozenset("bc"),
    }
    for one, other, known in (("a", "a", ()), (ANY, ANY, ("a",)), ("a", ANY, ("a",))):
        with pytest.raises(UserError, match="two models"):
            draw(one, other, known, 1)


def test_prompts_are_heldout_of_the_axis_and_none_comes_twice_before_all_did() -> None:
    asked: dict[str, int] = {}
    every = [p for p in prompts.starter("helpful") if p.split == "heldout"]
    for seed in range(len(every)):
        prompt = battling.next_prompt(asked, "helpful", seed)
        asked[prompt.id] = asked.get(prompt.id, 0) + 1
    assert asked == {prompt.id: 1 for prompt in every}
    same = battling.typed(every[0].messages[0].content, "harmless")
    assert (same.id, same.kind) == (every[0].id, "helpful")


def test_both_models_are_loaded_first_then_left_and_right_answer_in_turn(
    studio: Studio, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = Models(one=scripted("Gather wood."), two=scripted("Ask a ranger."))
    battle = ended(studio, begin(studio, models, monkeypatch))
    assert [turn.text for turn in battle.sides] == ["Gather wood.", "Ask a ranger."]
    assert battle.state == "open"
    assert models.order == ["load two", "load one", "load two"]
    assert [turn.chatting.seed for turn in battle.sides if turn.chatting] == [7, 7]
    assert [turn.outcome.revision for turn in battle.sides] == ["r1", "r1"]
    assert battles.asked(studio.store, "ana", "harmless") == {battle.prompt_id: 1}


def test_a_battle_is_no_conversation(studio: Studio, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    battle = ended(studio, begin(studio, Models(one=scripted("a"), two=scripted("b")), monkeypatch))
    assert conversations.load(studio.store, battle.id) is None
    assert conversation_list.listed(studio.store) == []


def test_a_stop_ends_both_and_no_other_begins_meanwhile(
    studio: Studio, pausing: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = pausing("Gather dry wood.")
    models = Models(one=paused, two=scripted("b"))
    id = begin(studio, models, monkeypatch)
    assert paused.said.wait(5)
    with pytest.raises(UserError, match="stop it first"):
        begin(studio, models, monkeypatch)
    studio.battles.stop(id)
    battle = ended(studio, id)
    assert battle.state == "over"
    assert [turn.outcome.status for turn in battle.sides] == ["stopped", "stopped"]
    assert battle.left.text == "Gather"
    assert studio.battles.replies(id) == ()
    with pytest.raises(UserError, match="takes no vote"), studio.store.tx() as tx:
        battles.vote(tx, battle, "left", None)


def test_where_one_fails_the_other_stops(
    studio: Studio, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(model: str, cancelled: Any, doing: Any) -> Any:
        raise EngineError(f"{model}: no such folder")

    battle = ended(studio, begin(studio, load, monkeypatch))
    assert battle.state == "over"
    assert battle.left.outcome.status == "failed"
    assert battle.left.outcome.detail == "the right answer's model can't be loaded: two: no such folder"
    assert battle.right.outcome.status == "stopped"


def test_a_studio_that_died_leaves_the_battle_interrupted_and_without_a_vote(tmp_path: Path) -> None:
    first = Studio.open(tmp_path / "s", "s")
    turns = [
        conversations.NewTurn(id, "b", None, "assistant", "ana", Chatting(model=f"m{id}")) for id in "12"
    ]
    with first.store.tx() as tx:
        battles.add(tx, "b", battling.typed(FIRE, "harmless"), "harmless", 1, turns[0], turns[1])
    conversations.end_turn(first.store, "1", "whole", conversations.Outcome())
    first.close()
    again = Studio.open(tmp_path / "s", "s")
    battle = battles.load(again.store, "b")
    assert battle
    assert (battle.state, battle.vote, battle.right.outcome.status) == ("over", None, "interrupted")
    again.close()
