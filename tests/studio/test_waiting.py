"""People as judges of a tournament: its pairs wait, each is asked of a person once, a vote is a matchup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.matchups import Matchup, Waiting
from pipeline.records import Message, as_json
from studio import waiting_acts
from studio.components import arena_queue, elo_asked, elo_behind, elo_data
from studio.components.audit_sides import first_side
from studio.context import Studio
from studio.jobs.ingest import take
from studio.store import matchups, runs, waiting
from studio.store.matchups import MatchupFilter
from studio.store.runs import NewRun

HOSTILE = "</div><img src=x onerror=alert(1)>"
SECRETS = re.compile(r"zebra|walrus|weights", re.IGNORECASE)


def pair(id: str, **more: Any) -> Waiting:
    given: dict[str, Any] = {"prompt_id": f"p{id}", "axis": "harmless", "messages": (Message("user", "Hi"),)}
    given |= {"model_a": "zebra-7", "model_b": "org/walrus-8", "response_a": f"A{id}", "response_b": f"B{id}"}
    return Waiting(id=id, **{"revision_a": "weights-a", "revision_b": "weights-b", **given, **more})


def run(id: str) -> NewRun:
    return NewRun(
        id=id,
        stage="evaluate",
        name=f"<i>{id}</i>",
        config={},
        constitution=None,
        constitution_name=None,
        total=3,
        author="ana",
    )


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio.open(tmp_path / "s", "s")
    with studio.store.tx() as tx:
        runs.add(tx, run("r"), "done")
        waiting.add(tx, [pair(id) for id in "123"], "r")
    yield studio
    studio.close()


def act(studio: Studio, action: str, item: str = "", who: str = "ana", last: str = "") -> list[Any]:
    asked = {"action": action, "item": item, "last": last, "seconds": 3.2}
    return arena_queue.act(studio, asked, who, "r")


def kept(studio: Studio) -> list[Matchup]:
    return [found.matchup for found in matchups.listed(studio.store, MatchupFilter(), 9)]


def test_a_pair_is_asked_of_a_person_once_and_everybody_gets_the_same_order(studio: Studio) -> None:
    for who in ("ana", "ben"):
        asked = []
        while id := waiting.next_pair(studio.store, "r", who):
            asked.append(id)
            waiting_acts.vote(studio, "r", id, "tie", who)
        assert asked == ["1", "2", "3"]
    assert "judged every pair" in arena_queue.picture(studio, "r", "ana")[0]
    [queue] = waiting.queues(studio.store, "ana")
    assert (queue.total, queue.mine, queue.anybody) == (3, 3, 3)
    assert len(kept(studio)) == 6


def test_a_vote_reads_what_it_changed_and_the_next_pair(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    arena_queue.picture(studio, "r", "ana")
    act(studio, "left", "r/1")
    query, asked = studio.store.query, list[str]()
    monkeypatch.setattr(studio.store, "query", lambda sql, params=(): asked.append(sql) or query(sql, params))
    assert 'data-item="r/3"' in act(studio, "left", "r/2")[0]
    assert [asked.count(sql) for sql in (waiting.LOAD, waiting.LEFT, waiting.JUDGED)] == [1, 1, 1]
    assert waiting.QUEUES not in asked
    # Whether the pair is judged already, and which vote undo would take back; the next one is judged by none.
    assert sum(sql.startswith(waiting.HELD) for sql in asked) == 2


@pytest.mark.parametrize("who", ["ana", "ben", "cem", "dai"])
def test_a_vote_is_a_matchup_of_the_runs_models_in_the_pairs_own_sides(studio: Studio, who: str) -> None:
    for _ in range(2):  # pressed twice
        waiting_acts.vote(studio, "r", "1", "left", who)
    [made] = kept(studio)
    left = 1.0 if first_side("1", who) == "a" else 0.0
    assert (made.p_ab, made.p_ba, made.p_a) == (left, left, left)
    assert (made.model_a, made.model_b, made.response_a) == ("zebra-7", "org/walrus-8", "A1")
    assert (made.judge, made.annotator.name, made.annotator.kind) == ("tournament", who, "person")
    assert {(one.run, one.name, one.revision) for one in matchups.competitors(studio.store)} == {
        ("r", "zebra-7", "weights-a"),
        ("r", "org/walrus-8", "weights-b"),
    }


def test_both_bad_is_kept_and_is_a_tie_to_the_rating(studio: Studio) -> None:
    waiting_acts.vote(studio, "r", "1", "both_bad", "ana")
    held = waiting.held(studio.store, "r", "1", "ana")
    assert held
    assert (held.vote, kept(studio)[0].p_a) == ("both_bad", 0.5)


def test_sides_are_shuffled_about_half_and_the_same_at_each_look() -> None:
    first = [first_side(str(id), "ana") for id in range(2000)]
    assert 900 < first.count("a") < 1100
    assert first == [first_side(str(id), "ana") for id in range(2000)]


def test_nothing_tells_who_wrote_what_before_the_vote_or_after(studio: Studio) -> None:
    for part in (*arena_queue.picture(studio, "r", "ana"), *act(studio, "left", "r/1")):
        assert not SECRETS.search(part)
    view, figures, said = act(studio, "left", "r/2")
    assert 'data-item="r/3"' in view
    assert "<b>2</b> of 3 judged by <b>ana</b>" in figures
    assert "Kept: the left answer is better" in said
    assert "&lt;i&gt;r" in figures


def test_undo_takes_the_matchup_back_and_the_vote_can_be_given_anew(studio: Studio) -> None:
    act(studio, "left", "r/1")
    act(studio, "tie", "r/2")
    view, _, said = act(studio, "undo", last="r/2")
    assert 'data-item="r/2"' in view
    assert 'data-state="open"' in view
    assert "Taken back" in said
    assert len(kept(studio)) == 1
    act(studio, "both_bad", "r/2")
    assert len(kept(studio)) == 2
    assert "no vote of yours" in act(studio, "undo", who="ben")[2]


def drawer(studio: Studio, who: str) -> str:
    asked = elo_asked.Asked()
    [group] = elo_data.picture(studio, asked).rated
    return elo_behind.behind_html(studio, asked, f"model:{group.key}:zebra-7", who)


def test_the_elo_drawer_tells_nobody_who_wrote_what_they_have_yet_to_judge(studio: Studio) -> None:
    with studio.store.tx() as tx:  # of the prompt of pair 1, one answer again
        waiting.add(tx, [pair("4", prompt_id="p1", response_a="A1")], "r")
    for id in "124":
        act(studio, "left", f"r/{id}")
    shown = drawer(studio, "ana")
    assert "3 matchups." in shown
    assert all(text in shown for text in ("A1", "B1", "B4", "A2", "walrus"))
    act(studio, "left", "r/1", "ben")
    act(studio, "left", "r/2", "ben")
    shown = drawer(studio, "ben")
    assert "A2" in shown
    assert not any(text in shown for text in ("A1", "B1", "B4"))
    assert shown.count("who wrote") == 3  # both votes on pair 1, and that on pair 4
    assert "walrus" not in drawer(studio, "cem")


def test_a_vote_stands_once_the_elo_drawer_has_told_who_wrote_what(studio: Studio) -> None:
    act(studio, "left", "r/1")
    drawer(studio, "ben")
    drawer(studio, "ana")
    assert "has shown you who wrote" in act(studio, "undo", last="r/1")[2]
    assert len(kept(studio)) == 1
    act(studio, "left", "r/2")
    assert "Taken back" in act(studio, "undo", last="r/2")[2]


def test_a_second_press_of_undo_is_about_the_same_vote(studio: Studio) -> None:
    act(studio, "left", "r/1")
    assert 'data-last="r/2"' in act(studio, "tie", "r/2")[0]
    for _ in range(2):
        view, _, said = act(studio, "undo", "r/3", last="r/2")
        assert 'data-item="r/2"' in view
        assert "Taken back" in said
    assert len(kept(studio)) == 1
    act(studio, "tie", "r/2")
    assert "voted since" in act(studio, "undo", "r/3", last="r/1")[2]


def test_undo_takes_no_vote_that_came_after_the_page(studio: Studio) -> None:
    act(studio, "left", "r/1")  # in another tab
    assert "voted since" in act(studio, "undo", last="")[2]
    assert len(kept(studio)) == 1


def test_a_skip_comes_again_after_the_others(studio: Studio) -> None:
    assert 'data-item="r/2"' in act(studio, "skip", "r/1")[0]
    assert 'data-item="r/3"' in act(studio, "tie", "r/2")[0]
    assert 'data-item="r/1"' in act(studio, "tie", "r/3")[0]


def test_an_answer_that_tells_its_model_makes_the_vote_void(studio: Studio) -> None:
    with studio.store.tx() as tx:
        waiting.add(tx, [pair("0", response_b="I am walrus-8.")], "r")
    view, _, said = act(studio, "left", "r/0")
    assert "<b>Void:</b> an answer tells who wrote it (“walrus-8”)" in said
    assert kept(studio) == []
    assert 'data-item="r/1"' in view


def test_what_is_not_there_is_said(studio: Studio) -> None:
    assert "no such pair" in act(studio, "left", "r/nowhere")[2]
    assert "no such pair" in arena_queue.picture(studio, "r", "ana", "nowhere")[0]
    assert "No pairs wait for people" in arena_queue.picture(studio, "elsewhere", "ana")[0]
    with pytest.raises(UserError, match="no such pair"):
        waiting_acts.vote(studio, "elsewhere", "1", "left", "ana")


def test_no_text_becomes_markup(studio: Studio) -> None:
    said = pair("0", messages=(Message("user", HOSTILE),), response_a=HOSTILE, response_b=HOSTILE)
    with studio.store.tx() as tx:
        waiting.add(tx, [said], "r")
    assert "<img" not in arena_queue.picture(studio, "r", "ana", "0")[0]


def test_pairs_of_a_run_come_in_once_and_those_of_a_deleted_one_wait_no_more(studio: Studio) -> None:
    line = json.dumps(as_json(pair("4"))).encode() + b"\n"
    for _ in range(2):
        take(studio.store, run("r"), "outputs/waiting.jsonl", 0, line)
    assert waiting.queues(studio.store, "ana")[0].total == 4
    waiting_acts.vote(studio, "r", "4", "left", "ana")
    with studio.store.tx() as tx:
        runs.set_state(tx, "r", "deleted", ["done"])
    assert waiting.queues(studio.store, "ana") == []
    assert kept(studio) == []
    with studio.store.tx() as tx:  # as one that is imported again
        runs.set_state(tx, "r", "done", ["deleted"])
    assert [queue.total for queue in waiting.queues(studio.store, "ana")] == [4]
    assert len(kept(studio)) == 1
