"""Elo ratings of models from matchups: Bradley-Terry with intervals over prompts. Headless: `cai elo`.

As the paper's figures 2 and 3 have them: a difference of 400 is odds of 10 to 1, the base model is 0, and
only differences mean anything. Intervals are of the difference to the base: prompts are drawn with
replacement, and each resample is fitted and put to base = 0 anew.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline import bradley_terry
from pipeline.bradley_terry import ABOVE, APART, BELOW, RATED, Bools
from pipeline.errors import UserError
from pipeline.intervals import Floats, Ints, count, dense
from pipeline.matchups import Matchup, Question
from pipeline.records import AnnotatorKind
from pipeline.votes import Votes, matrix, ordered

if TYPE_CHECKING:
    from scipy import sparse

Rule = Literal["majority", "soft"]
Standing = Literal["rated", "above", "below", "apart"]

SCALE = 400 / math.log(10)
"""Elo points in a nat of log-odds."""
RESAMPLES = 1_000
GROUPS = 2_000
"""More prompts than this are first put together in so many random groups, which are resampled."""
FEW = 20
"""Prompts below which a bootstrap over them is said to be rough."""
_TAIL = 0.025
_TRACE = 1e-6  # Elo points: what a fit's end leaves between resamples that are all alike
_AT_ONCE = 4_000_000  # numbers of one block of matrices: 32 MB
_STANDING: dict[int, Standing] = {RATED: "rated", ABOVE: "above", BELOW: "below", APART: "apart"}
# 1,000,000 votes of 10 models with 1,000 resamples: 0.2 to 0.6 s, by the number of prompts, on 2 cores
# (tests/benchmarks/bench_elo.py). evalica took 0.57 ms a fit, and so fits the point
# alone: our fit of all resamples at once also does the 500 bootstraps of the coverage test in 6 s.


@dataclass(frozen=True)
class Group:
    """What is rated together: one axis, one judge of one kind, under one constitution."""

    axis: Question
    judge: str
    kind: AnnotatorKind
    constitution: str | None = None

    def __str__(self) -> str:
        under = f" under {self.constitution}" if self.constitution else ""
        return f"{self.axis}, judged by {self.judge} ({self.kind}){under}"


@dataclass(frozen=True)
class Rating:
    """A model's difference to the base, in Elo points, with its 95% interval.

    `elo` is None where no number is finite, and `standing` says why: the model stands above or below the
    base (it never lost to it, or never won, even through others) or apart (never compared). `low` and
    `high` are None where the interval has no end. `n` counts its votes, `prompts` those they are of.
    """

    model: str
    elo: float | None
    low: float | None
    high: float | None
    n: int
    prompts: int
    standing: Standing = "rated"


@dataclass(frozen=True)
class Table:
    """The ratings of one group, the best first; `warnings` say what they can't bear."""

    ratings: tuple[Rating, ...]
    base: str
    rule: Rule
    n: int
    prompts: int
    warnings: tuple[str, ...] = ()


def grouped(matchups: Iterable[Matchup]) -> dict[Group, list[Matchup]]:
    """Matchups by what may be rated together: people, imports and models are never in one."""
    groups: dict[Group, list[Matchup]] = {}
    for one in matchups:
        group = Group(one.axis, one.judge, one.annotator.kind, one.constitution)
        groups.setdefault(group, []).append(one)
    return groups


def votes(matchups: Sequence[Matchup], rule: Rule = "majority") -> Votes:
    """The arrays of some matchups. A matchup without a prompt is like no other."""
    models = {
        name: i for i, name in enumerate(dict.fromkeys(n for m in matchups for n in (m.model_a, m.model_b)))
    }
    prompts: dict[tuple[str, str], int] = {}
    cluster = [
        prompts.setdefault(("prompt", m.prompt_id) if m.prompt_id else ("row", m.id), len(prompts))
        for m in matchups
    ]
    p = np.array([(m.p_ab, m.p_ba, m.p_a) for m in matchups], np.float64).reshape(-1, 3)
    return Votes(
        tuple(models),
        np.array([models[m.model_a] for m in matchups], np.int64),
        np.array([models[m.model_b] for m in matchups], np.int64),
        p[:, 2] if rule == "soft" else majority(p[:, 0], p[:, 1]),
        np.array(cluster, np.int64),
    )


def majority(p_ab: Floats, p_ba: Floats) -> Floats:
    """1 where both orders say a, or one does and the other is undecided; 0 for b; else 1/2."""
    result: Floats = (np.sign(np.sign(p_ab - 0.5) + np.sign(p_ba - 0.5)) + 1) / 2
    return result


def usual_base(votes: Votes) -> str:
    """The base where none is named: the bundled model, else the model with the most votes."""
    if "bundled" in votes.models:
        return "bundled"
    many = _counts(votes)
    return min(votes.models, key=lambda model: (-many[model], model))


def rate(
    votes: Votes, base: str = "", rule: Rule = "majority", seed: int = 0, resamples: int = RESAMPLES
) -> Table:
    """Rate the models of one group's votes. Raises UserError where the base has no vote."""
    if not len(votes):
        raise UserError("no votes to rate")
    base = base or usual_base(votes)
    if base not in votes.models:
        raise UserError(f"{base}: has no vote here; the models are {', '.join(votes.models)}")
    votes = ordered(votes)
    at = votes.models.index(base)
    point, wins = fitted(votes, at)
    drawn = SCALE * bootstrap(votes, at, seed, resamples, point)
    stands = [_STANDING[code] for code in bradley_terry.standings(wins, at).tolist()]
    many, prompts = _counts(votes), _prompts(votes)
    # A tie moves no resample: what an interval rests on are the others, the base's as much as the model's.
    decided = _prompts(votes, votes.won != 0.5)
    ratings = []
    for i, model in enumerate(votes.models):
        elo = float(SCALE * point[i]) if stands[i] == "rated" else None
        low, high = interval(drawn[:, i]) if elo is not None else (None, None)
        alike = drawn[:, i].max() < drawn[:, i].min() + _TRACE
        if model != base and (prompts[i] < 2 or not (decided[i] and decided[at]) or alike):
            # One prompt tells nothing of the others; and where votes are all alike, so are all resamples.
            low = high = None
        ratings.append(Rating(model, elo, low, high, many[model], prompts[i], stands[i]))
    order: dict[Standing, int] = {"above": 0, "rated": 1, "below": 2, "apart": 3}
    ratings.sort(key=lambda r: (order[r.standing], -(r.elo or 0.0), r.model))
    warnings = tuple(_warnings(ratings, base, dict(zip(votes.models, decided, strict=True))))
    return Table(tuple(ratings), base, rule, len(votes), count(votes.cluster), warnings)


def fitted(votes: Votes, base: int) -> tuple[Floats, Floats]:
    """θ less the base's (float[m]; ±inf, NaN as in `relative`), and the wins (float[m, m])."""
    m = len(votes.models)
    wins = matrix(votes.a, votes.b, votes.won, m)
    theta = bradley_terry.relative(wins[None], base)[0]
    members = np.flatnonzero(np.isfinite(theta))
    if len(members) > 1:
        # The point is the library's; a test holds our own fit, of the resamples, equal to it.
        found = bradley_terry.by_library(
            wins[np.ix_(members, members)], int(np.flatnonzero(members == base)[0])
        )
        if found is not None:
            theta[members] = found
    return theta, wins


def bootstrap(
    votes: Votes, base: int, seed: int = 0, resamples: int = RESAMPLES, point: Floats | None = None
) -> Floats:
    """θ less the base's in each resample of the prompts, float[resamples, m]; faster from the `point`."""
    random = np.random.default_rng(seed)
    ids = dense(votes.cluster)
    groups = count(ids)
    if groups > GROUPS:
        ids = (random.permutation(groups) % GROUPS)[ids]
        groups = GROUPS
    m = len(votes.models)
    # Who beat whom within each group, counted once: a resample is these counts under its own weights.
    counts = _wins(votes, ids)
    block = max(1, _AT_ONCE // (m * m))
    drawn = []
    for start in range(0, resamples, block):
        some = min(block, resamples - start)
        weights = np.empty((some, groups))
        for weight in weights:  # a resample at a time stays in the processor's cache
            weight[:] = np.bincount(random.integers(0, groups, groups), minlength=groups)
        drawn.append(bradley_terry.relative((weights @ counts).reshape(some, m, m), base, point))
    return np.concatenate(drawn)


def interval(drawn: Floats) -> tuple[float | None, float | None]:
    """The middle 95% of a rating's resamples; None for an end that is infinite or unknown."""
    last = len(drawn) - 1
    # A resample that knows nothing of the model could have it anywhere.
    low = np.sort(np.nan_to_num(drawn, nan=-np.inf, posinf=np.inf, neginf=-np.inf))[math.floor(_TAIL * last)]
    high = np.sort(np.nan_to_num(drawn, nan=np.inf, posinf=np.inf, neginf=-np.inf))[
        math.ceil((1 - _TAIL) * last)
    ]
    return float(low) if math.isfinite(low) else None, float(high) if math.isfinite(high) else None


def _wins(votes: Votes, ids: Ints) -> Floats | sparse.csr_array:
    """Wins by group of votes and by pair, winner first: float[groups, m * m], sparse where that is large."""
    m = len(votes.models)
    shape = (int(ids.max(initial=0)) + 1, m * m)
    won = np.concatenate([votes.won, 1 - votes.won])
    groups, pairs = np.tile(ids, 2), np.concatenate([votes.a * m + votes.b, votes.b * m + votes.a])
    if math.prod(shape) > _AT_ONCE:
        from scipy import sparse  # a fifth of a second, which the studio's start would wait for

        return sparse.csr_array((won, (groups, pairs)), shape)
    # Plain numbers are put together and multiplied faster.
    return np.bincount(groups * shape[1] + pairs, won, math.prod(shape)).reshape(shape)


def _counts(votes: Votes) -> Counter[str]:
    many = np.bincount(np.concatenate([votes.a, votes.b]), minlength=len(votes.models))
    return Counter(dict(zip(votes.models, many.tolist(), strict=True)))


def _prompts(votes: Votes, some: Bools | slice = slice(None)) -> list[int]:
    """How many prompts each model has votes on, or some of the votes (bool[n])."""
    ids, m = dense(votes.cluster), len(votes.models)
    seen = np.zeros((count(ids), m), np.bool_)
    seen[ids[some], votes.a[some]] = seen[ids[some], votes.b[some]] = True
    return [int(many) for many in seen.sum(0)]


def _warnings(ratings: Sequence[Rating], base: str, decided: Mapping[str, int]) -> Iterable[str]:
    """What the ratings can't bear, a sentence each; `decided` are prompts with votes that are no tie."""

    def named(standing: Standing) -> str:
        return ", ".join(r.model for r in ratings if r.standing == standing)

    if apart := named("apart"):
        yield f"not connected: nothing compares {apart} with {base}, not even through others: not rated"
    if above := named("above"):
        yield f"{above}: never lost to {base} or to what is rated with it: above any number, so not rated"
    if below := named("below"):
        yield f"{below}: never won against {base} or what is rated with it: below any number, so not rated"
    if (above or below) and sum(r.standing == "rated" for r in ratings) == 1:
        yield f"{base}, the base, has no wins and losses both: choose another base to rate the rest"
    rated = [r for r in ratings if r.standing == "rated" and r.model != base]
    if few := [f"{r.model} ({r.prompts})" for r in rated if r.prompts < FEW]:
        yield f"too few prompts for an interval to be relied on, below {FEW}: {', '.join(few)}"
    if tied := ", ".join(r.model for r in rated if not decided[r.model]):
        yield (
            f"nothing but ties, so no interval: this judge told {tied} from no other; ask another judge, "
            "or compare on other prompts"
        )
    rated = [r for r in rated if decided[r.model]]
    if rated and not decided[base]:
        against = ", ".join(r.model for r in rated)
        yield f"{base} has nothing but ties, so no interval against it: {against}; choose another base"
        return
    # The fewer of both are what a difference rests on.
    fewer = dict.fromkeys(min(r.model, base, key=decided.__getitem__) for r in rated if r.prompts >= FEW)
    if few := [f"{model} ({decided[model]})" for model in fewer if decided[model] < FEW]:
        yield (
            f"too few prompts with a vote that is no tie for an interval to be relied on, below {FEW}: "
            f"{', '.join(few)}"
        )
    if open_ := [r.model for r in rated if r.low is None or r.high is None]:
        yield f"too few votes: the interval has no end on one side or on both: {', '.join(open_)}"


def as_rows(group: Group, table: Table) -> list[dict[str, Any]]:
    """The rows of ratings.json, one for each model, each with what it rests on."""
    about = {"axis": group.axis, "judge": group.judge}
    rests = {
        "kind": group.kind,
        "constitution": group.constitution,
        "base": table.base,
        "rule": table.rule,
        "warnings": list(table.warnings),
    }
    return [{**about, **asdict(rating), **rests} for rating in table.ratings]
