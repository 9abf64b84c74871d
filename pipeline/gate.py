"""The gate: may these AI labels train a reward, going by people's judgments?

It reads the judgments that nobody chose for what the AI said (`agreement.UNCHOSEN`), without human ties, in
the order of time, and looks only when there are 50, 100, 200 and 400 of them. Who looks after each judgment
and stops at the first good moment is misled far more often than 5% of the time; here the looks share the 5%.

Each look may err with what the linear spending function α·n/400 adds since the look before (Kim and DeMets
1987, ρ = 1): 0.6%, 0.6%, 1.25% and 2.5%. These add up to 5% whatever the looks have to do with one another,
and leave the later looks, where it is decided, the most. A look's bound is Clopper and Pearson's for the
effective number of pairs that their prompts leave (Korn and Graubard 1998).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline import intervals
from pipeline.errors import UserError
from pipeline.intervals import Figure, Floats, Spread

LOOKS = (50, 100, 200, 400)
ERROR = 0.05
THRESHOLD = 0.60

NOT_SHOWN = "Not shown yet that these labels agree with people"

State = Literal["agrees", "opposed", "not shown yet"]


def worst(states: Iterable[State]) -> State:
    """The one of several states that counts: the least good."""
    found = set(states)
    return "opposed" if "opposed" in found else "not shown yet" if "not shown yet" in found else "agrees"


@dataclass(frozen=True)
class Look:
    """The first `n` judgments: their accuracy, and bounds that each err with probability `level`."""

    n: int
    level: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Gate:
    """What the looks so far say.

    `needed` is how many more judgments the next look takes, None after the last. `expected` is how many more
    until a look would tell if the accuracy stays as it is; None where none is expected to.
    """

    state: State
    threshold: float
    accuracy: Figure
    looks: tuple[Look, ...]
    needed: int | None
    expected: int | None

    def words(self) -> list[str]:
        """The state and what it rests on, a sentence each."""
        return _words(self)


def gate(correct: Floats, cluster: npt.NDArray[np.integer], threshold: float = THRESHOLD) -> Gate:
    """Look at judgments in the order of time.

    `correct` (float[n]) is 1 where the AI took the human's side, 0 where not, a half for an exact AI tie;
    `cluster` (int[n]) numbers the prompts, so that what one ranking implies counts as one prompt's. The first
    look that tells stands. Raises UserError for a threshold outside [0.5, 1).
    """
    if not 0.5 <= threshold < 1:
        raise UserError(f"threshold: {threshold} is not between 0.5 (chance) and 1: choose one that is")
    looks: list[Look] = []
    state: State = "not shown yet"
    for i, n in enumerate(LOOKS):
        if n > len(correct):
            break
        looks.append(_look(correct[:n], cluster[:n], _level(i)))
        state = _tells(looks[-1], threshold)
        if state != "not shown yet":
            break
    upcoming = [n for n in LOOKS if n > len(correct)] if state == "not shown yet" else []
    return Gate(
        state,
        threshold,
        intervals.share(correct, cluster),
        tuple(looks),
        upcoming[0] - len(correct) if upcoming else None,
        _expected(correct, cluster, threshold) if upcoming else None,
    )


def _level(i: int) -> float:
    """The one-sided error of the i-th look."""
    return ERROR * (LOOKS[i] - (LOOKS[i - 1] if i else 0)) / LOOKS[-1]


def _look(correct: Floats, cluster: npt.NDArray[np.integer], level: float) -> Look:
    value = float(correct.mean())
    low, high = bounds(value, intervals.spread(correct - value, cluster), level)
    return Look(len(correct), level, value, low, high)


def bounds(value: float, spread: Spread, level: float) -> tuple[float, float]:
    """One-sided bounds of a share, each wrong with probability `level` at most (Korn and Graubard 1998)."""
    from scipy.special import betaincinv

    t = spread.t(level)
    if math.isinf(t):
        return 0.0, 1.0
    plain = Spread(spread.variance, spread.n, spread.n, spread.n).t(level)
    # Few prompts make the variance itself uncertain: t of theirs, against t of as many pairs.
    n = min(intervals.worth(value, spread) * (plain / t) ** 2, spread.n)
    right, wrong = n * value, n * (1 - value)
    low = float(betaincinv(right, wrong + 1, level)) if right > 0 else 0.0
    high = float(betaincinv(right + 1, wrong, 1 - level)) if wrong > 0 else 1.0
    return low, high


def _tells(look: Look, threshold: float) -> State:
    if look.low > threshold:
        return "agrees"
    return "opposed" if look.high < 0.5 else "not shown yet"


def _expected(correct: Floats, cluster: npt.NDArray[np.integer], threshold: float) -> int | None:
    """How many more judgments like these until a look tells."""
    now = len(correct)
    if not now:
        return None
    value = float(correct.mean())
    found = intervals.spread(correct - value, cluster)
    if found.clusters < 2:
        return None
    for i, n in enumerate(LOOKS):
        # As many more prompts as pairs: the variance of a mean falls with its size.
        then = Spread(found.variance * now / n, n, found.clusters * n // now, found.effective * n / now)
        low, high = bounds(value, then, _level(i))
        if n > now and _tells(Look(n, _level(i), value, low, high), threshold) != "not shown yet":
            return n - now
    return None


def _words(g: Gate) -> list[str]:
    if g.state != "not shown yet":
        return [_verdict(g), *_stands(g)]
    last = LOOKS[-1]
    if g.needed is None:
        return [
            f"{NOT_SHOWN}: after {last} judgments the lower bound, {g.looks[-1].low:.2f}, is not above "
            f"{g.threshold:.2f}.",
            "That was the last look, and it stands: more judgments do not change it. Change the labels: a "
            "principle, the method or the model.",
        ]
    first = f"{NOT_SHOWN}: the next look is after {g.needed} more judgments."
    if g.expected is not None:
        what = "it is opposed" if g.accuracy.value < 0.5 else "it agrees"
        return [first, f"At the present accuracy, {g.expected} more would show that {what}."]
    if not g.accuracy.defined or g.accuracy.clusters < 2:
        return [first]
    if g.accuracy.value <= g.threshold:
        return [
            first,
            f"The present accuracy, {g.accuracy.value:.2f}, is not above {g.threshold:.2f}: "
            "more judgments alone are not expected to show agreement.",
        ]
    return [first, f"At the present accuracy, even {last} judgments are not expected to tell."]


def _verdict(g: Gate) -> str:
    look = g.looks[-1]
    if g.state == "agrees":
        bound = f"the lower bound {look.low:.2f} is above {g.threshold:.2f}"
    else:
        bound = f"the upper bound {look.high:.2f} is under 0.50: people mostly hold the opposite"
    return f"{g.state.capitalize()}: at the look after {look.n} judgments {bound}."


def _stands(g: Gate) -> list[str]:
    later = g.accuracy.n - g.looks[-1].n
    return [f"The first look that tells stands; {later} later judgments do not change it."] if later else []
