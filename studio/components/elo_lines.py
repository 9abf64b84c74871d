"""Models in lines: the course of each RL run from the model that it began from, and who is on none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.components.elo_charts import label, numbered
from studio.components.elo_data import Picture
from studio.components.elo_models import Model


@dataclass(frozen=True)
class Line:
    """Models of one series, in the order of training. `drawn` is whether a line joins them."""

    name: str
    models: Sequence[Model]
    drawn: bool


def lines(picture: Picture, rated: Collection[str]) -> list[Line]:
    """A line for each RL run with a rated model, from its start on; the others by method, not joined."""
    there = [picture.models[name] for name in rated if name in picture.models]
    runs: dict[str, list[Model]] = {}
    rest: dict[str, list[Model]] = {}
    for model in there:
        of = runs.setdefault(model.line, []) if model.line else rest.setdefault(model.method, [])
        of.append(model)
    found, names = [], _names(picture.models.values())
    for run, course in runs.items():
        course.sort(key=lambda model: (model.step or 0, model.whole))
        start = next((one for one in there if one.name == course[0].start), None)
        found.append(Line(names[run], [*([start] if start else []), *course], True))
    found.sort(key=lambda line: line.name)
    alone = [Line(method, sorted(some, key=lambda m: m.name), False) for method, some in rest.items()]
    return [*found, *sorted(alone, key=lambda line: line.name)]


def step(line: Line, model: Model) -> int:
    """Where on its run's course a model is: the run's start is step 0."""
    return (model.step or 0) if model.line or not line.drawn else 0


def trace(line: Line, style: Mapping[str, Any], key: str, size: int = 10) -> dict[str, Any]:
    """How plotly draws a line, whatever stands across and up; a click on a point opens its matchups.

    `style` is one of `elo_charts.style`, `key` that of the ratings.
    """
    return {
        "mode": "lines+markers" if line.drawn else "markers",
        "line": {"color": style["colour"], "dash": style["dash"], "width": 1.8},
        "marker": {"color": style["colour"], "symbol": style["symbol"], "size": size},
        "name": label(line.name),
        "customdata": [f"model:{key}:{model.name}" for model in line.models],
        "hoverinfo": "text",
    }


def _names(models: Iterable[Model]) -> dict[str, str]:
    """The RL runs' names, each once; of all models, so that a run is called the same in every panel."""
    last = {model.line: model for model in sorted(models, key=lambda m: (m.step or 0, m.whole)) if model.line}
    runs = sorted(last)
    return dict(zip(runs, numbered([_run_name(last[run]) for run in runs]), strict=True))


def _run_name(model: Model) -> str:
    name = model.checkpoint.name if model.checkpoint else model.name
    run = name.partition(", step")[0] if model.checkpoint and model.checkpoint.snapshot else name
    return f"{run} · {model.method}"
