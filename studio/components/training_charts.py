"""Curves of training runs: one run's figures beside each other, or one figure of several runs in one panel.

Every axis is the trainer's step. Names come from runs and are escaped: plotly reads markup in texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from studio.components.charts import AFTER, AI, CLEAR, FONT, REFERENCE, text
from studio.store.metrics import Curve, Curves

HEIGHT = 175  # of a panel, in pixels
COLUMNS = 2
FEW = 40  # steps up to which each has a mark
MOST = 1000  # points that a line is drawn by: twice the pixels of a panel
COLOURS = (AI, AFTER, "#cc79a7", "#56b4e9", "#e69f00", REFERENCE)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "solid")


@dataclass(frozen=True)
class Panel:
    """One chart: its title, and the figures that it draws, the trained-on one first.

    With `floor` its axis begins at zero: a share or a length says nothing without it.
    """

    title: str
    names: tuple[str, ...]
    floor: bool = False


FIRST = (
    Panel("Reward", ("reward",)),
    Panel("KL from the start", ("kl",)),
    Panel("Reward of the judge", ("judge",)),
    Panel("Loss", ("loss", "eval_loss")),
    Panel("Loss, cross-validated", ("cv_loss",)),
    Panel("Accuracy", ("accuracy", "eval_accuracy")),
    Panel("Accuracy", ("rewards/accuracies",)),
    Panel("Margin", ("margin", "eval_margin")),
    Panel("Margin", ("rewards/margins",)),
    Panel("Entropy", ("entropy",)),
    Panel("Length of answers, tokens", ("completions/mean_length",), floor=True),
    Panel("Refusals, share of answers", ("refusals",), floor=True),
    Panel("Evasive: refused of harmless prompts", ("evasive",), floor=True),
    Panel("Repeated text, share of words", ("repeated",), floor=True),
    Panel("Learning rate", ("learning_rate",)),
    Panel("Gradient norm", ("grad_norm",)),
)
"""What is looked at, in this order; a run has some of them."""
HIDDEN = frozenset({"tokens_per_second", "epoch"})


def panels(names: Sequence[str]) -> tuple[list[Panel], list[Panel]]:
    """The panels that these figures fill: the ones to look at first, and one for each figure more."""
    first = [panel for panel in FIRST if set(panel.names) & set(names)]
    drawn = {name for panel in first for name in panel.names} | HIDDEN
    more = [Panel(name.replace("_", " "), (name,)) for name in names if name not in drawn]
    return first, more


def one_run(curves: Curves, some: Sequence[Panel]) -> go.Figure | None:
    """A run's panels; held-out figures are green, marked and dashed. None where there is nothing to draw."""
    if not some:
        return None
    figure = _grid(some, [curves])
    seen: set[str] = set()
    for at, panel in enumerate(some):
        for name in panel.names:
            if curve := curves.get(name):
                held = name.startswith("eval_")
                label = "held-out pairs" if held else "training"
                style = {"color": AFTER, "dash": "dash"} if held else {"color": AI, "dash": "solid"}
                _draw(figure, at, curve, label, style, label not in seen, marked=held)
                seen.add(label)
    figure.update_layout(showlegend="held-out pairs" in seen)
    return figure


def several_runs(runs: Sequence[tuple[str, Curves]], some: Sequence[Panel]) -> go.Figure | None:
    """The same panels with a line for each run, told by colour and dash; a panel has one quantity of all."""
    if not some or not runs:
        return None
    every = [curves for _, curves in runs]
    some = [_shared(panel, every) for panel in some]
    figure = _grid(some, every)
    for number, (name, curves) in enumerate(runs):
        shown = False
        style = {"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number % len(DASHES)]}
        for at, panel in enumerate(some):
            if curve := curves.get(panel.names[0]):
                _draw(figure, at, curve, f"{number + 1} · {name}", style, not shown)
                shown = True
    figure.update_layout(showlegend=True)
    return figure


def _shared(panel: Panel, every: Sequence[Curves]) -> Panel:
    """The panel with the last of its figures that all have who have any, else the first; it says which."""
    drawn = [curves for curves in every if set(panel.names) & set(curves)]
    name = next((n for n in reversed(panel.names) if all(n in of for of in drawn)), panel.names[0])
    of = "held-out pairs" if name.startswith("eval_") else "training"
    title = f"{panel.title}, {of}" if len(panel.names) > 1 else panel.title
    return replace(panel, title=title, names=(name,))


def thinned(curve: Curve) -> Curve:
    """A long curve by the least and greatest of each stretch: its line looks the same, peaks and gaps too.

    All of 10,000 steps take a second of processor time, and a live run is drawn every two.
    """
    n = len(curve.steps)
    if n <= MOST:
        return curve
    kept = {0, n - 1}
    edges = [round(i * 2 * n / MOST) for i in range(MOST // 2 + 1)]
    for start, end in pairwise(edges):
        known = [(value, at) for at in range(start, end) if (value := curve.values[at]) is not None]
        if known:
            kept |= {min(known)[1], max(known)[1]}
        if len(known) < end - start:
            kept.add(next(at for at in range(start, end) if curve.values[at] is None))
    some = sorted(kept)
    return Curve(tuple(curve.steps[at] for at in some), tuple(curve.values[at] for at in some))


def _draw(
    figure: go.Figure,
    at: int,
    curve: Curve,
    name: str,
    style: Mapping[str, Any],
    legend: bool,
    marked: bool = False,
) -> None:
    few = marked or len(curve.steps) <= FEW
    curve = thinned(curve)
    figure.add_trace(
        go.Scatter(
            x=list(curve.steps),
            y=list(curve.values),
            mode="lines+markers" if few else "lines",
            line={"width": 1.8, **style},
            marker={"size": 6 if marked else 4, "color": style["color"]},
            name=text(name if len(name) <= 44 else f"{name[:43]}…"),
            legendgroup=name,
            showlegend=legend,
            hovertemplate="step %{x}: %{y:.4g}<extra>" + text(name[:44]) + "</extra>",
        ),
        row=at // COLUMNS + 1,
        col=at % COLUMNS + 1,
    )


def _top(drawn: Iterable[Curve | None]) -> float:
    values = [value for curve in drawn if curve for value in curve.values if value is not None]
    return 1.1 * max([*values, 0.1])


def _grid(some: Sequence[Panel], every: Sequence[Curves]) -> go.Figure:
    rows = -(-len(some) // COLUMNS)
    figure = make_subplots(
        rows=rows,
        cols=COLUMNS,
        subplot_titles=[text(panel.title) for panel in some],
        horizontal_spacing=0.1,
        vertical_spacing=min(0.3, 62 / (HEIGHT * rows)),
    )
    figure.update_layout(
        template="none",
        height=70 + HEIGHT * rows,
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font={"family": FONT, "size": 12},
        margin={"l": 48, "r": 12, "t": 54, "b": 30},
        legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top", "bgcolor": CLEAR},
        dragmode=False,
    )
    figure.update_annotations(font={"size": 13, "family": FONT})
    for at, panel in enumerate(some):
        if panel.floor:
            top = _top(curves.get(name) for curves in every for name in panel.names)
            figure.update_yaxes(range=[0, top], row=at // COLUMNS + 1, col=at % COLUMNS + 1)
    axis = {"zeroline": False, "showline": False, "ticks": "", "automargin": True}
    figure.update_xaxes(**axis, tickformat="d", nticks=6, rangemode="tozero")
    figure.update_yaxes(**axis, nticks=5, exponentformat="power")
    return figure
