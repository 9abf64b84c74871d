"""Intervals clustered by prompt: closed forms, coverage by simulation, degenerate cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pipeline import intervals
from pipeline.intervals import Figure


def test_a_mean_of_rows_that_are_each_a_cluster_has_students_interval() -> None:
    x = np.random.default_rng(0).normal(size=30)
    figure = intervals.mean(x, np.arange(30), -math.inf, math.inf)
    low, high = stats.t.interval(0.95, 29, x.mean(), stats.sem(x))
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=1e-12)


def test_a_share_of_many_single_rows_has_wilsons_interval() -> None:
    x = np.repeat([1.0, 0.0], [6_000, 4_000])
    figure = intervals.share(x, np.arange(10_000))
    closed = stats.binomtest(6_000, 10_000).proportion_ci(method="wilson")
    assert (figure.low, figure.high) == pytest.approx((closed.low, closed.high), abs=2e-5)


def test_rows_said_twice_within_a_prompt_add_nothing() -> None:
    x = np.random.default_rng(1).integers(0, 2, 50).astype(float)
    once = intervals.share(x, np.arange(50))
    twice = intervals.share(np.repeat(x, 2), np.repeat(np.arange(50), 2))
    assert (twice.n, twice.clusters) == (100, 50)
    assert (twice.value, twice.low, twice.high) == pytest.approx((once.value, once.low, once.high))


def test_a_cluster_robust_variance_is_the_textbooks() -> None:
    x, cluster = np.array([1.0, 2.0, 3.0, 6.0, 8.0]), np.array([7, 7, 10**12, 10**12, -3])
    # Totals of the distances from 4: -5, 1, 4; times G/(G-1), over n squared.
    assert intervals.spread(x - 4, cluster).variance == pytest.approx(3 / 2 * (25 + 1 + 16) / 25)


@pytest.mark.parametrize(("p", "prompts", "each"), [(0.6, 40, 1), (0.9, 60, 1), (0.6, 30, 3), (0.9, 60, 3)])
def test_a_share_is_covered_as_often_as_it_says(p: float, prompts: int, each: int) -> None:
    random, hits = np.random.default_rng(2), 0
    cluster = np.repeat(np.arange(prompts), each)
    for _ in range(1_500):
        rate = random.beta(2 * p, 2 * (1 - p), prompts) if each > 1 else np.full(prompts, p)
        x = (random.random((prompts, each)) < rate[:, None]).astype(float).ravel()
        figure = intervals.share(x, cluster)
        hits += figure.low <= p <= figure.high
    assert 0.93 <= hits / 1_500 <= 0.98


def test_a_paired_difference_is_covered_as_often_as_it_says() -> None:
    random, hits = np.random.default_rng(3), 0
    cluster = np.repeat(np.arange(50), 3)
    for _ in range(1_500):
        lean = np.repeat(random.normal(0.1, 0.3, 50), 3)
        figure = intervals.mean(np.sign(lean + random.normal(0, 0.5, 150)), cluster)
        truth = 1 - 2 * stats.norm.cdf(-0.1 / math.hypot(0.3, 0.5))
        hits += figure.low <= truth <= figure.high
    assert 0.93 <= hits / 1_500 <= 0.97


def test_no_rows_are_undefined() -> None:
    none = np.zeros(0)
    for figure in (intervals.share(none, none.astype(int)), intervals.mean(none, none.astype(int))):
        assert not figure.defined
        assert math.isnan(figure.low)
        assert (figure.n, figure.clusters) == (0, 0)


def test_one_prompt_tells_nothing_of_others() -> None:
    one = np.zeros(8, int)
    assert intervals.share(np.ones(8), one) == Figure(1, 0, 1, 8, 1)
    assert intervals.mean(np.ones(8), one) == Figure(1, -1, 1, 8, 1)


def test_all_right_keeps_a_width_of_as_many_prompts_not_rows() -> None:
    rows, prompts = (intervals.share(np.ones(60), np.arange(60) // k) for k in (1, 3))
    assert (rows.value, rows.high, prompts.high) == (1, 1, 1)
    assert prompts.low < rows.low < 1


def test_differences_that_are_all_nought_keep_a_width() -> None:
    figure = intervals.mean(np.zeros(40), np.arange(40))
    assert figure.low == -figure.high < 0
    assert figure.high < 0.12


def test_a_bootstrap_is_the_same_each_time_and_has_the_right_spread() -> None:
    random = np.random.default_rng(4)
    x, cluster = random.random(6_000), np.arange(6_000) // 2
    columns = np.stack([x, np.ones(6_000)], axis=1)
    draws = intervals.resampled(columns, cluster)
    assert np.array_equal(draws, intervals.resampled(columns, cluster))
    # 3,000 prompts go into 500 groups; the standard error must survive that.
    expected = math.sqrt(intervals.spread(x - x.mean(), cluster).variance)
    assert (draws[:, 0] / draws[:, 1]).std() == pytest.approx(expected, rel=0.1)
