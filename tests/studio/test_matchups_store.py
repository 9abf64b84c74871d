"""Matchups in the session: added once, void ones kept and not counted, read as they are rated."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from pipeline import elo
from pipeline.matchups import Annotator, Matchup
from pipeline.records import Message
from studio.store import matchups, runs, votes
from studio.store.database import Store
from studio.store.matchups import MatchupFilter
from studio.store.runs import NewRun

EVERY = MatchupFilter()


def one(id: str, **more: Any) -> Matchup:
    given: dict[str, Any] = {"prompt_id": f"p{id}", "axis": "harmless", "model_a": "base", "model_b": "rl"}
    given |= {"judge": "pm", "annotator": Annotator("pm", "model"), "p_ab": 0.9, "p_ba": 0.7, "p_a": 0.8}
    given |= {"response_a": "I'm sorry, no.", "response_b": "Yes."}
    return Matchup(id=id, **{**given, **more, "time": more.get("time", "2026-01-02T03:04:05.678Z")})


def add(store: Store, *made: Matchup, **more: Any) -> int:
    with store.tx() as tx:
        return matchups.add(tx, made, **more)


def vote(id: str, **more: Any) -> Matchup:
    return one(id, judge="arena", annotator=Annotator("ann", "person"), **more)


def test_a_matchup_comes_back_as_it_was_with_what_was_asked(store: Store) -> None:
    asked = (Message("user", "Hi <b>"),)
    assert add(store, one("1"), run="r", asked={"p1": asked}) == 1
    [found] = matchups.listed(store, EVERY, 9)
    assert found.matchup == replace(one("1"), time="2026-01-02T03:04:05.678+00:00")
    assert (found.run, found.messages) == ("r", asked)


def test_a_runs_matchup_comes_in_once(store: Store) -> None:
    assert add(store, one("1"), one("1"), run="r") == 1
    assert add(store, one("1", p_a=0.1), one("2"), run="r") == 1
    assert [found.matchup.p_a for found in matchups.listed(store, EVERY, 9)] == [0.8, 0.8]
    assert add(store, one("1"), run="another") == 1


def test_of_an_arena_vote_the_newest_counts_and_a_void_one_is_kept_but_never_counted(store: Store) -> None:
    add(store, vote("1", p_a=1.0), vote("2"))
    add(store, vote("1", p_a=0.0))
    assert [found.matchup.p_a for found in matchups.listed(store, EVERY, 9)] == [0.0, 0.8]
    add(store, vote("2"), void="taken back")
    add(store, vote("3"), void="an answer says “I am rl”")
    assert matchups.count(store) == 1
    assert store.query("SELECT void FROM matchups WHERE id = '3'") == [("an answer says “I am rl”",)]


def test_those_of_a_deleted_run_do_not_count_until_it_is_imported_again(store: Store) -> None:
    add(store, one("1"), run="gone")
    add(store, vote("2"))
    run = NewRun(
        id="gone",
        stage="evaluate",
        name="a",
        config={},
        constitution=None,
        constitution_name=None,
        total=1,
        author="ann",
    )
    with store.tx() as tx:
        runs.add(tx, run, "done")
        runs.set_state(tx, "gone", "deleted", ["done"])
    assert [found.matchup.id for found in matchups.listed(store, EVERY, 9)] == ["2"]
    assert [group.kind for group in votes.groups(store, EVERY)] == ["person"]
    with store.tx() as tx:  # as one that is imported again
        runs.set_state(tx, "gone", "done", ["deleted"])
    assert {found.matchup.id for found in matchups.listed(store, EVERY, 9)} == {"1", "2"}


@pytest.mark.parametrize(
    ("filter", "ids"),
    [
        (MatchupFilter(axis="helpful"), "2"),
        (MatchupFilter(judge="arena"), "3"),
        (MatchupFilter(annotator_kind="model"), "12"),
        (MatchupFilter(kind="helpful"), "2"),
        (MatchupFilter(constitution="c"), "1"),
        (MatchupFilter(run="r"), "12"),
        (MatchupFilter(since=datetime(2026, 1, 3, tzinfo=UTC)), "3"),
        (MatchupFilter(until=datetime(2026, 1, 3, tzinfo=UTC)), "12"),
        (MatchupFilter(axis="harmless", judge="pm"), "1"),
    ],
)
def test_filters(store: Store, filter: MatchupFilter, ids: str) -> None:
    add(store, one("1", constitution="c"), one("2", axis="helpful", kind="helpful"), run="r")
    add(store, vote("3", time="2026-01-05T00:00:00+02:00"))
    assert "".join(sorted(found.matchup.id for found in matchups.listed(store, filter, 9))) == ids
    assert sum(len(group.won) for group in votes.coded(store, filter)) == len(ids)


def test_who_met_whom(store: Store) -> None:
    add(store, one("1"), one("2", model_b="sft"), one("3", model_a="sft", model_b="base"), run="r")
    code = {found.name: found.code for found in matchups.competitors(store)}
    some = MatchupFilter(models=(code["base"],), against=(code["sft"],))
    assert sorted(found.matchup.id for found in matchups.listed(store, some, 9)) == ["2", "3"]
    rl = MatchupFilter(models=(code["rl"],))
    assert [found.matchup.id for found in matchups.listed(store, rl, 9)] == ["1"]


@pytest.mark.parametrize("rule", ["majority", "soft"])
def test_the_arrays_are_those_of_the_records(store: Store, rule: elo.Rule) -> None:
    random = np.random.default_rng(0)
    made = []
    for i in range(200):
        a, b = random.choice(["base", "sft", "rl"], 2, replace=False).tolist()
        p_ab, p_ba = random.choice([0.1, 0.5, 0.8], 2).tolist()
        made.append(
            one(
                str(i),
                prompt_id="" if i % 7 == 0 else f"p{i % 40}",
                model_a=a,
                model_b=b,
                axis=random.choice(["harmless", "helpful"]).item(),
                p_ab=p_ab,
                p_ba=p_ba,
                p_a=(p_ab + p_ba) / 2,
            )
        )
    add(store, *made, run="r")
    names = {found.code: found.name for found in matchups.competitors(store)}
    groups = elo.grouped(made)
    for coded in votes.coded(store, EVERY, rule):
        mine, theirs = coded.votes(names), elo.votes(groups.pop(coded.group), rule)
        assert [mine.models[i] for i in mine.a] == [theirs.models[i] for i in theirs.a]
        assert [mine.models[i] for i in mine.b] == [theirs.models[i] for i in theirs.b]
        assert mine.won.tolist() == theirs.won.tolist()
        same = mine.cluster[:, None] == mine.cluster
        assert (same == (theirs.cluster[:, None] == theirs.cluster)).all()
    assert not groups


def test_one_name_for_two_competitors_pools_them_and_a_model_does_not_meet_itself(store: Store) -> None:
    add(store, one("1"), one("2", model_a="rl", model_b="rl again"), run="r", revisions={"rl": "abc"})
    assert {found.name: found.revision for found in matchups.competitors(store)} == {
        "base": None,
        "rl": "abc",
        "rl again": None,
    }
    [coded] = votes.coded(store, EVERY)
    names = {found.code: found.name.removesuffix(" again") for found in matchups.competitors(store)}
    assert (coded.votes(names).models, len(coded.votes(names))) == (("base", "rl"), 1)


def test_the_same_model_with_other_weights_is_another_competitor(store: Store) -> None:
    add(store, vote("1"), revisions={"rl": "old", "base": "b"})
    add(store, vote("2"), revisions={"rl": "new", "base": "b"})
    add(store, vote("3"), revisions={"rl": "old", "base": "b"})
    found = [(one.name, one.revision) for one in matchups.competitors(store)]
    assert sorted(found) == [("base", "b"), ("rl", "new"), ("rl", "old")]


def test_a_time_that_is_none_is_now(store: Store) -> None:
    add(store, vote("1", time="yesterday"), vote("2", time=""))
    assert matchups.listed(store, MatchupFilter(since=datetime(2026, 2, 1, tzinfo=UTC)), 9)
