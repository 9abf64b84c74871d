"""Agreement figures against scikit-learn, published examples and what can be counted by hand."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    confusion_matrix,
)

from pipeline import agreement, annotators, bias
from pipeline.agreement import Compared
from pipeline.baselines import baselines

Make = Callable[..., Compared]


def made(p_a: Any, choice: Any, **arrays: Any) -> Compared:
    """A comparison; what isn't given is the same for all."""
    p, n = np.asarray(p_a, float), len(p_a)
    default: dict[str, Any] = {"p_ab": p, "p_ba": p, "cluster": np.arange(n)}
    default |= {name: np.ones(n, np.int64) for name in ("length_a", "length_b")}
    default |= {name: np.zeros(n, bool) for name in ("refuses_a", "refuses_b")}
    default |= {k: value if k == "alone" else np.asarray(value) for k, value in arrays.items()}
    return Compared(p_a=p, choice=np.asarray(choice, float), **default)


@pytest.fixture
def real() -> Compared:
    """500 judgments by a labeller that is right in two of three, of 200 prompts."""
    random = np.random.default_rng(0)
    p = random.random(500)
    choice = (random.random(500) < 0.3 + 0.4 * p).astype(float)
    return made(p, choice, cluster=random.integers(0, 200, 500))


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_figures_equal_scikit_learns(real: Compared) -> None:
    said = real.p_a > 0.5
    assert agreement.accuracy(real).value == pytest.approx(accuracy_score(real.choice, said))
    assert agreement.kappa(real).value == pytest.approx(cohen_kappa_score(real.choice, said))
    assert agreement.brier(real).value == pytest.approx(brier_score_loss(real.choice, real.p_a))
    table = confusion_matrix(real.choice, said, labels=[1, 0])
    assert agreement.confusion(real)[:, [0, 2]].tolist() == table.tolist()


def test_reliability_equals_scikit_learns_curve_and_ece_is_its_weighted_gap(real: Compared) -> None:
    bins = agreement.reliability(real)
    chosen, mean_p = calibration_curve(real.choice, real.p_a, n_bins=10)
    assert [b.chosen.value for b in bins] == pytest.approx(chosen.tolist())
    assert [b.mean_p for b in bins] == pytest.approx(mean_p.tolist())
    weights = [b.chosen.n / len(real) for b in bins]
    assert agreement.ece(real).value == pytest.approx(float(np.dot(weights, np.abs(chosen - mean_p))))


def test_kappa_of_the_worked_example_of_two_readers_of_50_grant_proposals() -> None:
    # Both yes 20, first alone 5, second alone 10, both no 15: observed 0.7, by chance 0.5, kappa 0.4.
    first = np.repeat([1, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1, 0, 1, 0], [20, 5, 10, 15])
    figure = agreement.kappa(made(0.1 + 0.8 * first, second))
    assert figure.value == pytest.approx(0.4)
    # The delta method of Fleiss, Cohen and Everitt (1969) has a standard error of 0.127 here.
    assert (figure.high - figure.low) / 2 == pytest.approx(1.96 * 0.127, rel=0.06)


def test_kappa_of_the_worst_agreement_is_minus_one_and_of_the_best_one() -> None:
    side = np.tile([1.0, 0.0], 20)
    best, worst = (agreement.kappa(made(p, side)) for p in (side, 1 - side))
    assert (best.value, best.high, worst.value, worst.low) == pytest.approx((1, 1, -1, -1))
    assert 0.5 < best.low < 1


def test_a_constant_labeller_scores_half_and_has_no_kappa_but_nought() -> None:
    c = made(np.full(100, 0.9), np.tile([1, 0], 50))
    assert agreement.accuracy(c).value == 0.5
    assert agreement.kappa(c).value == pytest.approx(0)


def test_an_exact_ai_tie_counts_half() -> None:
    c = made([0.5, 0.5, 0.9, 0.1], [1, 0, 1, 1])
    assert agreement.accuracy(c).value == pytest.approx((0.5 + 0.5 + 1 + 0) / 4)
    assert agreement.confusion(c).tolist() == [[1, 1, 1], [0, 1, 0]]


def test_human_ties_and_missing_labels_are_in_no_main_figure(real: Compared) -> None:
    more = made(
        np.r_[real.p_a, 0.7, math.nan], np.r_[real.choice, 0.5, 1], cluster=np.r_[real.cluster, 900, 901]
    )
    for figure in (agreement.accuracy, agreement.kappa, agreement.brier, agreement.ece):
        assert figure(more) == figure(real)
    assert more.human_ties == 1


def test_with_ties_an_ai_tie_is_two_orders_that_disagree() -> None:
    c = made([0.6] * 4, [1, 0.5, 0.5, 0], p_ab=[0.9, 0.9, 0.9, 0.2], p_ba=[0.8, 0.3, 0.8, 0.4])
    found = agreement.with_ties(c)
    assert found.table.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert found.accuracy.value == 0.75
    assert found.kappa.value == pytest.approx(cohen_kappa_score([2, 1, 1, 0], [2, 1, 2, 0]))


@pytest.mark.parametrize("slope", [1.0, 0.2])
def test_ece_is_covered_for_a_calibrated_and_for_an_overconfident_labeller(slope: float) -> None:
    random, hits = np.random.default_rng(1), 0
    centres = np.arange(10) / 10 + 0.05
    truth = float(((1 - slope) * np.abs(centres - 0.5)).mean())
    for _ in range(150):
        p = random.choice(centres, 150)
        figure = agreement.ece(made(p, random.random(150) < 0.5 + slope * (p - 0.5)))
        hits += figure.low - 1e-12 <= truth <= figure.high
    assert hits / 150 >= 0.9


def test_baselines_score_what_can_be_counted() -> None:
    c = made(
        [0.9, 0.9, 0.9, 0.1],
        [1, 1, 0, 1],
        length_a=[5, 9, 9, 5],
        length_b=[9, 5, 5, 5],
        refuses_a=[False, True, True, False],
    )
    found = {b.name: b for b in baselines(c)}
    assert found["shorter"].accuracy.value == (1 + 0 + 1 + 0.5) / 4
    assert found["refusal word, else shorter"].accuracy.value == (1 + 1 + 0 + 0.5) / 4
    assert found["majority side"].accuracy.value == 0.75
    assert found["majority side"].difference.value == 0.5 - 0.75


def test_a_paired_difference_is_narrower_than_two_intervals_suggest() -> None:
    random = np.random.default_rng(2)
    length = random.integers(1, 100, (2, 400))
    shorter = (length[0] < length[1]).astype(float)
    # An AI that nearly always takes the shorter one.
    p = np.where(random.random(400) < 0.95, shorter, 1 - shorter) * 0.8 + 0.1
    rule = baselines(made(p, random.random(400) < 0.5, length_a=length[0], length_b=length[1]))[0]
    width = rule.difference.high - rule.difference.low
    assert width < 0.6 * (rule.accuracy.high - rule.accuracy.low)


def test_position_is_told_by_letter_share_flips_and_ties() -> None:
    # Both orders pick (A); then a content choice; then a tie in one order.
    c = made([0.5] * 3, [1, 1, 0], p_ab=[0.9, 0.9, 0.5], p_ba=[0.2, 0.8, 0.4])
    assert (bias.letter_share(c).value, bias.letter_share(c).n) == (4 / 5, 5)
    assert (bias.exact_ties(c).value, bias.exact_ties(c).n) == (1 / 6, 6)
    assert bias.order_flips(c).value == pytest.approx(1 / 3)
    assert bias.position_bias(c).value == pytest.approx(np.mean([0.4, 0.3, 0.4, -0.3, 0, 0.1]))


def test_responses_that_are_judged_alone_have_no_order() -> None:
    c = made([0.9, 0.2, 0.6], [1, 0, 1], alone=True)
    for figure in (bias.letter_share, bias.position_bias, bias.order_flips):
        assert not figure(c).defined
        assert not figure(c.decided().take(np.array([0]))).defined
    assert bias.order_flips(made([0.5], [1], p_ab=[0.6], p_ba=[0.55])).defined


def test_a_judge_that_says_the_same_in_both_orders_has_no_bias_and_orders_all_the_same() -> None:
    c = made([0.9, 0.2, 0.6], [1, 0, 1])
    assert (bias.order_flips(c).value, bias.letter_share(c).value) == (0, 0.5)
    assert bias.position_bias(c).value == pytest.approx(0)


def test_length_bias_sets_the_ai_beside_humans() -> None:
    length_a, length_b = np.array([99, 49, 24, 7] * 20), np.array([49, 99, 99, 7] * 20)
    doublings = np.array([1, -1, -2, 0] * 20)
    found = bias.length_bias(
        made(0.5 + 0.1 * doublings, [1, 1, 0, 0] * 20, length_a=length_a, length_b=length_b)
    )
    assert found.slope.value == pytest.approx(0.1)
    assert (found.ai.value, found.human.value) == pytest.approx((1, 2 / 3))
    assert found.difference.value == pytest.approx(1 / 3)
    assert found.ai.n == 60  # equal lengths are left out


def every(c: Compared) -> list[agreement.Figure]:
    """All figures of a comparison."""
    length, ties = bias.length_bias(c), agreement.with_ties(c)
    rules = [f for b in baselines(c) for f in (b.accuracy, b.difference)]
    plain = (agreement.accuracy, agreement.kappa, agreement.brier, agreement.ece)
    orders = (bias.letter_share, bias.exact_ties, bias.position_bias, bias.order_flips)
    bins = [b.chosen for b in agreement.reliability(c)]
    rest = [length.ai, length.human, length.difference, length.slope, ties.accuracy, ties.kappa]
    return [f(c) for f in (*plain, *orders)] + rules + bins + rest


@pytest.mark.parametrize(
    "c",
    [
        made([], []),
        made([math.nan] * 3, [1, 0, 1]),
        made([0.7], [1], length_a=[9]),
        made([0.7, 0.2], [0.5, 0.5]),
        made([0.7, 0.2, 0.6], [1, 0, 0], cluster=[4, 4, 4]),
        made([1.0] * 5, [1] * 5, length_a=[0] * 5),
        made([0.5] * 5, [0] * 5),
    ],
    ids=["empty", "unlabelled", "single", "ties only", "one prompt", "all right", "AI always ties"],
)
def test_edge_cases_give_figures_that_hold_their_value_or_none(c: Compared) -> None:
    for figure in every(c):
        if figure.defined:
            assert figure.low <= figure.value <= figure.high
        else:
            assert math.isnan(figure.low)
            assert math.isnan(figure.high)


def test_no_rows_have_no_figure() -> None:
    assert not any(figure.defined for figure in every(made([], [])))


def test_arrays_of_unequal_length_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="unequal length"):
        made([0.5, 0.5], [1])


NAN = math.nan
# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part C: four observers, twelve units.
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)


def test_alpha_equals_krippendorffs_worked_examples() -> None:
    figure = annotators.alpha(KRIPPENDORFF, np.arange(12))
    assert figure.value == pytest.approx(0.743, abs=0.0005)
    assert figure.n == 11
    assert figure.low < figure.value <= figure.high
    # Part A of the same: two observers, ten units, two categories.
    binary = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]], float)
    assert annotators.alpha(binary, np.arange(10)).value == pytest.approx(0.095, abs=0.0005)


def test_alpha_equals_evalicas() -> None:
    import pandas
    from evalica import alpha

    random = np.random.default_rng(3)
    ratings = random.choice([0, 0.5, 1], (3, 60))
    ratings[1] = np.where(random.random(60) < 0.6, ratings[0], ratings[1])
    ratings[random.random((3, 60)) < 0.3] = NAN
    found = annotators.alpha(ratings, np.arange(60))
    assert found.value == pytest.approx(alpha(pandas.DataFrame(ratings)).alpha)


def test_annotators_who_are_alike_on_few_units_are_not_sure_to_be() -> None:
    figure = annotators.alpha(np.array([[1.0, 0.0]] * 2), np.arange(2))
    assert figure.value == figure.high == 1
    assert figure.low < 0.5


@pytest.mark.parametrize(("units", "wrong"), [(10, 0.05), (20, 0.02), (40, 0.02), (60, 0.2)])
def test_alphas_interval_holds_the_known_value(units: int, wrong: float) -> None:
    random, truth, held = np.random.default_rng(0), 1 - 4 * wrong * (1 - wrong), []
    for _ in range(300):
        units_are = random.integers(0, 2, units)
        figure = annotators.alpha(np.abs(units_are - (random.random((2, units)) < wrong)), np.arange(units))
        held.append(not figure.defined or figure.low <= truth <= figure.high)
    assert np.mean(held) >= 0.9


def test_annotators_who_share_no_unit_have_no_alpha() -> None:
    apart = np.array([[1, NAN], [NAN, 0]])
    for figure in (annotators.alpha, annotators.pairwise):
        assert not figure(apart, np.arange(2)).defined
    assert not annotators.alpha(np.ones((2, 5)), np.arange(5)).defined
    assert annotators.pairwise(np.ones((2, 5)), np.arange(5)).value == 1
