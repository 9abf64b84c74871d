"""Plotly figures in the house style: a figure says its n, and each point has its interval.

Colours of text, grid and ground are those of the page, and come from studio.css: one figure serves light
and dark. Of its own a figure has only the colours of its marks, which hold 3:1 against both grounds.
Okabe and Ito's palette: blue is a person, orange a model.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from pipeline.agreement import Bin, Figure
from studio.escaping import isolated

HUMAN, AI, AFTER, REFERENCE = "#0072b2", "#d55e00", "#009e73", "#8a94a3"
CLEAR = "rgba(0,0,0,0)"
FONT = "IBM Plex Sans, system-ui, sans-serif"
AXIS: dict[str, Any] = {
    "zeroline": False,
    "showline": False,
    "ticks": "",
    "automargin": True,
    "title": {"standoff": 10},
}


def reliability(
    bins: Sequence[Bin], name: str = "as labelled", after: Sequence[Bin] = (), who: str = "human"
) -> go.Figure:
    """What people chose against what the AI said, by bin of the AI's probability; `after` calibration too."""
    figure = go.Figure(layout=_layout(340))
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=_dashed(), hoverinfo="skip", showlegend=False)
    figure.add_trace(_points(bins, name, AI, "diamond", who))
    if after:
        figure.add_trace(_points(after, "calibrated", AFTER, "circle", who))
    figure.update_xaxes(title="the AI's probability that a is better", range=[-0.02, 1.02], tickformat=".1f")
    figure.update_yaxes(title="share of judgments for a", range=[-0.04, 1.04], tickformat=".0%")
    return figure


def intervals(rows: Sequence[tuple[str, Figure]], threshold: float | None = None) -> go.Figure:
    """One accuracy a line, with its interval, against a coin's 50% and the gate's threshold."""
    shown = [(name, figure) for name, figure in rows if not math.isnan(figure.value)]
    chart = go.Figure(layout=_layout(110 + 30 * max(len(shown), 1)))
    values = [figure for _, figure in shown]
    names = numbered([name for name, _ in shown])
    labels = distinct(names, 44)
    chart.add_scatter(
        x=[figure.value for figure in values],
        y=[f"{labels[name]} " for name in names],
        error_x=_whiskers(values, AI),
        mode="markers",
        marker={"color": AI, "symbol": "diamond", "size": 10},
        hovertext=[f"{text(name)}: {_words(figure)}" for name, figure in zip(names, values, strict=True)],
        hoverinfo="text",
        showlegend=False,
    )
    chart.add_vline(x=0.5, line=_dashed())
    if threshold is not None:
        chart.add_vline(x=threshold, line={"color": HUMAN, "width": 1.5, "dash": "dot"})
    chart.update_xaxes(title="accuracy, with 95% interval", range=[0, 1.02], dtick=0.1, tickformat=".0%")
    chart.update_yaxes(autorange="reversed", showgrid=False)
    return chart


def _points(bins: Sequence[Bin], name: str, colour: str, symbol: str, who: str) -> go.Scatter:
    full = [bin for bin in bins if bin.chosen.n]
    return go.Scatter(
        x=[bin.mean_p for bin in full],
        y=[bin.chosen.value for bin in full],
        error_y=_whiskers([bin.chosen for bin in full], colour),
        mode="markers+lines",
        name=f"{name} (n = {sum(bin.chosen.n for bin in full):,})",
        line={"color": colour, "width": 1},
        # The area says how many judgments a point stands on.
        marker={"color": colour, "symbol": symbol, "size": [_size(bin.chosen.n) for bin in full]},
        hovertext=[f"AI {bin.low:.1f}–{bin.high:.1f}: {who} chose a {_words(bin.chosen)}" for bin in full],
        hoverinfo="text",
    )


def _size(n: int) -> float:
    return 6 + min(12.0, math.sqrt(n))


def _whiskers(figures: Sequence[Figure], colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, figure.high - figure.value) for figure in figures],
        "arrayminus": [max(0.0, figure.value - figure.low) for figure in figures],
        "color": colour,
        "thickness": 1.5,
        "width": 4,
    }


def _words(figure: Figure) -> str:
    return f"{figure.value:.1%} [{figure.low:.1%}, {figure.high:.1%}], n = {figure.n:,}"


def _dashed() -> dict[str, Any]:
    return {"color": REFERENCE, "width": 1.5, "dash": "dash"}


def _layout(height: int) -> dict[str, Any]:
    return {**frame(height, {"l": 56, "r": 16, "t": 30, "b": 48}), "xaxis": AXIS, "yaxis": AXIS}


def frame(height: int, margin: Mapping[str, int]) -> dict[str, Any]:
    """A figure's frame; text and ground take the page's colours."""
    return {
        "template": "none",
        "height": height,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 13},
        "margin": dict(margin),
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": CLEAR},
        "dragmode": False,
    }


def label(name: str, most: int = 40) -> str:
    """A name as plotly shows it, which reads markup in every text. A long one keeps its end: its step."""
    tail = most * 2 // 5
    return text(name if len(name) <= most else f"{name[: most - tail - 1]}…{name[-tail:]}")


def text(said: str) -> str:
    """A text as plotly shows it, for no attribute: it reads markup, and would write a &quot; as it stands."""
    return html.escape(isolated(said), quote=False)


def distinct(names: Sequence[str], most: int) -> dict[str, str]:
    """Labels by name, each once: two that are cut to the same would be one category."""
    seen: dict[str, int] = {}
    result = {}
    for name in names:
        short = label(name, most)
        seen[short] = seen.get(short, 0) + 1
        result[name] = short if seen[short] == 1 else f"{short} ({seen[short]})"
    return result


def numbered(names: Sequence[str]) -> list[str]:
    """The names in their order, each once: one that comes again gets a number."""
    return [
        f"{name} ({names[:at].count(name) + 1})" if name in names[:at] else name
        for at, name in enumerate(names)
    ]
