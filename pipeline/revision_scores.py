"""What revision is worth to a preference model: scores by number of revisions (the paper's figures 5 and 7).

Pure: rows in, figures out. Headless: `cai score`. Intervals are of 95% and clustered by prompt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import intervals
from pipeline.intervals import Figure
from pipeline.records import STRICT, as_json


@dataclass(frozen=True)
class RevisionScore:
    """A preference model's score of a chain's answer after so many revisions; 0 is the first response.

    `chains` names the run that the chain is of; from `constitution` on, all is the chain's own. Scores of
    one preference model alone can be compared: `pm_revision` is that of its weights.
    """

    __pydantic_config__ = STRICT

    id: str
    chains: str
    chain: str
    prompt_id: str
    revision: int
    score: float
    pm: str
    pm_revision: str
    constitution: str
    model: str
    critic: str
    critiques: bool = True


@dataclass(frozen=True)
class Series:
    """Chains that are one line of a figure: of one run, made in one way, scored by one preference model."""

    pm_revision: str
    chains: str
    constitution: str
    model: str
    critic: str
    critiques: bool


@dataclass(frozen=True)
class Point:
    """The answers after so many revisions: their mean score, and the mean of what each is above the first
    response to its prompt (undefined for 0 revisions)."""

    revision: int
    score: Figure
    gain: Figure


@dataclass(frozen=True)
class Course:
    """One series by number of revisions. `better` is the share of chains whose final revision scores above
    their first response. `pm` is the preference model's name."""

    series: Series
    pm: str
    points: tuple[Point, ...]
    better: Figure


def courses(rows: Sequence[RevisionScore]) -> list[Course]:
    """The course of each series, in the order in which they first appear."""
    groups: dict[Series, list[RevisionScore]] = {}
    for row in rows:
        groups.setdefault(series_of(row), []).append(row)
    return [_course(series, some) for series, some in groups.items()]


def series_of(row: RevisionScore) -> Series:
    """The line that a row belongs to."""
    return Series(row.pm_revision, row.chains, row.constitution, row.model, row.critic, row.critiques)


def _course(series: Series, rows: Sequence[RevisionScore]) -> Course:
    score = np.array([row.score for row in rows])
    revision = np.array([row.revision for row in rows])
    cluster = np.unique([row.prompt_id for row in rows], return_inverse=True)[1]
    chain = np.unique([row.chain for row in rows], return_inverse=True)[1]
    first = np.full(chain.max() + 1, math.nan)  # float[chains]: where there is none, nothing is above it
    first[chain[revision == 0]] = score[revision == 0]
    gain = score - first[chain]
    last = np.zeros(len(first), dtype=np.int64)
    np.maximum.at(last, chain, revision)
    final = (revision == last[chain]) & (revision > 0) & ~np.isnan(gain)
    points = []
    for number in np.unique(revision).tolist():
        at = revision == number
        paired = at & ~np.isnan(gain) & (number > 0)
        points.append(Point(number, _mean(score[at], cluster[at]), _mean(gain[paired], cluster[paired])))
    better = intervals.share((gain[final] > 0).astype(np.float64), cluster[final])
    return Course(series, rows[0].pm, tuple(points), better)


def _mean(x: intervals.Floats, cluster: intervals.Ints) -> Figure:
    """A mean without bounds: a preference model's scores have none."""
    return intervals.mean(x, cluster, -math.inf, math.inf)


def as_rows(some: Sequence[Course]) -> list[dict[str, Any]]:
    """The same as JSON: an object for each series, in it one for each number of revisions."""
    return [
        {
            "pm": course.pm,
            **as_json(course.series),
            "revisions": [
                {"revision": p.revision, "score": _told(p.score), "gain": _told(p.gain)}
                for p in course.points
            ],
            "better": _told(course.better),
        }
        for course in some
    ]


def _told(figure: Figure) -> dict[str, float | int | None]:
    """NaN and infinity, for which JSON has no word, become null."""
    ends = {"value": figure.value, "low": figure.low, "high": figure.high}
    finite = {name: value if math.isfinite(value) else None for name, value in ends.items()}
    return {**finite, "n": figure.n, "prompts": figure.clusters}


def lines(some: Sequence[Course]) -> Iterator[str]:
    """For a terminal: each series, a line for each number of revisions, and how often the last one helped."""
    for course in some:
        series = course.series
        how = "with critiques" if series.critiques else "without critiques"
        yield f"{series.chains}: {series.model} revised by {series.critic} {how}, under {series.constitution}"
        yield f"  {'revisions':>9}  {'n':>7}  {'prompts':>7}  {'mean score':^25}  above the first response"
        for point in course.points:
            n, prompts = f"{point.score.n:,}", f"{point.score.clusters:,}"
            gain = words(point.gain, signed=True) if point.gain.defined else ""
            yield f"  {point.revision:>9}  {n:>7}  {prompts:>7}  {words(point.score):^25}  {gain}".rstrip()
        if course.better.defined:
            share = f"{course.better.value:.1%} [{course.better.low:.1%}, {course.better.high:.1%}]"
            of = f"of {course.better.n:,} chains"
            yield f"  {share} {of}: the final revision scores above the first response"


def words(figure: Figure, signed: bool = False) -> str:
    """A score and its interval, to the third digit."""
    form = "+.3f" if signed else ".3f"
    low, high = (
        ("-∞" if end < 0 else "∞") if math.isinf(end) else format(end, form)
        for end in (figure.low, figure.high)
    )
    return f"{figure.value:{form}} [{low}, {high}]"
