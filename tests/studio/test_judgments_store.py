"""Pairs, labels and judgments: kept once, taken back, nobody's own overwritten."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.errors import UserError
from pipeline.records import Choice, Judgment, Label, Message, Pair, Source
from studio.progress import progress
from studio.store import held_judgments, labels, pairs, runs, sightings
from studio.store.archive import export_session
from studio.store.backups import back_up, restore_backup
from studio.store.database import Store
from studio.store.held_judgments import annotators, current
from studio.store.judgments import add_imported, judge, mine, newest, rank, seen, undo
from studio.store.labels import Labeller
from studio.store.pairs import Judge, PairFilter
from studio.store.runs import NewRun
from studio.store.unpacking import import_session

WHO = Labeller("m:odel", "choice", "c1")


def pair(id: str, **changes: Any) -> Pair:
    asked = (Message("user", f"Question {id}"),)
    made = Pair(id, f"prompt-{id}", asked, f"Sure {id}", f"I'm sorry, {id} \ud83d", source_a=Source("m"))
    return replace(made, **changes)


def ranked(group: str = "g", many: int = 3) -> list[Pair]:
    asked = (Message("user", f"Rank {group}"),)
    return [
        Pair(f"{group}{i}{j}", group, asked, f"r{i}", f"r{j}", group=group)
        for i in range(many)
        for j in range(i)
    ]


def label(pair: str, principle: str = "kind", logit: float = 1.0, **changes: Any) -> Label:
    made = Label(pair, principle, "choice", "m:odel", "c1", 0, logit, -logit, 0.6, 0.4, 0.5 + logit / 10)
    return replace(made, **changes)


def by(who: str, pair: str, choice: Choice = "a", **changes: Any) -> Judgment:
    return replace(Judgment(pair, "harmless", who, "person", choice), **changes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "s")
    add(opened, [pair(f"p{i}") for i in range(4)])
    yield opened
    opened.close()


def add(store: Store, some: list[Pair], run: str | None = None) -> int:
    with store.tx() as tx:
        return pairs.add(tx, some, run)


def told(store: Store, *some: Label, run: str = "run") -> int:
    with store.tx() as tx:
        return labels.add(tx, some, run)


def brought(store: Store, *some: Judgment, run: str | None = None) -> int:
    with store.tx() as tx:
        return add_imported(tx, some, run)


def held(store: Store, who: str = "ann") -> dict[str, str]:
    return {one.pair_id: one.choice for one in current(store, "harmless", [who])}


def test_a_pair_comes_in_once_and_comes_out_as_it_went_in(store: Store) -> None:
    assert add(store, [pair("p0", kind="helpful"), pair("new"), pair("new")], "r") == 1
    loaded = pairs.load(store, "new")
    assert loaded
    assert (loaded.pair, loaded.run) == (pair("new", response_b="I'm sorry, new \ufffd"), "r")
    assert pairs.load(store, "none") is None
    [row] = store.query("SELECT length_a, refuses_a, refuses_b FROM pairs WHERE id = 'new'")
    assert row == (len("Sure new"), False, True)


def test_pairs_are_found_by_what_is_said_of_them(store: Store) -> None:
    add(store, [pair("h", kind="helpful")], "r")
    told(store, label("p1"), label("p2"))
    judge(store, by("ann", "p3"))
    judge(store, by("ann", "p2", "skip"))

    def ids(**wanted: Any) -> list[str]:
        some = PairFilter(**wanted)
        found = [one.id for one in pairs.select(store, some)]
        assert pairs.count(store, some) == len(found)
        assert sorted(one.pair.id for one in pairs.listed(store, some, 99, 0)) == found
        return found

    assert ids(search="SORRY, P1") == ["p1"]
    assert ids(search="question h") == ids(kind="helpful") == ids(run="r") == ["h"]
    assert ids(labelled=WHO) == ["p1", "p2"]
    assert ids(unlabelled=WHO, kind="red_team") == ["p0", "p3"]
    assert ids(unlabelled=Labeller("m:odel", "cot", "c1")) == ["h", "p0", "p1", "p2", "p3"]
    assert ids(judged_by=Judge("ann", "person", "harmless")) == ["p3"]
    assert ids(judged_by=Judge("ann", "person", "helpful")) == []
    assert ids(judged_by=Judge("ann", "imported", "harmless")) == []
    assert [one.pair.id for one in pairs.listed(store, PairFilter(), 2, 1)] == ["p3", "p2"]
    assert pairs.prompts_of(store, ["p2", "p0"]) == ["prompt-p2", "prompt-p0"]


def test_a_label_comes_in_once_for_each_run_and_the_newest_counts(store: Store) -> None:
    assert told(store, label("p0"), label("p0", logit=9.0), label("p0", "wise")) == 2
    assert told(store, label("p0")) == 0
    assert told(store, label("p0", logit=2.0), run="later") == 1
    assert [one.logit_ab for one in labels.of_pair(store, "p0", WHO)] == [1.0, 2.0]
    [row] = labels.labellers(store)
    assert (row.labeller, row.pairs, row.rows, row.runs) == (WHO, 1, 3, 2)
    assert Labeller.of(WHO.key) == WHO
    with pytest.raises(UserError, match="no labeller"):
        Labeller.of("guess:c1:m")


def test_the_matrix_has_a_row_for_each_labelled_pair_and_nan_where_nothing_was_asked(store: Store) -> None:
    told(store, label("p2", "wise", 3.0), label("p0"), label("p0", method="cot"), label("gone"))
    told(store, label("p0", logit=2.0), run="later")
    found = labels.matrix(store, WHO)
    assert (found.pairs, found.principles) == (["p0", "p2"], ["kind", "wise"])
    assert found.logit_ab.tolist()[0][0] == 2.0
    assert str(found.logit_ba.tolist()) == "[[-2.0, nan], [nan, -3.0]]"
    assert labels.matrix(store, Labeller("x", "cot", "y")).p_a.shape == (0, 0)


def test_a_deleted_runs_labels_do_not_count_and_older_ones_do_until_it_is_imported_again(
    store: Store,
) -> None:
    told(store, label("p0", logit=1.0))
    told(store, label("p0", logit=2.0), label("p1", "wise"), run="later")
    judge(store, by("ann", "p1"))
    new = NewRun(
        id="later",
        stage="label",
        name="",
        config={},
        constitution="c1",
        constitution_name="Kind",
        total=2,
        author="ann",
    )
    with store.tx() as tx:
        runs.add(tx, new, "done")
    assert labels.labellers(store)[0].constitution_name == "Kind"
    with store.tx() as tx:
        runs.set_state(tx, "later", "deleted", ["done"])
    assert [one.logit_ab for one in labels.of_pair(store, "p0")] == [1.0]
    found = labels.matrix(store, WHO)
    assert (found.pairs, found.principles, found.logit_ab.tolist()) == (["p0"], ["kind"], [[1.0]])
    assert [row.rows for row in labels.labellers(store)] == [1]
    assert (pairs.count(store, PairFilter()), held(store)) == (4, {"p1": "a"})
    labelled, counted = PairFilter(labelled=WHO), progress(store).labelled
    assert (pairs.count(store, labelled), counted) == (1, 1)
    with store.tx() as tx:  # as one that is imported again
        runs.set_state(tx, "later", "done", ["deleted"])
    assert [one.logit_ab for one in labels.of_pair(store, "p0")] == [2.0]
    assert labels.matrix(store, WHO).pairs == ["p0", "p1"]
    assert [row.rows for row in labels.labellers(store)] == [3]
    assert (pairs.count(store, labelled), progress(store).labelled) == (2, 2)


def test_a_judgment_of_no_pair_is_refused(store: Store) -> None:
    with pytest.raises(UserError, match="no such pair"):
        judge(store, by("ann", "nowhere"))


def test_a_judgment_is_kept_only_in_the_place_of_what_was_seen(store: Store) -> None:
    judge(store, by("ann", "p0", "a"), instead_of=None)
    judge(store, by("ann", "p0", "b"), instead_of=None)  # asked for before the first was kept
    [first] = current(store, "harmless")
    assert first.choice == "a"
    judge(store, by("ann", "p0", "tie"), instead_of=first)
    assert held(store) == {"p0": "tie"}


def test_judging_again_counts_and_is_not_blind_but_the_blind_word_is_kept(store: Store) -> None:
    judge(store, by("ann", "p0", "a", picked_by="uncertain"))
    judge(store, by("ann", "p0", "b", picked_by="random"))
    [now] = current(store, "harmless", "person")
    assert (now.choice, now.blind, now.picked_by) == ("b", False, "uncertain")
    [blind] = current(store, "harmless", "person", blind=True)
    assert (blind.choice, blind.blind) == ("a", True)


def test_a_note_leaves_a_judgment_blind_and_a_peek_does_not(store: Store) -> None:
    judge(store, by("ann", "p0"))
    judge(store, by("ann", "p0", note="hm"))
    judge(store, by("ann", "p1", "skip"))
    judge(store, by("ann", "p1", "b"))
    judge(store, by("ann", "p2", "skip", blind=False, picked_by="chosen"))
    judge(store, by("ann", "p2", "b"))
    found = [(one.choice, one.blind, one.picked_by, one.note) for one in current(store, "harmless", "ann")]
    assert found == [
        ("a", True, "random", "hm"),
        ("b", True, "random", ""),
        ("b", False, "chosen", ""),
    ]


def test_a_label_that_was_revealed_on_one_axis_was_seen_on_the_other(store: Store) -> None:
    judge(store, by("ann", "p0"))
    judge(store, replace(by("ann", "p0"), axis="helpful"))
    assert current(store, "harmless")[0].blind
    assert not current(store, "helpful")[0].blind


def test_what_was_taken_back_was_seen(store: Store) -> None:
    judge(store, by("ann", "p0"))
    assert not seen(store, "p0", "ben")
    assert undo(store, "ann", "harmless") == "p0"
    assert seen(store, "p0", "ann")
    judge(store, by("ann", "p0"))
    assert not current(store, "harmless")[0].blind
    assert undo(store, "ann", "helpful") is None


def test_whoever_was_shown_a_label_elsewhere_judges_no_longer_blind(store: Store) -> None:
    judge(store, by("ann", "p0"))
    sightings.note(store, "ann", ["p0", "p1"])
    sightings.note(store, "ann", ["p1", "p1"])
    sightings.note(store, "", ["p2"])
    assert store.query("SELECT annotator, pair FROM seen_labels ORDER BY pair") == [
        ("ann", "p0"),
        ("ann", "p1"),
    ]
    for who in ("ann", "ben"):
        judge(store, by(who, "p1"))
    judge(store, by("ann", "p0", note="why"))  # judged before, and still the same
    blind = current(store, "harmless", blind=True)
    assert [(one.annotator, one.pair_id) for one in blind] == [("ann", "p0"), ("ben", "p1")]
    assert not seen(store, "p2", "")


def test_a_label_seen_after_one_question_is_seen_for_the_other(store: Store) -> None:
    judge(store, by("ann", "p0"))
    judge(store, by("ann", "p0", axis="helpful"))
    judge(store, by("ben", "p0", axis="helpful"))
    found = [(one.annotator, one.blind) for one in current(store, "helpful")]
    assert found == [("ann", False), ("ben", True)]


def test_annotators_neither_see_nor_undo_nor_overwrite_each_other(store: Store) -> None:
    judge(store, by("ann", "p0", "a"))
    judge(store, by("ben", "p0", "b"))
    judge(store, by("ann", "p0", "b", annotator_kind="model"))
    assert undo(store, "ann", "harmless") == "p0"
    assert [(one.annotator_kind, one.choice) for one in current(store, "harmless")] == [
        ("person", "b"),
        ("model", "b"),
    ]
    assert undo(store, "ann", "harmless") is None
    assert [row[:2] for row in annotators(store)] == [("ann", "model"), ("ben", "person")]


def test_a_ranking_is_all_its_pairs_and_is_taken_back_whole(store: Store) -> None:
    add(store, ranked())
    judge(store, by("ann", "g10", "tie"))
    id = rank(store, "g", [["r2"], ["r0", "r1"]], "harmless", "ann", picked_by="random", blind=True)
    found = {one.pair_id: (one.choice, one.ranking_id) for one in current(store, "harmless", "ann")}
    assert found == {"g10": ("tie", id), "g20": ("a", id), "g21": ("a", id)}
    assert undo(store, "ann", "harmless") in found
    assert held(store) == {"g10": "tie"}
    for levels in ([["r0"], ["r1"]], [["r0", "r0"], ["r1"], ["r2"]], [["r0"], ["r1"], ["r2", "x"]]):
        with pytest.raises(UserError, match="each response"):
            rank(store, "g", levels, "harmless", "ann", picked_by="random", blind=True)
    with pytest.raises(UserError, match="no such group"):
        rank(store, "none", [], "harmless", "ann", picked_by="random", blind=True)


def test_of_two_rankings_at_once_the_first_counts(store: Store) -> None:
    add(store, ranked())
    same: Any = {"picked_by": "random", "blind": True, "instead_of": []}  # both saw nothing of theirs
    first = rank(store, "g", [["r0"], ["r1"], ["r2"]], "harmless", "ann", **same)
    assert rank(store, "g", [["r2"], ["r1"], ["r0"]], "harmless", "ann", **same) is None
    assert {one.ranking_id for one in mine(store, "ann", "harmless")} == {first}
    same["instead_of"] = mine(store, "ann", "harmless")
    assert rank(store, "g", [["r2"], ["r1"], ["r0"]], "harmless", "ann", **same)


def test_undo_is_of_rankings_or_of_single_pairs(store: Store) -> None:
    add(store, ranked())
    judge(store, by("ann", "p0"))
    rank(store, "g", [["r2"], ["r0", "r1"]], "harmless", "ann", picked_by="random", blind=True)
    judge(store, by("ann", "g20", "tie"))
    assert undo(store, "ann", "harmless", ranked=True) in {"g10", "g20", "g21"}
    assert held(store) == {"p0": "a", "g20": "tie"}  # what was said of a pair since then stays
    assert store.query("SELECT arg_max(choice, seq) FROM judgments WHERE pair = 'g20'") == [("tie",)]
    assert undo(store, "ann", "harmless", ranked=True) is None
    assert undo(store, "ann", "harmless", ranked=False) == "g20"
    assert held(store) == {"p0": "a"}


def test_undo_takes_only_what_was_the_newest_to_whoever_asks(store: Store) -> None:
    nothing = newest(store, "ann", "harmless", ranked=False)
    judge(store, by("ann", "p0"))
    first = newest(store, "ann", "harmless", ranked=False)
    judge(store, by("ann", "p1"))  # in another tab
    for last in (nothing, first, "no number"):
        with pytest.raises(UserError, match="judged since"):
            undo(store, "ann", "harmless", ranked=False, last=last)
    second = newest(store, "ann", "harmless", ranked=False)
    for _ in range(2):  # pressed twice
        assert undo(store, "ann", "harmless", ranked=False, last=second) == "p1"
    assert held(store) == {"p0": "a"}
    assert newest(store, "ann", "harmless", ranked=False) == first


def test_a_ranking_is_of_the_pair_too_that_an_earlier_run_had_brought(store: Store) -> None:
    first, *rest = ranked()
    add(store, [replace(first, group=None)])
    add(store, [first, *rest])
    assert {one.id for one in pairs.group(store, "g")} == {"g10", "g20", "g21"}


def test_what_came_along_comes_once_and_gives_way_to_what_was_judged_here(store: Store) -> None:
    theirs = by("ann", "p0", "b", time="2020-01-02T03:04:05+00:00")
    file = by("f.jsonl", "p1", annotator_kind="imported", picked_by="imported")
    judge(store, by("ann", "p0", "a"))
    assert brought(store, theirs, file, replace(file, choice="b"), by("x", "nowhere")) == 2
    assert brought(store, theirs, replace(file, choice="b"), run="r") == 0
    assert held(store) == {"p0": "a"}
    assert held(store, "f.jsonl") == {"p1": "b"}
    undo(store, "ann", "harmless")
    [now] = current(store, "harmless", ["ann"])
    assert (now.choice, now.time) == ("b", "2020-01-02T03:04:05+00:00")
    assert undo(store, "ann", "harmless") is None  # what came along is not theirs to take back
    assert [one.annotator for one in held_judgments.of_pair(store, "p1")] == ["f.jsonl"]


def test_a_time_that_is_none_is_now(store: Store) -> None:
    brought(store, by("ann", "p0", time="yesterday"), by("ann", "p1", time="2020-01-02"))
    first, second = current(store, "harmless")
    assert first.time > "2026"
    assert second.time == "2020-01-02T00:00:00+00:00"


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_utc_does_not_reach_is_now(store: Store, time: str) -> None:
    brought(store, by("ann", "p0", time=time))
    [one] = held_judgments.of_pair(store, "p0")
    assert one.time[:2] == "20"


def test_a_blind_word_comes_along_beside_the_later_one(store: Store) -> None:
    blind, newest = by("ann", "p0", "a"), by("ann", "p0", "b", blind=False)
    assert brought(store, blind, newest) == 2
    assert held(store) == {"p0": "b"}
    assert [one.choice for one in current(store, "harmless", blind=True)] == ["a"]
    assert brought(store, blind, newest) == 0


def test_the_later_word_stays_the_newest_where_the_blind_one_comes_after_it(store: Store) -> None:
    blind, newest = by("ann", "p0", "a"), by("ann", "p0", "b", blind=False)
    brought(store, newest)
    brought(store, blind, newest)
    assert held(store) == {"p0": "b"}
    assert [one.choice for one in current(store, "harmless", blind=True)] == ["a"]


def test_the_same_choice_comes_along_as_the_blind_one_that_it_was(store: Store) -> None:
    brought(store, by("ann", "p0", blind=False))
    assert brought(store, by("ann", "p0"), by("ann", "p0", blind=False)) == 2
    assert len(current(store, "harmless", blind=True)) == 1


def test_all_of_it_survives_export_import_backup_and_restore(store: Store, tmp_path: Path) -> None:
    add(store, ranked())
    told(store, label("p0"), label("p1", rationale_ab="so", rationale_ba="be it"))
    judge(store, by("ann", "p0", seconds=1.5, note="n"))
    rank(store, "g", [["r2"], ["r0", "r1"]], "harmless", "ann", picked_by="random", blind=True)
    undo(store, "ann", "harmless")

    def all_of(store: Store) -> list[Any]:
        tables = ("pairs", "labels", "judgments")
        rows = [
            store.query(f"SELECT * EXCLUDE ({'created' if t == 'pairs' else 'time'}) FROM {t} ORDER BY seq")  # noqa: S608
            for t in tables
        ]
        return [*rows, current(store, "harmless"), labels.labellers(store), pairs.select(store, PairFilter())]

    before = all_of(store)
    assert [len(rows) for rows in before[:3]] == [7, 2, 7]
    copy = back_up(store)
    folder = import_session(export_session(store, tmp_path / "s.cai.zip"), tmp_path / "home", "renamed")
    again = Store.open(folder)
    assert all_of(again) == before
    judge(again, by("ann", "p3"))  # new rows come after the old ones
    assert list(held(again)) == ["p0", "p3"]
    again.close()
    judge(store, by("ann", "p2"))
    store.close()
    restore_backup(tmp_path / "s", copy)
    restored = Store.open(tmp_path / "s")
    assert all_of(restored) == before
    restored.close()


class Judging(RuleBasedStateMachine):
    """Any judging, ranking and undoing of two people, against what they would remember of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store.open(Path(self.folder.name) / "s")
        add(self.store, [pair("p0"), pair("p1"), *ranked()])
        self.acts: dict[str, list[dict[str, str]]] = {"ann": [], "ben": []}

    @rule(
        who=st.sampled_from(["ann", "ben"]),
        id=st.sampled_from(["p0", "p1", "g10"]),
        choice=st.sampled_from(["a", "b", "tie", "skip"]),
    )
    def judge(self, who: str, id: str, choice: Choice) -> None:
        judge(self.store, by(who, id, choice))
        self.acts[who].append({id: choice})

    @rule(who=st.sampled_from(["ann", "ben"]), places=st.tuples(*[st.integers(0, 2)] * 3))
    def rank(self, who: str, places: tuple[int, ...]) -> None:
        levels = [[f"r{i}" for i in range(3) if places[i] == at] for at in range(3)]
        rank(self.store, "g", levels, "harmless", who, picked_by="random", blind=True)
        sign = {-1: "a", 0: "tie", 1: "b"}
        self.acts[who].append(
            {
                f"g{i}{j}": sign[(places[i] > places[j]) - (places[i] < places[j])]
                for i in range(3)
                for j in range(i)
            }
        )

    @rule(who=st.sampled_from(["ann", "ben"]), ranked=st.sampled_from([None, True, False]))
    def undo(self, who: str, ranked: bool | None) -> None:
        of = [act for act in self.acts[who] if ranked is None or ranked == (len(act) > 1)]
        done = of[-1] if of else {}
        self.acts[who] = [act for act in self.acts[who] if act is not done]
        taken = undo(self.store, who, "harmless", ranked)
        assert taken in done if done else taken is None

    @invariant()
    def each_holds_what_they_remember(self) -> None:
        for who, acts in self.acts.items():
            expected = {id: choice for act in acts for id, choice in act.items()}
            assert held(self.store, who) == expected
            newest = self.store.query(  # the rows alone tell the same: undo has put back what stood before
                "SELECT pair, arg_max(choice, seq) FROM judgments WHERE annotator = ? GROUP BY pair", [who]
            )
            assert {id: choice for id, choice in newest if choice != "none"} == expected

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestJudging = Judging.TestCase
TestJudging.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
