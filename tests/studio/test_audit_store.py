"""What to judge next: one random order for all, a share of it in every mode, and no label has a say in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import constitution as constitutions
from pipeline.bias import letter_share
from pipeline.records import Choice, Judgment, Label, Message, Method, Pair
from studio.store import audit, judgments, labels, pairs, sightings
from studio.store.audit import Mode, Picked, aggregated, compared, counts, groups_done, next_group, next_pair
from studio.store.constitutions import keep_version
from studio.store.database import Store
from studio.store.judgments import judge, rank, undo
from studio.store.labels import Labeller

HARMLESS = constitutions.load(constitutions.shipped()["harmless"])
WHO = Labeller("m", "choice", HARMLESS.version)
MANY = 20


def pair(id: str, **changes: Any) -> Pair:
    made = Pair(id, f"prompt-{id}", (Message("user", id),), f"Sure, {id}", f"No, {id}")
    return replace(made, **changes)


def ranked(group: str) -> list[Pair]:
    asked = (Message("user", group),)
    both = [(i, j) for i in range(3) for j in range(i)]
    return [Pair(f"{group}{i}{j}", group, asked, f"r{i}", f"r{j}", group=group) for i, j in both]


def label(pair: str, principle: str = "k", ab: float = 1.0, ba: float = 1.0) -> Label:
    p_ab, p_ba, p_a = (1 / (1 + np.exp(-x)) for x in (ab, ba, (ab + ba) / 2))
    return Label(pair, principle, "choice", "m", HARMLESS.version, 0, ab, ba, p_ab, p_ba, p_a)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "s")
    with opened.tx() as tx:
        pairs.add(tx, [pair(f"p{i}") for i in range(MANY)], None)
    yield opened
    opened.close()


def told(store: Store, *some: Label, run: str = "run") -> None:
    with store.tx() as tx:
        labels.add(tx, some, run)


def keep(store: Store, who: str, picked: Picked, choice: Choice = "a") -> None:
    judge(
        store,
        Judgment(picked.pair, "harmless", who, "person", choice, picked_by=picked.picked_by),
    )


def goes_through(
    store: Store, who: str, mode: Mode = "random", most: int = 99, share: float = 0.3
) -> list[Picked]:
    """What somebody gets who judges all that comes."""
    found: list[Picked] = []
    while len(found) < most and (picked := next_pair(store, who, "harmless", mode, WHO, share)):
        keep(store, who, picked)
        found.append(picked)
    return found


@pytest.mark.parametrize(("method", "alone"), [("choice", False), ("pointwise", True), ("contrast", True)])
def test_what_is_judged_alone_has_no_order(store: Store, method: Method, alone: bool) -> None:
    goes_through(store, "ann")
    told(store, *(replace(label(f"p{i}"), method=method) for i in range(MANY)))
    c, _ = compared(store, "harmless", replace(WHO, method=method), "person")
    assert len(c) == MANY
    assert letter_share(c).defined is not alone


def test_random_queues_are_the_same_for_all_and_end(store: Store) -> None:
    first, second = goes_through(store, "ann"), goes_through(store, "ben")
    assert first == second
    assert {one.pair for one in first} == {f"p{i}" for i in range(MANY)}
    assert {one.picked_by for one in first} == {"random"}
    assert [one.pair for one in first] != sorted(one.pair for one in first)
    assert next_pair(store, "ann", "helpful", "random", None)


def test_what_was_sent_by_hand_comes_last_and_speaks_for_no_others(store: Store) -> None:
    plain = [one.pair for one in goes_through(store, "ann")]
    with store.tx() as tx:
        pairs.add(tx, [pair("sent"), pair("p3")], pairs.BY_HAND)  # p3 was here before anybody sent it
    found = goes_through(store, "ben")
    assert [one.pair for one in found] == [*plain, "sent"]
    assert found[-1].picked_by == "chosen"
    assert {one.picked_by for one in found[:-1]} == {"random"}
    assert counts(store, "ben", "harmless") == (MANY + 1, 0, MANY, MANY + 1)


def test_what_was_sent_by_hand_hides_no_other_kind(store: Store) -> None:
    with store.tx() as tx:
        pairs.add(tx, [pair("sent", kind="helpful")], pairs.BY_HAND)
    assert len(goes_through(store, "ann")) == MANY
    picked = next_pair(store, "ann", "helpful", "random", None)
    assert picked
    assert picked.picked_by == "random"


def test_what_is_taken_back_comes_again_and_a_skip_does_not(store: Store) -> None:
    [first] = goes_through(store, "ann", most=1)
    undo(store, "ann", "harmless")
    assert next_pair(store, "ann", "harmless", "random", None) == first
    keep(store, "ann", first, "skip")
    second = next_pair(store, "ann", "harmless", "random", None)
    assert second
    assert second != first
    assert next_pair(store, "ann", "harmless", "random", None, after=second.pair) not in (first, second)


def test_the_random_picks_do_not_depend_on_the_labels(store: Store) -> None:
    alone = goes_through(store, "ann")
    told(store, *(label(f"p{i}", ab=i - 9.0) for i in range(MANY)))
    mixed = goes_through(store, "ben", "uncertain")
    random = [one for one in mixed if one.picked_by == "random"]
    assert 0 < len(random) < MANY
    assert random == alone[: len(random)]  # the front of the same order, without a gap
    assert {one.picked_by for one in mixed} == {"random", "uncertain"}


def test_what_picks_by_labels_have_left_is_not_random(store: Store) -> None:
    told(store, *(label(f"p{i}") for i in range(MANY)))
    goes_through(store, "ann", "order", most=3, share=0.0)
    rest = goes_through(store, "ann")
    assert [one.picked_by for one in rest] == ["random"] * (MANY // 2) + ["chosen"] * (MANY // 2 - 3)


@pytest.mark.parametrize(
    ("mode", "logits"),
    [
        ("uncertain", [(2.0, 2.0), (2.0, -2.1)]),
        ("order", [(1.0, 1.5), (2.0, -2.0)]),
        ("disagreement", [(1.0, 1.0), (-3.0, -3.0)]),
    ],
)
def test_each_mode_asks_first_what_it_is_about(
    store: Store, mode: Mode, logits: list[tuple[float, float]]
) -> None:
    back = [one.pair for one in goes_through(store, "dora")][MANY // 2 :]
    dull, wanted = logits
    for id in back[:-1]:
        told(store, label(id, "k", *dull), label(id, "j", *(dull if mode == "disagreement" else (2.0, 2.0))))
    # A labeller's newest word counts, and a single one is no disagreement.
    told(store, label(back[-1], "k", 1.0, 1.0), label(back[-1], "j", 1.0, 1.0))
    told(store, label(back[-1], "k", *wanted), run="later")
    if mode != "disagreement":
        told(store, label(back[-1], "j", *wanted), run="later")
    assert next_pair(store, "ann", "harmless", mode, WHO, 0.0) == Picked(back[-1], mode)


def test_a_share_of_the_steps_is_random_and_always_the_same_ones(store: Store) -> None:
    told(store, *(label(f"p{i}") for i in range(MANY)))
    steps = [audit._random_turn(store, f"annotator {i}", "harmless", 0.3) for i in range(200)]
    assert 35 <= sum(steps) <= 85
    assert steps == [audit._random_turn(store, f"annotator {i}", "harmless", 0.3) for i in range(200)]


def test_an_axis_is_judged_on_its_own_prompts_where_there_are_any(store: Store) -> None:
    with store.tx() as tx:
        pairs.add(tx, [pair("h", kind="helpful")], None)
    assert next_pair(store, "ann", "helpful", "random", None) == Picked("h", "random")
    assert counts(store, "ann", "helpful") == (0, 0, 0, 1)
    assert counts(store, "ann", "harmless") == (0, 0, 0, MANY)


def test_counts_are_of_one_person_and_axis(store: Store) -> None:
    keep(store, "ann", Picked("p0", "random"))
    keep(store, "ann", Picked("p1", "uncertain"))
    keep(store, "ann", Picked("p2", "random"), "skip")
    keep(store, "ben", Picked("p3", "random"))
    assert counts(store, "ann", "harmless") == (2, 1, 1, MANY)


def test_the_random_share_on_the_page_is_what_the_figures_count(store: Store) -> None:
    told(store, *(label(f"p{i}") for i in range(MANY)))
    sightings.note(store, "ann", ["p0", "p1"])  # listed with their labels on another page
    for i in range(5):
        keep(store, "ann", Picked(f"p{i}", "random"))
    keep(store, "ann", Picked("p2", "random"), "b")  # changed: its blind word still counts
    keep(store, "ann", Picked("p3", "random"))
    undo(store, "ann", "harmless")
    undo(store, "ann", "harmless")
    keep(store, "ann", Picked("p5", "uncertain"))
    judged, _, random, _ = counts(store, "ann", "harmless")
    c, ids = compared(store, "harmless", WHO, "ann")
    assert (judged, random, len(c)) == (6, len(ids), len(ids))
    assert 0 < random < judged - 1


def test_groups_are_ranked_one_after_another(store: Store) -> None:
    with store.tx() as tx:
        pairs.add(tx, [*ranked("g"), *ranked("h"), pair("two", group="two")], None)
    first = next_group(store, "ann", "harmless")
    assert first
    [second] = {"g", "h"} - {first}
    assert next_group(store, "ann", "harmless", after=first) == second
    assert next_group(store, "ann", "harmless", after=second) == first
    rank(store, first, [["r0", "r1"], ["r2"]], "harmless", "ann", picked_by="random", blind=True)
    assert (next_group(store, "ann", "harmless"), groups_done(store, "ann", "harmless")) == (second, (1, 2))
    keep(store, "ann", Picked(f"{first}10", "random"))  # changed by itself: still ranked
    assert next_group(store, "ann", "harmless", after=first) == second
    assert (next_group(store, "ben", "harmless"), groups_done(store, "ben", "harmless")) == (first, (0, 2))


def test_judgments_stand_beside_the_labels_of_their_pairs(store: Store) -> None:
    told(store, label("p0", ab=2.0, ba=0.0), label("p1", ab=-1.0, ba=-1.0))
    for id, choice in (("p1", "b"), ("p0", "a"), ("p2", "a")):
        keep(store, "ann", Picked(id, "random"), choice)  # type: ignore[arg-type]
    keep(store, "ben", Picked("p0", "random"), "tie")
    keep(store, "ben", Picked("p1", "random"), "skip")
    c, ids = compared(store, "harmless", WHO, "person")
    assert (ids, c.choice.tolist()) == (["p1", "p0", "p0"], [0.0, 1.0, 0.5])
    assert c.p_a == pytest.approx([1 / (1 + np.e), 1 / (1 + 1 / np.e), 1 / (1 + 1 / np.e)])
    assert c.p_ab[1] > c.p_a[1] > c.p_ba[1] == 0.5
    assert c.cluster.tolist() == [1, 0, 0]
    assert (c.length_a[0], c.length_b[0], c.refuses_b.any()) == (len("Sure, p1"), len("No, p1"), False)
    assert (
        compared(store, "harmless", WHO, "ben")[1] == compared(store, "harmless", WHO, ["ben"])[1] == ["p0"]
    )
    for nobody in ("imported", "zoe", []):
        none, _ = compared(store, "harmless", WHO, nobody)
        assert (len(none), none.decided().refuses_a.dtype) == (0, np.bool_)


def test_figures_stand_on_what_was_picked_at_random_and_judged_blind(store: Store) -> None:
    told(store, *(label(f"p{i}") for i in range(4)))
    keep(store, "ann", Picked("p0", "random"), "a")
    keep(store, "ann", Picked("p0", "random"), "b")  # changed after the label was shown
    keep(store, "ann", Picked("p1", "uncertain"))
    keep(store, "ann", Picked("p2", "random"))
    undo(store, "ann", "harmless")
    keep(store, "ann", Picked("p2", "random"))
    c, ids = compared(store, "harmless", WHO, "person")
    assert (ids, c.choice.tolist()) == (["p0"], [1.0])
    every, ids = compared(store, "harmless", WHO, "person", random_only=False)
    assert (ids, every.choice.tolist()) == (["p0", "p1", "p2"], [0.0, 1.0, 1.0])


def test_the_constitutions_own_weights_hold_over_what_was_asked(store: Store) -> None:
    one, two = HARMLESS.principles[:2]
    weighted = replace(
        HARMLESS, principles=(replace(one, weight=3.0), replace(two, weight=1.0), *HARMLESS.principles[2:])
    )
    keep_version(store, weighted, "", "ann")
    who = replace(WHO, constitution=weighted.version)
    with store.tx() as tx:
        both = label("p0", one.id, 5.0, 5.0), label("p0", two.id, -5.0, -5.0), label("p1", two.id, -5.0, -5.0)
        labels.add(tx, [replace(one, constitution=weighted.version) for one in both], "run")
    found = aggregated(labels.matrix(store, who), audit.own_weights(store, who), complete=False)
    high, low = 1 / (1 + np.exp(-5)), 1 / (1 + np.exp(5))
    assert found.p_a == pytest.approx([(3 * high + low) / 4, low])


def test_other_weights_count_only_pairs_scored_under_all_of_them(store: Store) -> None:
    told(store, label("p0", "k"), label("p0", "j", -3.0, -3.0), label("p1", "k"), label("p2", "j"))
    for id in ("p0", "p1", "p2"):
        keep(store, "ann", Picked(id, "random"))

    def scored(**weights: float) -> tuple[list[str], int]:
        found = aggregated(labels.matrix(store, WHO), weights, complete=True)
        return compared(store, "harmless", WHO, "person", weights)[1], found.scored

    assert scored(k=1, j=0) == (["p0", "p1"], 2)
    assert scored(k=1, j=2) == (["p0"], 1)
    assert scored(k=1, other=1) == scored(k=0) == scored() == ([], 0)
    c, _ = compared(store, "harmless", WHO, "person", {"k": 1, "j": 3})
    assert c.p_a == pytest.approx([(1 / (1 + np.exp(-1)) + 3 / (1 + np.exp(3))) / 4])


def test_what_came_along_under_ones_name_is_not_left_out_of_ones_queue(store: Store) -> None:
    theirs = Judgment("p0", "harmless", "ann", "person", "b")
    with store.tx() as tx:
        judgments.add_imported(tx, [theirs], None)
    assert counts(store, "ann", "harmless") == (0, 0, 0, MANY)
    assert len(goes_through(store, "ann")) == MANY
