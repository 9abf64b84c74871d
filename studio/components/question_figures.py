"""Multiple-choice questions: who finds the right answer (figure 4), and who is how sure of it (figure 9)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import plotly.graph_objects as go

from pipeline import agreement, evals
from pipeline.agreement import Bin, Compared
from pipeline.evals import Answer
from pipeline.intervals import Figure
from studio.components import elo_charts as charts
from studio.components.agreement_words import share
from studio.components.charts import REFERENCE
from studio.components.elo_models import find, judged_by, parameters
from studio.components.elo_section import Drawn, columns, part, undrawn
from studio.escaping import escape
from studio.progress import plural
from studio.store import checkpoints, eval_answers, runs
from studio.store.database import Store

BINS = 5
ACCURACY = "figure 4: the share of right answers; the dashed line is chance, where two options are given"
CALIBRATION = "figure 9: is a model right as often as it says?"
MANY = 6
"""Models whose calibration is drawn, the largest; more lines could not be told apart."""


@dataclass(frozen=True)
class Measured:
    """A run's answers. `name` is the model's for people, and says where the run has but a part of them."""

    name: str
    run: str
    file: str
    size: int | None
    answers: Sequence[Answer]
    report: evals.Report


def measured(store: Store, folder: Path) -> list[Measured]:
    """Every run that has answers, from the smallest model up; models of unknown size last."""
    there = checkpoints.listed(store, folder)
    found = []
    for id, answers in eval_answers.by_run(store).items():
        run = runs.load(store, id)
        config = run.config if run else {}
        model = str(config.get("model") or answers[0].model)
        size = parameters(checkpoint) if (checkpoint := find(model, there)) else None
        cut = part(run, len(answers))
        who = judged_by(model, there) + (f", {cut}" if cut else "")
        name = run.name if run else id
        file = str(config.get("file") or "")
        found.append(Measured(who, name, file, size, answers, evals.report(answers)))
    return sorted(found, key=lambda one: (one.size or math.inf, one.name))


def accuracy(every: Sequence[Measured]) -> Drawn:
    """The accuracy of each run, with its interval."""
    names = _names(every)
    figure = charts.framed(380, "", "Right answers")
    figure.update_layout(showlegend=False)
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    figure.update_xaxes(type="category", showgrid=False)
    figure.add_hline(y=0.5, line={"color": REFERENCE, "width": 1.5, "dash": "dash"})
    for number, (name, one) in enumerate(zip(names, every, strict=True)):
        style, right = charts.style(number), one.report.accuracy
        figure.add_scatter(
            x=[name],
            y=[right.value],
            error_y=charts.bounds([right], style["colour"]),
            mode="markers",
            marker={"color": style["colour"], "symbol": style["symbol"], "size": 12},
            hovertext=[f"<b>{charts.label(one.name, 80)}</b><br>{_plain(right)}"],
            hoverinfo="text",
        )
    return Drawn(
        figure,
        '<p class="cai-muted">Whiskers are 95% intervals, clustered by prompt; an exact tie counts half. '
        "Who picks the first option far from half the time looks at the letter, not at the answer.</p>",
        (
            "Model",
            "Parameters",
            "Questions",
            "Right [95%]",
            "n",
            "Prompts",
            "First option wins [95%]",
            "Ties",
        ),
        [_cells(one) for one in every],
        [_data(one) for one in every],
    )


def calibration(every: Sequence[Measured]) -> Drawn:
    """How often an answer is right, by the probability that it was given."""
    figure = charts.framed(380, "Probability given to an answer", "Share of these that are right")
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".1f")
    figure.update_yaxes(tickformat=".0%", range=[-0.04, 1.04])
    line = {"color": REFERENCE, "width": 1.5, "dash": "dash"}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    rows, data = list[list[str]](), list[dict[str, object]]()
    hidden = max(0, len(every) - MANY)
    for number, (name, one) in enumerate(zip(_names(every), every, strict=True)):
        compared = sides(one.answers)
        full = [bin for bin in agreement.reliability(compared, BINS) if bin.chosen.n]
        if number >= hidden:
            _line(figure, name, full, charts.style(number - hidden))
        error = agreement.ece(compared, BINS)
        for bin in full:
            between = f"{bin.low:.1f}–{bin.high:.1f}"
            rows.append(
                [escape(one.name), between, f"{bin.mean_p:.2f}", share(bin.chosen), f"{bin.chosen.n:,}"]
            )
            about = {"model": one.name, "run": one.run, "low": bin.low, "high": bin.high, "mean": bin.mean_p}
            data.append(about | columns("right", bin.chosen))
        rows.append([escape(one.name), "all: ECE", f"{error.value:.3f}", "", f"{error.n:,}"])
    return Drawn(
        figure,
        '<p class="cai-muted">Of each question one side, drawn by its place in the file: of two answers one '
        f"is always right. Whiskers are 95% intervals, clustered by prompt.{undrawn(hidden)}</p>",
        ("Model", "Between", "Mean probability", "Right [95%]", "n"),
        rows,
        data,
    )


def sides(answers: Sequence[Answer]) -> Compared:
    """The answers as judgments of a side: the right one for about half of the questions, as for pairs.

    There is but one probability, and nothing is known of lengths and refusals.
    """
    right = np.array([crc32(one.id.encode()) % 2 == 0 for one in answers])
    p = np.array([one.p for one in answers])
    p_a, none = np.where(right, p, 1 - p), np.zeros(len(p), np.int64)
    cluster = np.unique([one.prompt_id for one in answers], return_inverse=True)[1]
    choice = right.astype(np.float64)
    return Compared(p_a, p_a, p_a, choice, cluster, none, none, none.astype(bool), none.astype(bool))


def _line(figure: go.Figure, name: str, bins: Sequence[Bin], style: dict[str, str]) -> None:
    n = sum(bin.chosen.n for bin in bins)
    figure.add_scatter(
        x=[bin.mean_p for bin in bins],
        y=[bin.chosen.value for bin in bins],
        error_y=charts.bounds([bin.chosen for bin in bins], style["colour"]),
        mode="lines+markers",
        line={"color": style["colour"], "dash": style["dash"], "width": 1.5},
        marker={"color": style["colour"], "symbol": style["symbol"], "size": 9},
        name=f"{name} (n = {n:,})",
        hovertext=[f"<b>{name}</b><br>{bin.mean_p:.2f} said: {_plain(bin.chosen)} right" for bin in bins],
        hoverinfo="text",
    )


def _names(every: Sequence[Measured]) -> list[str]:
    """Labels, each once: a model that was measured twice gets its run's name, and then a number."""
    several = [one.name for one in every]
    names = [one.name if several.count(one.name) == 1 else f"{one.name}, {one.run}" for one in every]
    numbered = charts.numbered(names)
    labels = charts.distinct(numbered, 44)
    return [labels[name] for name in numbered]


def _cells(one: Measured) -> list[str]:
    report = one.report
    return [
        escape(one.name),
        f"{one.size:,}" if one.size else "–",
        escape(one.file) or "–",
        share(report.accuracy),
        f"{report.accuracy.n:,}",
        f"{report.accuracy.clusters:,}",
        share(report.first),
        f"{report.ties:,}",
    ]


def _data(one: Measured) -> dict[str, object]:
    about = {"model": one.name, "revision": one.answers[0].revision, "parameters": one.size, "run": one.run}
    figures = columns("right", one.report.accuracy) | columns("first_option", one.report.first)
    return {**about, "file": one.file, **figures, "ties": one.report.ties}


def _plain(right: Figure) -> str:
    return (
        f"{right.value:.1%} [{right.low:.1%}, {right.high:.1%}], n = {right.n:,} of "
        f"{plural(right.clusters, 'prompt')}"
    )
