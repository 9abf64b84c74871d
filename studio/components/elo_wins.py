"""The win-rate matrix: how often the row beat the column, a tie half a win, with n in each cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go

from pipeline import intervals
from pipeline.intervals import Figure
from pipeline.votes import Votes
from studio.components import elo_charts as charts
from studio.components.charts import AXIS
from studio.components.elo_data import TITLES, Picture, Rated
from studio.components.elo_frontier import about
from studio.components.elo_section import Drawn, opens
from studio.escaping import escape

NUMBERED = 12
"""Models up to which the cells have their figures written in them."""
SHADES = ((0, "#e69f00"), (0.5, "#f4f4f4"), (1, "#56b4e9"))
"""Low to high, all light enough for dark text on them."""


def wins(rated: Rated | None, axis: str) -> Drawn:
    """The matrix of one group, the best model first."""
    if rated is None:
        return Drawn(None, f'<p class="cai-muted">Nothing is judged for {TITLES[axis].lower()} here.</p>')
    names = [rating.model for rating in rated.table.ratings]
    cells = cells_of(rated.votes)
    z: list[list[float | None]] = [[_value(cells.get((row, col))) for col in names] for row in names]
    figure = go.Figure(layout=charts.layout(120 + 38 * len(names), legend=False))
    labels = list(charts.distinct(names, 26).values())
    figure.add_heatmap(
        z=z,
        x=labels,
        y=labels,
        zmin=0,
        zmax=1,
        colorscale=SHADES,
        xgap=2,
        ygap=2,
        text=[[_text(cells.get((row, col))) for col in names] for row in names],
        texttemplate="%{text}" if len(names) <= NUMBERED else None,
        textfont={"color": "#1c2430", "size": 11},
        customdata=[[f"against:{rated.key}:{row}\n{col}" for col in names] for row in names],
        hovertext=[[_hover(row, col, cells.get((row, col))) for col in names] for row in names],
        hoverinfo="text",
        hoverongaps=False,
        colorbar={"tickformat": ".0%", "thickness": 10, "len": 0.9, "outlinewidth": 0},
    )
    figure.update_xaxes(**AXIS, side="bottom", showgrid=False)
    figure.update_yaxes(**AXIS, autorange="reversed", showgrid=False)
    pairs = [(row, col, cells[row, col]) for row in names for col in names if (row, col) in cells]
    return Drawn(
        figure,
        f'<p class="cai-muted">By {escape(rated.called)}, {rated.sized}. A tie is half a win.</p>',
        ("Model", "Against", "Wins [95%]", "n", "Prompts"),
        [_row(rated, *pair) for pair in pairs],
        [_data(rated, *pair) for pair in pairs],
    )


def of_axis(axis: str) -> Callable[[Picture], Drawn]:
    """The matrix that the page draws for an axis."""

    def draw(picture: Picture) -> Drawn:
        return wins(picture.harmless if axis == "harmless" else picture.helpful, axis)

    return draw


def cells_of(votes: Votes) -> dict[tuple[str, str], Figure]:
    """How often each model beat each other that it met, with the interval over prompts."""
    m = len(votes.models)
    one, other = np.minimum(votes.a, votes.b), np.maximum(votes.a, votes.b)
    won = np.where(votes.a == one, votes.won, 1 - votes.won)
    pair = one * m + other
    order = np.argsort(pair, kind="stable")
    codes, starts = np.unique(pair[order], return_index=True)
    found = {}
    for code, some in zip(codes.tolist(), np.split(order, starts[1:]), strict=True):
        figure = intervals.share(won[some], votes.cluster[some])
        row, col = votes.models[code // m], votes.models[code % m]
        found[row, col] = figure
        found[col, row] = Figure(1 - figure.value, 1 - figure.high, 1 - figure.low, figure.n, figure.clusters)
    return found


def _value(cell: Figure | None) -> float | None:
    return cell.value if cell else None


def _text(cell: Figure | None) -> str:
    return f"{cell.value:.0%}<br>n {cell.n:,}" if cell else ""


def _hover(row: str, col: str, cell: Figure | None) -> str:
    if cell is None:
        return ""
    return (
        f"<b>{charts.label(row, 80)}</b> beat {charts.label(col, 80)}<br>{cell.value:.1%} "
        f"[{cell.low:.1%}, {cell.high:.1%}], n = {cell.n:,} of {cell.clusters:,} prompts"
    )


def _row(rated: Rated, row: str, col: str, cell: Figure) -> list[str]:
    shown = f"<b>{cell.value:.1%}</b> <span class='cai-ci'>[{cell.low:.1%}, {cell.high:.1%}]</span>"
    what = opens(f"against:{rated.key}:{row}\n{col}", shown)
    return [escape(row), escape(col), what, f"{cell.n:,}", f"{cell.clusters:,}"]


def _data(rated: Rated, row: str, col: str, cell: Figure) -> Mapping[str, object]:
    figure = {"wins": cell.value, "low": cell.low, "high": cell.high, "n": cell.n, "prompts": cell.clusters}
    return {"model": row, "against": col, "axis": rated.group.axis, **figure, **about(rated)}
