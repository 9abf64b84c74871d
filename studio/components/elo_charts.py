"""What the Elo figures share: marks, whiskers, panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pipeline.elo import Rating
from pipeline.intervals import Figure
from studio.components.charts import AFTER, AI, AXIS, FONT, HUMAN, REFERENCE, frame
from studio.components.charts import distinct as distinct  # the figures of the Elo page find them here
from studio.components.charts import label as label
from studio.components.charts import numbered as numbered

COLOURS = (AI, AFTER, HUMAN, "#cc79a7", "#e69f00", "#56b4e9")
SYMBOLS = ("diamond", "circle", "square", "triangle-up", "x", "star-triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
OF_JUDGE = {
    "person": (HUMAN, "square"),
    "ai": (AI, "diamond"),
    "pm": (AFTER, "circle"),
    "imported": ("#cc79a7", "triangle-up"),
}
"""Blue squares are people, and orange diamonds a model, on every page."""


def layout(height: int, legend: bool = True) -> dict[str, Any]:
    """A figure's frame, that of the other pages."""
    margin = {"l": 60, "r": 18, "t": 40, "b": 52}
    return {**frame(height, margin), "showlegend": legend, "hovermode": "closest"}


def framed(height: int, across: str, up: str) -> go.Figure:
    """An empty figure with its axes named."""
    figure = go.Figure(layout=layout(height))
    figure.update_xaxes(**AXIS)
    figure.update_yaxes(**AXIS)
    figure.update_xaxes(title_text=across)
    figure.update_yaxes(title_text=up)
    return figure


def panels(titles: Sequence[str], height: int, across: str, up: str, shared: bool = False) -> go.Figure:
    """Panels side by side, of the same axes; `shared`: what stands up is named at the first alone."""
    figure = make_subplots(
        rows=1,
        cols=len(titles),
        shared_yaxes=shared,
        subplot_titles=[label(title, 80) for title in titles],
        horizontal_spacing=0.04 if shared else 0.09,
    )
    figure.update_layout(**layout(height))
    figure.update_layout(margin={"t": 74}, legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.update_annotations(font={"size": 13, "family": FONT})
    figure.update_xaxes(**AXIS)
    figure.update_yaxes(**AXIS)
    figure.update_xaxes(title_text=across)
    figure.update_yaxes(title_text=up, col=1)
    return figure


def style(number: int) -> dict[str, Any]:
    """Colour, shape and dash of the n-th series: told apart without any one of them."""
    at = number % len(COLOURS)
    return {"colour": COLOURS[at], "symbol": SYMBOLS[at], "dash": DASHES[at]}


def whiskers(ratings: Sequence[Rating], colour: str) -> dict[str, Any]:
    """The 95% intervals of ratings; an end that is not known has no whisker, and the hover text says so."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if r.high is None or r.elo is None else max(0.0, r.high - r.elo) for r in ratings],
        "arrayminus": [0 if r.low is None or r.elo is None else max(0.0, r.elo - r.low) for r in ratings],
        "color": colour,
        "thickness": 1.2,
        "width": 4,
    }


def bounds(figures: Sequence[Figure], colour: str) -> dict[str, Any]:
    """The 95% intervals of figures; an infinite end has no whisker."""

    def to(end: float, value: float) -> float:
        return abs(end - value) if math.isfinite(end) else 0.0

    return {
        **whiskers([], colour),
        "array": [to(figure.high, figure.value) for figure in figures],
        "arrayminus": [to(figure.low, figure.value) for figure in figures],
    }


def zero(figure: go.Figure, across: bool = True, up: bool = True) -> None:
    """Lines through the base."""
    line = {"color": REFERENCE, "width": 1, "dash": "dot"}
    if up:
        figure.add_hline(y=0, line=line)
    if across:
        figure.add_vline(x=0, line=line)
