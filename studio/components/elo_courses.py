"""Elo by model size and method (the paper's figure 3), and over the steps of RL: a panel for each axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from studio.components import elo_charts as charts
from studio.components.checkpoint_view import parameters
from studio.components.elo_data import TITLES, Picture, Rated
from studio.components.elo_frontier import about
from studio.components.elo_lines import Line, lines, step, trace
from studio.components.elo_models import Model
from studio.components.elo_section import Drawn, opens, points, words
from studio.escaping import escape

SIZES = "Figure 3: parameters without adapters; results of runs, not their snapshots"
STEPS = "from the model that a run began from, step 0"


def sizes(picture: Picture) -> Drawn:
    """By parameters, a series for each method."""

    def series(rated: Rated) -> list[Line]:
        models = [
            model
            for r in rated.table.ratings
            if rated.rating(r.model) and (model := picture.models[r.model]).whole and model.parameters
        ]
        by: dict[str, list[Model]] = {}
        for model in sorted(models, key=lambda m: (m.parameters or 0, m.name)):
            by.setdefault(model.method, []).append(model)
        return [Line(method, some, len({m.parameters for m in some}) > 1) for method, some in by.items()]

    def x(line: Line, model: Model) -> int:
        return model.parameters or 0

    drawn = _drawn(picture, series, x, "Parameters", "no model here has a card that says its size")
    if drawn.figure is not None:
        spots = sorted(
            {m.parameters or 0 for rated in picture.drawn for line in series(rated) for m in line.models}
        )
        ticks = [spot for spot in spots if spot]
        drawn.figure.update_xaxes(
            type="log", tickvals=ticks, ticktext=[parameters(spot) for spot in ticks], minor={"ticks": ""}
        )
        if len(ticks) == 1:
            drawn.figure.update_xaxes(range=_around(ticks[0]))
    return drawn


def steps(picture: Picture) -> Drawn:
    """By the trainer's step, a line for each RL run."""

    def series(rated: Rated) -> list[Line]:
        names = [r.model for r in rated.table.ratings if rated.rating(r.model)]
        return [line for line in lines(picture, names) if line.drawn]

    drawn = _drawn(picture, series, step, "RL step", "no checkpoint of an RL run is rated here")
    if drawn.figure is not None:
        drawn.figure.update_xaxes(tickformat="d", rangemode="tozero", nticks=8)
    return drawn


def _drawn(
    picture: Picture,
    series: Callable[[Rated], list[Line]],
    x: Callable[[Line, Model], int],
    across: str,
    nothing: str,
) -> Drawn:
    found = [(rated, some) for rated in picture.drawn if (some := series(rated))]
    if not found:
        return Drawn(None, f'<p class="cai-muted">Nothing to draw: {nothing}.</p>')
    titles = [f"{TITLES[rated.group.axis]}, {rated.called}" for rated, _ in found]
    figure = charts.panels(titles, 380, across, "Elo")
    names = list(dict.fromkeys(line.name for _, some in found for line in some))
    for panel, (rated, some) in enumerate(found, 1):
        for line in some:
            _trace(figure, panel, line, names, rated, x)
    charts.zero(figure, across=False)
    rows = [(rated, line, model) for rated, some in found for line in some for model in line.models]
    note = " ".join(f"{TITLES[r.group.axis]}: {r.sized}; {escape(r.table.base)} = 0." for r, _ in found)
    return Drawn(
        figure,
        f'<p class="cai-muted">{note}</p>',
        ("Model", "Series", across, "Axis", "Elo [95%]", "n"),
        [_row(rated, line, model, x(line, model)) for rated, line, model in rows],
        [_data(rated, line, model, x(line, model), across) for rated, line, model in rows],
    )


def _trace(
    figure: go.Figure,
    panel: int,
    line: Line,
    names: Sequence[str],
    rated: Rated,
    x: Callable[[Line, Model], int],
) -> None:
    style = charts.style(names.index(line.name))
    y = [r for model in line.models if (r := rated.rating(model.name))]
    drawn_before = any(trace.legendgroup == line.name for trace in figure.data)
    figure.add_scatter(
        x=[x(line, model) for model in line.models],
        y=[r.elo for r in y],
        error_y=charts.whiskers(y, style["colour"]),
        **trace(line, style, rated.key, 9),
        legendgroup=line.name,
        showlegend=not drawn_before,
        hovertext=[
            f"<b>{charts.label(model.name, 80)}</b><br>{words(r, rated.table.base)}"
            for model, r in zip(line.models, y, strict=True)
        ],
        row=1,
        col=panel,
    )


def _row(rated: Rated, line: Line, model: Model, x: int) -> list[str]:
    rating = rated.rating(model.name)
    shown = opens(f"model:{rated.key}:{model.name}", points(rating, rated.table.base))
    n = f"{rating.n:,}" if rating else "–"
    return [escape(model.name), escape(line.name), f"{x:,}", TITLES[rated.group.axis], shown, n]


def _data(rated: Rated, line: Line, model: Model, x: int, across: str) -> dict[str, object]:
    rating = rated.rating(model.name)
    row: dict[str, object] = {"model": model.name, "series": line.name, across.lower().replace(" ", "_"): x}
    row["axis"] = rated.group.axis
    row |= {name: getattr(rating, name) for name in ("elo", "low", "high", "n", "prompts")}
    return row | about(rated)


def _around(size: int) -> tuple[float, float]:

    return math.log10(size) - 0.5, math.log10(size) + 0.5
