"""Calibration: what it repairs, what it refuses, and that it knows no side."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipeline import calibration
from pipeline.agreement import sides
from pipeline.calibration import Calibration, calibrate
from pipeline.errors import UserError
from pipeline.intervals import Floats
from pipeline.records import as_json, parse


def timid(n: int, prompts: int | None = None) -> tuple[Floats, Floats, Any]:
    """A labeller whose logits are a twentieth of what they should be: p, choice, cluster."""
    random = np.random.default_rng(0)
    logit = random.normal(size=n)
    choice = (random.random(n) < 1 / (1 + np.exp(-logit))).astype(float)
    return 1 / (1 + np.exp(-logit / 20)), choice, np.arange(n) % (prompts or n)


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_a_timid_labeller_is_stretched(kind: Any) -> None:
    found = calibrate(*timid(1_000, 300), kind)
    assert found.slope == pytest.approx(20, rel=0.2)
    assert found.after.ece.value < 0.5 * found.before.ece.value
    assert found.after.brier.value < found.before.brier.value
    assert (found.n, found.clusters) == (1_000, 300)


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_it_is_rising_and_knows_no_side(kind: Any) -> None:
    found, p = calibrate(*timid(400), kind), np.linspace(0, 1, 101)
    assert found.apply(1 - p) == pytest.approx(1 - found.apply(p), abs=1e-9)
    assert (np.diff(found.apply(p)) >= -1e-12).all()
    assert found.apply(np.array([0.5]))[0] == pytest.approx(0.5)
    assert np.isnan(found.apply(np.array([np.nan])))[0]


def test_no_label_changes_sides() -> None:
    # Right in 62 of 100 pairs: much is pooled at a half, which rounding must not miss on either side.
    for seed in range(100):
        random = np.random.default_rng(seed)
        p = 1 / (1 + np.exp(-random.normal(0, 1.2, 250)))
        choice = (random.random(250) < np.where(p > 0.5, 0.62, 0.38)).astype(float)
        after = calibrate(p, choice, np.arange(250) % 50, "isotonic").apply(p)
        assert np.abs(sides(after) - sides(p)).max() < 1
        assert ((after == 0.5) | (np.abs(after - 0.5) > 1e-9)).all()


def test_learning_each_pair_both_ways_round_leaves_no_intercept() -> None:
    p, choice, cluster = timid(300)
    logit = np.log(p / (1 - p)) * 20
    both = LogisticRegression(C=1e6).fit(np.r_[logit, -logit][:, None], np.r_[choice, 1 - choice])
    assert both.intercept_[0] == pytest.approx(0, abs=1e-6)
    assert calibrate(p, choice, cluster, "platt").slope / 20 == pytest.approx(both.coef_[0, 0], rel=1e-3)


def test_isotonic_from_200_judgments_on() -> None:
    assert calibrate(*timid(199)).kind == "platt"
    assert calibrate(*timid(200)).kind == "isotonic"


def test_what_is_measured_was_not_learnt_from() -> None:
    # Noise: isotonic learns it by heart, and must not look better for that.
    random = np.random.default_rng(3)
    p, choice = random.random(300), random.integers(0, 2, 300).astype(float)
    slope_up = np.corrcoef(p, choice)[0, 1] > 0
    p = p if slope_up else 1 - p
    found = calibrate(p, choice, np.arange(300), "isotonic")
    learnt = float(((found.apply(p) - choice) ** 2).mean())
    assert learnt < 0.25 < found.after.brier.value


def test_pairs_of_a_prompt_stay_in_one_fold() -> None:
    # A prompt's ten copies, half a coin: seen in training, they would tell its outcome.
    random = np.random.default_rng(4)
    p = np.repeat(random.random(40), 10)
    choice = np.repeat(random.integers(0, 2, 40), 10).astype(float)
    if np.corrcoef(p, choice)[0, 1] < 0:
        p = 1 - p
    grouped = calibrate(p, choice, np.repeat(np.arange(40), 10), "isotonic")
    leaking = calibrate(p, choice, np.arange(400), "isotonic")
    assert grouped.after.brier.value > leaking.after.brier.value + 0.02


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_an_opposed_labeller_is_refused(kind: Any) -> None:
    p, choice, cluster = timid(400)
    with pytest.raises(UserError, match="not repaired by turning it round"):
        calibrate(1 - p, choice, cluster, kind)


def test_nothing_to_learn_from_is_told() -> None:
    p, choice, cluster = timid(100)
    with pytest.raises(UserError, match="exactly a half"):
        calibrate(np.full(100, 0.5), choice, cluster)
    with pytest.raises(UserError, match="19 decided judgments of 19 prompts are too few"):
        calibrate(p[:25], np.r_[choice[:19], [0.5] * 6], cluster[:25])
    with pytest.raises(UserError, match="of 1 prompts are too few"):
        calibrate(p, choice, np.zeros(100, int))


def test_a_labeller_that_is_always_right_has_a_finite_slope() -> None:
    _, choice, cluster = timid(100)
    found = calibrate(0.4 + 0.2 * choice, choice, cluster)
    assert found.apply(np.array([0.6]))[0] > 0.95
    assert np.isfinite(found.slope)
    assert calibrate(np.full(50, 0.9), np.ones(50), np.arange(50)).slope > 0


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_it_is_stored_as_json(kind: Any) -> None:
    found = calibrate(*timid(200), kind)
    assert parse(Calibration, json.loads(json.dumps(as_json(found)))) == found


def test_the_least_number_is_what_the_words_say() -> None:
    assert calibrate(*timid(calibration.LEAST)).n == calibration.LEAST
