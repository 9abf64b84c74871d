"""Scores by number of revisions: means, paired differences and shares, against closed forms and scipy."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from pipeline import revision_scores
from pipeline.revision_scores import RevisionScore, courses


def rows(
    scores: Sequence[Sequence[float]], prompts: Sequence[str] = (), **more: object
) -> list[RevisionScore]:
    """A chain for each sequence of scores, by default each of a prompt of its own."""
    made = RevisionScore("", "first", "", "", 0, 0.0, "pm", "r1", "v1", "bundled", "bundled")
    return [
        replace(
            made,
            id=f"{chain}:{at}",
            chain=str(chain),
            prompt_id=prompts[chain] if prompts else f"p{chain}",
            revision=at,
            score=score,
            **more,  # type: ignore[arg-type]
        )
        for chain, some in enumerate(scores)
        for at, score in enumerate(some)
    ]


def test_of_a_chain_a_prompt_the_interval_of_the_difference_is_the_paired_t_test() -> None:
    random = np.random.default_rng(0)
    first = random.normal(size=40)
    scores = np.stack([first, first + random.normal(0.3, 1, 40), first + random.normal(0.6, 1, 40)], axis=1)
    [course] = courses(rows(scores.tolist()))
    for at, point in enumerate(course.points):
        assert point.revision == at
        assert point.score.value == pytest.approx(scores[:, at].mean())
        if at:
            test = stats.ttest_rel(scores[:, at], first).confidence_interval()
            gain = point.gain
            assert (gain.low, gain.high) == pytest.approx((test.low, test.high))
            assert gain.value == pytest.approx((scores[:, at] - first).mean())
    assert not course.points[0].gain.defined


def test_chains_of_one_prompt_count_as_one_where_they_are_alike() -> None:
    many = courses(rows([[0, n % 4] for n in range(40)], [f"p{n % 4}" for n in range(40)]))[0]
    few = courses(rows([[0, n] for n in range(4)]))[0]
    one, other = many.points[1].gain, few.points[1].gain
    assert (one.low, one.high) == pytest.approx((other.low, other.high))
    assert (one.n, one.clusters, other.n) == (40, 4, 4)


def test_the_share_is_of_the_final_revision_and_equal_is_not_above() -> None:
    [course] = courses(rows([[0, 5, -1], [0, -5, 1], [0, 0], [0], [0, 0, 2]]))
    assert (course.better.value, course.better.n) == (0.5, 4)
    low, high = stats.binomtest(2, 4).proportion_ci(method="wilson")
    assert low < 0.5 < high
    assert course.better.low <= low  # Student's t instead of the normal's quantile: a little wider
    assert course.better.high >= high


def test_runs_ways_and_preference_models_are_never_pooled() -> None:
    some = [
        *rows([[0, 1]] * 3),
        *rows([[0, 1]] * 3, critiques=False),
        *rows([[0, 1]] * 3, chains="second"),
        *rows([[9, 9]] * 3, pm_revision="r2"),
    ]
    found = courses(some)
    assert [(c.series.chains, c.series.critiques, c.series.pm_revision) for c in found] == [
        ("first", True, "r1"),
        ("first", False, "r1"),
        ("second", True, "r1"),
        ("first", True, "r2"),
    ]
    assert [c.points[0].score.value for c in found] == [0, 0, 0, 9]


def test_a_chain_whose_first_response_was_empty_has_no_difference() -> None:
    some = [row for row in rows([[0, 1], [5, 7]]) if row.id != "1:0"]
    [course] = courses(some)
    assert [(p.score.n, p.gain.n) for p in course.points] == [(1, 0), (2, 1)]
    assert course.better.n == 1


def test_a_single_prompt_tells_nothing_of_others_and_json_has_no_infinity() -> None:
    [course] = courses(rows([[0, 1]]))
    assert math.isinf(course.points[1].gain.low)
    [row] = json.loads(json.dumps(revision_scores.as_rows([course]), allow_nan=False))
    assert row["revisions"][1]["gain"] == {"value": 1.0, "low": None, "high": None, "n": 1, "prompts": 1}
    assert row["revisions"][0]["gain"]["value"] is None
    assert "1.000 [-∞, ∞]" in "\n".join(revision_scores.lines([course]))
