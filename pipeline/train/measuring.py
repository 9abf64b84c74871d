"""How good a preference model is on pairs that it was not trained on: accuracy, loss and calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pipeline import agreement
from pipeline.agreement import Compared
from pipeline.compared_run import beside
from pipeline.intervals import Figure
from pipeline.records import Message
from pipeline.train.examples import Preference

Score = Callable[[Sequence[tuple[Sequence[Message], str]]], list[float]]


def differences(score: Score, preferences: Sequence[Preference]) -> np.ndarray:
    """Of each pair response a's score less that of b: shape (pairs,)."""
    said = [(p.pair.messages, text) for p in preferences for text in (p.pair.response_a, p.pair.response_b)]
    scores = score(said)
    return np.subtract(scores[::2], scores[1::2])


def measure(d: np.ndarray, preferences: Sequence[Preference]) -> dict[str, Any]:
    """Accuracy, Brier score and calibration error against each pair's better side, and the soft loss.

    Each figure has its n and a 95% interval clustered by prompt, as JSON. Undecided pairs (p = 0.5) count in
    the loss alone. `d` are the differences of the pairs' scores.
    """
    p = np.array([p.p for p in preferences])
    loss = float(np.mean(losses(d, p)))
    decided = compared(d, preferences).decided()
    return {
        "pairs": len(preferences),
        "accuracy": _plain(agreement.accuracy(decided)),
        "brier": _plain(agreement.brier(decided)),
        "ece": _plain(agreement.ece(decided)),
        "loss": round(loss, 4),
    }


def losses(d: np.ndarray, p: np.ndarray) -> np.ndarray:
    """-[p log σ(d) + (1-p) log σ(-d)] of each pair, written so that no exponential overflows."""
    found: np.ndarray = np.logaddexp(0, -d) * p + np.logaddexp(0, d) * (1 - p)
    return found


def compared(d: np.ndarray, preferences: Sequence[Preference]) -> Compared:
    """The model's P(a better) = σ(d) beside the sides that the labels favour; d is score a less score b."""
    p = np.exp(-np.logaddexp(0, -d))
    pairs = [preference.pair for preference in preferences]
    asked = [preference.prompt for preference in preferences]
    numbers = {prompt: i for i, prompt in enumerate(dict.fromkeys(asked))}
    prompts = np.array([numbers[prompt] for prompt in asked], np.int64)
    favoured = agreement.sides(np.array([preference.p for preference in preferences]))
    return beside(pairs, (p, p, p), favoured, prompts)


def line(name: str, figures: Mapping[str, Any]) -> str:
    """The figures of one set of pairs in a line."""
    a = figures["accuracy"]
    if a["value"] is None:
        return f"{name}: no decided pair to measure on"
    return (
        f"{name}: accuracy {a['value']:.3f} [{a['low']:.3f}, {a['high']:.3f}] n={a['n']:,}, loss "
        f"{figures['loss']:.3f}, calibration error {figures['ece']['value']:.3f}, Brier "
        f"{figures['brier']['value']:.3f}"
    )


def _plain(figure: Figure) -> dict[str, Any]:
    numbers = asdict(figure)
    return {k: (round(v, 4) if v == v else None) if isinstance(v, float) else v for k, v in numbers.items()}
