"""What is said of a preference model, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from pipeline.records import Message, Pair
from pipeline.train.examples import Preference
from pipeline.train.measuring import differences, line, measure


def test_figures_equal_scikit_learns() -> None:
    random = np.random.default_rng(3)
    d, choice = random.normal(size=60), random.integers(0, 2, 60)
    asked = (Message("user", "How?"),)
    preferences = [
        Preference(Pair(f"p{i}", f"q{i}", asked, f"a{i}", f"b{i}"), float(c), "person")
        for i, c in enumerate(choice)
    ]
    scores = {f"a{i}": x for i, x in enumerate(d)}
    scored = differences(lambda said: [float(scores.get(text, 0.0)) for _, text in said], preferences)
    found = measure(scored, preferences)
    p = 1 / (1 + np.exp(-d))
    assert found["loss"] == pytest.approx(log_loss(choice, p), abs=1e-4)
    assert found["brier"]["value"] == pytest.approx(brier_score_loss(choice, p), abs=1e-4)
    assert found["accuracy"]["value"] == pytest.approx(np.mean((d > 0) == choice), abs=1e-4)
    assert found["accuracy"]["n"] == 60
    assert "n=60" in line("all", found)
