"""Scores by number of revisions (the paper's figures 5 and 7): a line for each run of chains, a panel for
each preference model, whose scores have a zero and a unit of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from pipeline import revision_scores as scores
from pipeline.intervals import Figure
from pipeline.revision_scores import Course, Point, RevisionScore, Series, words
from studio.components import elo_charts as charts
from studio.components.charts import AFTER, AI, HUMAN
from studio.components.elo_models import called, judged_by
from studio.components.elo_section import Drawn, columns, part, undrawn
from studio.components.run_view import model_name
from studio.escaping import escape
from studio.progress import plural
from studio.store import checkpoints, constitutions, revision_scores, runs
from studio.store.database import Store

PANELS = 3
"""Preference models that are drawn side by side; more would be too narrow to read."""
# Figure 7 compares the two kinds: they differ in colour, in shape and in their dashes.
CRITIQUES = (AFTER, HUMAN, "#56b4e9"), ("circle", "square", "triangle-up"), "solid"
NONE = (AI, "#cc79a7", "#e69f00"), ("diamond-open", "x-open", "star-triangle-down-open"), "dash"
HEAD = (
    "Chains",
    "Scored by",
    "Revisions",
    "Mean score [95%]",
    "n",
    "Prompts",
    "Above the first response [95%]",
    "n",
)
GAIN = "how far they are above the first responses to the same prompts: figures 5 and 7, paired"
MEAN = "figures 5 and 7: what a preference model holds of the answers after so many"


@dataclass(frozen=True)
class Line:
    """One series: its course, the name that tells it from the others of its panel, and its run's."""

    course: Course
    name: str
    run: str

    @property
    def n(self) -> int:
        """Chains whose first response was scored."""
        return self.course.points[0].score.n


@dataclass(frozen=True)
class Picture:
    """The lines of each preference model, by its name; those that were scored first come first.

    `cut` (HTML) names runs that did not score all that they were to.
    """

    panels: Mapping[str, Sequence[Line]]
    cut: str = ""

    @property
    def lines(self) -> list[tuple[str, Line]]:
        """Every line with who scored it."""
        return [(pm, line) for pm, some in self.panels.items() for line in some]

    def only(self, pm: str) -> Picture:
        """One preference model alone; with an empty name all of them."""
        return replace(self, panels={pm: self.panels[pm]}) if pm in self.panels else self

    @property
    def newest(self) -> Picture:
        """As many preference models as fit side by side."""
        return replace(self, panels=dict(list(self.panels.items())[-PANELS:]))


def picture(store: Store, folder: Path, rows: Sequence[RevisionScore] | None = None) -> Picture:
    """What is drawn of all scores of the session, or of these `rows`. `folder` is that of the runs."""
    found = scores.courses(revision_scores.rows(store) if rows is None else rows)
    there = checkpoints.listed(store, folder)
    by_pm: dict[str, list[Course]] = {}
    for course in found:
        by_pm.setdefault(course.series.pm_revision, []).append(course)
    names = {revision: judged_by(some[-1].pm, there) for revision, some in by_pm.items()}
    twice = Counter(names.values())
    return Picture(
        {
            f"{names[pm]} ({pm[-8:]})" if twice[names[pm]] > 1 else names[pm]: _named(store, some)
            for pm, some in by_pm.items()
        },
        _cut(store) if rows is None else "",
    )


def _cut(store: Store) -> str:
    of = [(runs.load(store, id), has) for id, has in revision_scores.by_run(store).items()]
    cut = "; ".join(f"{escape(run.name)}: {some}" for run, has in of if run and (some := part(run, has)))
    return f" Not finished: {cut}. A chain’s last one that is scored passes for its final." if cut else ""


def _named(store: Store, some: Sequence[Course]) -> list[Line]:
    """Each by what it was made with; by its run too, where that is the same; at last by number."""
    of = [(course, _made(store, course.series), _run(store, course.series.chains)) for course in some]
    count = Counter(made for _, made, _ in of)
    lines: list[Line] = []
    for course, made, run in of:
        name = f"{made} · {run}" if count[made] > 1 else made
        again = sum(line.name == name or line.name.startswith(f"{name} (") for line in lines)
        lines.append(Line(course, f"{name} ({again + 1})" if again else name, run))
    return lines


def _made(store: Store, series: Series) -> str:
    under = constitutions.name_of(store, series.constitution) or "constitution"
    how = "critiques" if series.critiques else "no critiques"
    return f"{under} {series.constitution[:8]} · {called(model_name(store, series.critic))} · {how}"


def _run(store: Store, chains: str) -> str:
    run = runs.load(store, chains)
    return run.name if run else chains


def means(drawn: Picture) -> Drawn:
    """The mean score by number of revisions."""
    shown = drawn.newest
    figure = _figure(shown, "Mean score", lambda point: point.score, 0)
    table = [(pm, line, point) for pm, line in drawn.lines for point in line.course.points]
    by = ", ".join(f"<b>{escape(pm)}</b>" for pm in shown.panels)
    note = f"Scored by {by}.{undrawn(len(drawn.panels) - PANELS)}"
    note += f" Scores of two preference models can't be compared.{drawn.cut}"
    return Drawn(
        figure,
        f'<p class="cai-muted">{note} Whiskers are 95% intervals, clustered by prompt.</p>',
        HEAD,
        [_cells(pm, line, point) for pm, line, point in table],
        [_data(pm, line, point) for pm, line, point in table],
    )


def gains(drawn: Picture) -> Drawn:
    """The mean difference to the first response, which is what revision is worth; and how often it helps."""
    revised = [(pm, line) for pm, line in drawn.lines if line.course.better.defined]
    if not revised:
        return Drawn(None, '<p class="cai-muted">Nothing to draw: these chains have no revisions.</p>')
    figure = _figure(drawn.newest, "Above the first response", lambda point: point.gain, 1)
    charts.zero(figure, across=False)
    shares = "".join(f"<li>{_better(pm, line)}</li>" for pm, line in revised)
    more = undrawn(len(drawn.panels) - PANELS) + drawn.cut
    return Drawn(
        figure,
        '<p class="cai-muted">The final revision scores above the first response in</p>'
        f"<ul>{shares}</ul>" + (f'<p class="cai-muted">{more}</p>' if more else ""),
        ("Scored by", "Chains", "Final above first [95%]", "n"),
        [
            [escape(pm), escape(line.name), _share(line.course.better), f"{line.course.better.n:,}"]
            for pm, line in revised
        ],
        [{**_about(pm, line), **columns("final_above_first", line.course.better)} for pm, line in revised],
    )


def _better(pm: str, line: Line) -> str:
    share = line.course.better
    return f"{escape(line.name)}, by {escape(pm)}: {_share(share)} of {plural(share.n, 'chain')}"


def _share(share: Figure) -> str:
    return f"<b>{share.value:.0%}</b> <span class='cai-ci'>[{share.low:.0%}, {share.high:.0%}]</span>"


def _figure(drawn: Picture, up: str, of: Callable[[Point], Figure], begin: int) -> go.Figure:
    """A panel for each preference model; `begin` is the number of revisions that the axis begins with."""
    titles = [f"scored by {pm}" for pm in drawn.panels]
    figure = charts.panels(titles, 420, "Number of revisions", up)
    styles = _styles(drawn)
    for panel, some in enumerate(drawn.panels.values(), 1):
        for place, line in enumerate(some):
            points = [point for point in line.course.points if of(point).defined]
            aside = 0.05 * (place - (len(some) - 1) / 2)  # whiskers of several lines would hide each other
            _trace(figure, panel, line, points, of, styles[line.name], aside)
    most = max(p.revision for _, line in drawn.lines for p in line.course.points)
    figure.update_xaxes(tickvals=list(range(begin, most + 1)), range=[begin - 0.4, most + 0.4])
    return figure


def _styles(drawn: Picture) -> dict[str, dict[str, Any]]:
    """Colour, shape and dash by name: a line looks the same in each panel."""
    kinds: dict[bool, list[str]] = {True: [], False: []}
    for _, line in drawn.lines:
        names = kinds[line.course.series.critiques]
        if line.name not in names:
            names.append(line.name)
    return {
        name: {"colour": colours[at % 3], "symbol": symbols[(at + at // 3) % 3], "dash": dash}
        for kind, (colours, symbols, dash) in ((True, CRITIQUES), (False, NONE))
        for at, name in enumerate(kinds[kind])
    }


def _trace(
    figure: go.Figure,
    panel: int,
    line: Line,
    points: Sequence[Point],
    of: Callable[[Point], Figure],
    style: Mapping[str, Any],
    aside: float,
) -> None:
    before = any(trace.legendgroup == line.name for trace in figure.data)
    figure.add_scatter(
        x=[point.revision + aside for point in points],
        y=[of(point).value for point in points],
        error_y=charts.bounds([of(point) for point in points], style["colour"]),
        mode="lines+markers",
        line={"color": style["colour"], "dash": style["dash"], "width": 1.8},
        marker={"color": style["colour"], "symbol": style["symbol"], "size": 10},
        name=f"{charts.label(line.name, 70)} (n = {line.n:,})",
        legendgroup=line.name,
        showlegend=not before,
        hovertext=[
            f"<b>{charts.label(line.name, 80)}</b><br>{plural(point.revision, 'revision')}: "
            f"{words(of(point), signed=of(point) is point.gain).replace('-', '−')}, n = {of(point).n:,}"
            for point in points
        ],
        hoverinfo="text",
        row=1,
        col=panel,
    )


def _cells(pm: str, line: Line, point: Point) -> list[str]:
    """A row of the table, in HTML: the columns of HEAD."""
    gain = [_value(words(point.gain, signed=True)), f"{point.gain.n:,}"] if point.gain.defined else ["–", "–"]
    score = [_value(words(point.score)), f"{point.score.n:,}", f"{point.score.clusters:,}"]
    return [escape(line.name), escape(pm), str(point.revision), *score, *gain]


def _value(said: str) -> str:
    value, _, between = said.replace("-", "−").partition(" ")
    return f"<b>{value}</b> <span class='cai-ci'>{between}</span>"


def _data(pm: str, line: Line, point: Point) -> dict[str, object]:
    figures = columns("score", point.score) | columns("gain", point.gain)
    return {**_about(pm, line), "revisions": point.revision, **figures}


def _about(pm: str, line: Line) -> dict[str, object]:
    return {"scored_by": pm, "line": line.name, **vars(line.course.series), "chains": line.run}
