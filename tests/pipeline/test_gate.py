"""The gate: its three states, its looks, and how often it errs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline import gate
from pipeline.errors import UserError
from pipeline.gate import Gate


def judged(right: int, wrong: int) -> Gate:
    """Judgments of as many prompts, right and wrong ones evenly mixed."""
    n = right + wrong
    correct = np.diff(np.floor(np.arange(n + 1) * right / n + 1e-9))
    return gate.gate(correct, np.arange(n))


def test_it_agrees_where_the_lower_bound_is_above_the_threshold() -> None:
    found = judged(170, 30)
    assert found.state == "agrees"
    assert found.looks[-1].low > 0.6
    assert (found.needed, found.expected) == (None, None)
    assert found.words()[0].startswith("Agrees: at the look after 50 judgments the lower bound 0.6")
    assert found.words()[1] == "The first look that tells stands; 150 later judgments do not change it."


def test_an_opposed_labeller_is_told() -> None:
    found = judged(40, 160)
    assert found.state == "opposed"
    assert "people mostly hold the opposite" in found.words()[0]


def test_not_shown_yet_tells_how_many_more() -> None:
    found = judged(42, 18)
    assert (found.state, found.needed, found.expected) == ("not shown yet", 40, 140)
    assert found.words() == [
        "Not shown yet that these labels agree with people: the next look is after 40 more judgments.",
        "At the present accuracy, 140 more would show that it agrees.",
    ]


def test_an_accuracy_under_the_threshold_promises_nothing() -> None:
    found = judged(33, 27)
    assert (found.state, found.expected) == ("not shown yet", None)
    assert "more judgments alone are not expected to show agreement" in found.words()[1]


def test_the_last_look_stands() -> None:
    found = judged(480, 320)
    assert (found.state, found.needed, len(found.looks)) == ("not shown yet", None, 4)
    assert "it stands" in found.words()[1]


def test_nothing_judged_is_not_shown_yet() -> None:
    found = gate.gate(np.zeros(0), np.zeros(0, int))
    assert (found.state, found.needed, found.looks) == ("not shown yet", 50, ())
    assert found.words() == [
        "Not shown yet that these labels agree with people: the next look is after 50 more judgments."
    ]


def test_between_looks_nothing_changes_the_state() -> None:
    correct = np.r_[np.tile([1.0, 0.0], 25), np.ones(49)]
    found = gate.gate(correct, np.arange(99))
    assert [look.n for look in found.looks] == [50]
    assert found.state == "not shown yet"


def test_pairs_of_one_prompt_are_no_proof() -> None:
    found = gate.gate(np.ones(400), np.zeros(400, int))
    assert (found.state, found.looks[-1].low) == ("not shown yet", 0)


def test_the_levels_add_up_to_five_percent() -> None:
    assert sum(look.level for look in judged(240, 160).looks) == pytest.approx(0.05)


def test_a_bound_without_clustering_is_clopper_and_pearsons() -> None:
    look = judged(35, 15).looks[0]
    closed = stats.binomtest(35, 50).proportion_ci(1 - 2 * look.level, method="exact")
    # n/(n-1) in the variance leaves 49 effective pairs of 50.
    assert (look.low, look.high) == pytest.approx((closed.low, closed.high), abs=0.004)


@pytest.mark.parametrize("threshold", [0.4, 1.0, float("nan")])
def test_a_threshold_that_means_nothing_is_refused(threshold: float) -> None:
    with pytest.raises(UserError, match="choose one that is"):
        gate.gate(np.ones(50), np.arange(50), threshold)


def share(state: str, accuracy: float, sizes: list[int], alike: float, draws: int) -> float:
    """How often 400 judgments end in a state; `alike` correlates the correctness within a prompt."""
    random, found = np.random.default_rng(7), 0
    cluster = np.repeat(np.arange(len(sizes)), sizes)[:400]
    for _ in range(draws):
        rate = np.full(len(sizes), accuracy)
        if alike:
            scale = (1 - alike) / alike
            rate = random.beta(accuracy * scale, (1 - accuracy) * scale, len(sizes))
        correct = (random.random(400) < rate[cluster]).astype(float)
        found += gate.gate(correct, cluster).state == state
    return found / draws


@pytest.mark.parametrize(
    ("sizes", "alike"),
    [([1] * 400, 0.0), ([3] * 134, 0.4), ([10] * 40, 0.3), ([25] * 16, 0.3), ([36] * 6 + [1] * 184, 0.3)],
    ids=["one a prompt", "three a prompt", "40 prompts", "16 prompts", "6 rankings and single pairs"],
)
def test_a_labeller_at_the_threshold_passes_at_most_one_time_in_twenty(
    sizes: list[int], alike: float
) -> None:
    draws = 1_000
    assert share("agrees", 0.60, sizes, alike, draws) <= 0.05 + 2 * (0.05 * 0.95 / draws) ** 0.5


def test_a_chance_labeller_is_called_opposed_at_most_one_time_in_twenty() -> None:
    assert share("opposed", 0.5, [3] * 134, 0.4, 1_000) <= 0.05 + 2 * (0.05 * 0.95 / 1_000) ** 0.5


def test_a_labeller_that_is_right_in_three_of_four_passes() -> None:
    assert share("agrees", 0.75, [1] * 400, 0.0, 200) >= 0.99
    assert share("agrees", 0.75, [3] * 134, 0.4, 200) >= 0.95
