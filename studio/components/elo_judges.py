"""Do judges rank the models the same? Each judge's ratings side by side, and Kendall's tau of each two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from studio.components import elo_asked
from studio.components import elo_charts as charts
from studio.components.elo_data import TITLES, Picture, Rated
from studio.components.elo_section import Drawn, words
from studio.escaping import escape

ASIDE = "human beside AI; of few models a rank correlation says little"
LEAST = 3
"""Models below which there is no ranking to speak of."""


@dataclass(frozen=True)
class Alike:
    """How far two groups rank the models alike that both rate. `p` is that of tau, were they unrelated.

    Neither is there for fewer than LEAST models, nor where one of the groups has them all tied.
    """

    one: Rated
    other: Rated
    models: int
    tau: float | None
    p: float | None

    @property
    def human(self) -> bool:
        """Whether a person's judgments stand beside a model's."""
        return {"person", "model"} == {self.one.group.kind, self.other.group.kind}


def judges(picture: Picture) -> Drawn:
    """A panel for each axis that more than one judge has judged."""
    axes = [axis for axis in TITLES if len(picture.of_axis(axis)) > 1]
    if not axes:
        return Drawn(
            None,
            '<p class="cai-muted">One judge for each axis so far: nothing to compare. Vote in the arena, or '
            "let another judge rate the same models.</p>",
        )
    shown = {axis: picture.of_axis(axis) for axis in axes}
    labels = charts.distinct(_models([rated for some in shown.values() for rated in some]), 28)
    height = 150 + 30 * len(labels)
    figure = charts.panels([TITLES[axis] for axis in axes], height, "Elo", "", shared=True)
    named: set[str] = set()
    for panel, some in enumerate(shown.values(), 1):
        for rated in some:
            _trace(figure, panel, rated, labels, named)
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=list(labels.values()))
    charts.zero(figure, up=False)
    every = [pair for some in shown.values() for pair in alike(some)]
    every.sort(key=lambda pair: (not pair.human, -pair.models))
    return Drawn(
        figure,
        '<p class="cai-muted">Each judge’s ratings by themselves, never pooled; blue squares are people, '
        "orange diamonds feedback models, green circles preference models.</p>",
        ("Axis", "Judge", "Other judge", "Kendall’s tau", "p", "Models"),
        [_row(pair) for pair in every],
        [_data(pair) for pair in every],
    )


def alike(some: Sequence[Rated]) -> list[Alike]:
    """Each two groups of an axis."""
    from scipy.stats import kendalltau

    found = []
    for one, other in combinations(some, 2):
        both = [r.model for r in one.table.ratings if one.rating(r.model) and other.rating(r.model)]
        if len(both) < LEAST:
            found.append(Alike(one, other, len(both), None, None))
            continue
        values = [[_elo(rated, model) for model in both] for rated in (one, other)]
        told: Any = kendalltau(*values)
        # Not a number where one of the two ranks no model above another.
        tau, p = (None if math.isnan(x) else float(x) for x in (told.statistic, told.pvalue))
        found.append(Alike(one, other, len(both), tau, p))
    return found


def _elo(rated: Rated, model: str) -> float:
    rating = rated.rating(model)
    # Two equal ratings differ in their last digits, and would count as ranked.
    return round(rating.elo, 6) if rating and rating.elo is not None else 0.0


def _models(some: Sequence[Rated]) -> list[str]:
    """All that any of the groups rates, in the order of the largest."""
    return list(
        dict.fromkeys(r.model for rated in some for r in rated.table.ratings if rated.rating(r.model))
    )


def _trace(figure: Any, panel: int, rated: Rated, labels: dict[str, str], named: set[str]) -> None:
    colour, symbol = charts.OF_JUDGE[elo_asked.who(rated.group)]
    ratings = [r for r in rated.table.ratings if rated.rating(r.model)]
    figure.add_scatter(
        x=[r.elo for r in ratings],
        y=[labels[r.model] for r in ratings],
        error_x=charts.whiskers(ratings, colour),
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 10, "opacity": 0.85},
        name=charts.label(rated.called, 60),
        legendgroup=rated.called,
        showlegend=rated.called not in named,
        customdata=[f"model:{rated.key}:{r.model}" for r in ratings],
        hovertext=[
            f"<b>{charts.label(r.model, 80)}</b><br>{charts.label(rated.called, 90)}<br>"
            f"{words(r, rated.table.base)}"
            for r in ratings
        ],
        hoverinfo="text",
        row=1,
        col=panel,
    )
    named.add(rated.called)


def _row(pair: Alike) -> list[str]:
    why = f"needs {LEAST} models" if pair.models < LEAST else "all tied"
    return [
        TITLES[pair.one.group.axis],
        escape(pair.one.called),
        escape(pair.other.called),
        f'<span class="cai-muted">{why}</span>'
        if pair.tau is None
        else f"<b>{pair.tau:+.2f}</b>".replace("-", "−"),
        "–" if pair.p is None else f"{pair.p:.3f}",
        f"{pair.models:,}",
    ]


def _data(pair: Alike) -> dict[str, object]:
    one, other = pair.one.group, pair.other.group
    return {
        "axis": one.axis,
        "judge": one.judge,
        "judge_kind": one.kind,
        "constitution": one.constitution,
        "other_judge": other.judge,
        "other_judge_kind": other.kind,
        "other_constitution": other.constitution,
        "tau": pair.tau,
        "p": pair.p,
        "models": pair.models,
    }
