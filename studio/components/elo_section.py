"""A figure of the Elo page: a plot, what it stands on, its exports, and the same as a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import gradio as gr
import plotly.graph_objects as go

from pipeline.elo import Rating
from pipeline.export_files import as_csv
from pipeline.intervals import Figure
from studio.escaping import escape, exact
from studio.store.runs import Run

P = TypeVar("P")
"""What a page's figures are drawn from."""
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Drawn:
    """What a picture makes of a figure. `rows` are cells of HTML, `data` the same as plain values.

    `figure` is None where there is nothing to draw; `note` (HTML) then says why.
    """

    figure: go.Figure | None
    note: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    data: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Section(Generic[P]):
    """A figure's components; `render` gives one update for each of `outputs`."""

    outputs: tuple[Any, ...]
    render: Callable[[P], list[Any]]


def section(name: str, title: str, aside: str, draw: Callable[[P], Drawn]) -> Section[P]:
    """Put a figure on the page. `name` is a word: of its elements, and of the files that are exported."""
    gr.HTML(
        f'<h3 class="cai-section">{title} <span class="cai-muted">{aside}</span></h3>',
        padding=False,
        elem_id=f"{name}-title",
    )
    plot = gr.Plot(show_label=False, visible=False, elem_id=name, elem_classes="cai-plot cai-elo-plot")
    below = gr.HTML(padding=False, elem_id=f"{name}-below")

    def render(picture: P) -> list[Any]:
        drawn = draw(picture)
        return [
            gr.update(value=drawn.figure, visible=drawn.figure is not None),
            below_html(name, title, drawn),
        ]

    return Section((plot, below), render)


def below_html(name: str, title: str, drawn: Drawn) -> str:
    """What stands below a plot. The CSV is made here: safe for spreadsheets, whatever models are called."""
    note = f'<div class="cai-elo-note">{drawn.note}</div>' if drawn.note else ""
    if not drawn.rows:
        return note
    text, _ = as_csv(drawn.data)
    images = "".join(
        f'<button type="button" class="cai-small" data-image="{form}" data-of="{name}" '
        f'data-title="{exact(title)}" aria-label="{escape(title)} as {form.upper()}">{form.upper()}</button>'
        for form in ("png", "svg")
        if drawn.figure is not None
    )
    head = "".join(f'<th scope="col">{one}</th>' for one in drawn.head)
    rows = "".join(
        f'<tr><th scope="row">{cells[0]}</th>{"".join(f"<td>{cell}</td>" for cell in cells[1:])}</tr>'
        for cells in drawn.rows
    )
    return (
        f'{note}<div class="cai-elo-acts">{images}<button type="button" class="cai-small" '
        f'data-csv="{exact(text)}" data-of="{name}" aria-label="{escape(title)} as CSV">CSV</button></div>'
        f'<details class="cai-elo-table"><summary>As a table, {len(drawn.rows):,} '
        f"row{'' if len(drawn.rows) == 1 else 's'}</summary>"
        f'<div class="cai-wide"><table class="cai-table"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def undrawn(many: int) -> str:
    """That so many series have no room in a plot, as a sentence; empty for none."""
    if many < 1:
        return ""
    return f" {many:,} more {'is' if many == 1 else 'are'} not drawn; the table and the CSV have all."


def part(run: Run | None, has: int) -> str:
    """What a run has of what it was to make, where it did not get to its end; else empty."""
    if run is None or run.state == "done" or has >= run.total:
        return ""
    return f"first {has:,} of {run.total:,}"


def columns(name: str, figure: Figure) -> dict[str, object]:
    """A figure as plain values of a table; NaN and infinity are empty."""
    ends = {"": figure.value, "_low": figure.low, "_high": figure.high}
    finite = {f"{name}{end}": value if math.isfinite(value) else None for end, value in ends.items()}
    return {**finite, f"{name}_n": figure.n, f"{name}_prompts": figure.clusters}


def points(rating: Rating | None, base: str) -> str:
    """A rating and its interval, as HTML."""
    if rating is None:
        return '<span class="cai-muted">–</span>'
    if rating.elo is None:
        return f'<span class="cai-muted">{STANDING[rating.standing]}</span>'
    if rating.model == base:
        return '<b>0</b> <span class="cai-muted">base</span>'
    return f"<b>{signed(rating.elo)}</b> <span class='cai-ci'>{between(rating)}</span>"


STANDING = {"above": "above any number", "below": "below any number", "apart": "not compared", "rated": ""}


def between(rating: Rating) -> str:
    """The interval; an end that is not known is infinite."""
    low = "−∞" if rating.low is None else signed(rating.low)
    high = "∞" if rating.high is None else signed(rating.high)
    return f"[{low}, {high}]"


def words(rating: Rating, base: str) -> str:
    """The same as plain text, with its n."""
    if rating.model == base:
        return f"0, the base, n = {rating.n:,}"
    return f"{signed(rating.elo or 0)} {between(rating)}, n = {rating.n:,} of {rating.prompts:,} prompts"


def signed(value: float) -> str:
    """A whole number with its sign, a real minus."""
    return f"{value:+.0f}".replace("-", "−")


def opens(what: str, words: str) -> str:
    """A button that opens the matchups named by `what`; `words` is HTML already."""
    return (
        f'<button type="button" class="cai-open" data-open="{exact(what)}" '
        f'title="the matchups behind it">{words}</button>'
    )
