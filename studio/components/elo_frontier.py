"""The frontier (the paper's figure 2): harmlessness against helpfulness, a line for each RL run."""

from __future__ import annotations

import plotly.graph_objects as go

from studio.components import elo_charts as charts
from studio.components.elo_data import Picture, Rated
from studio.components.elo_lines import Line, lines, step, trace
from studio.components.elo_section import Drawn, opens, points, words
from studio.escaping import escape

ASIDE = "Figure 2: up and right is better; each line is one RL run, from the model it began from"


def frontier(picture: Picture) -> Drawn:
    """Both axes of the models that are rated on both, with whiskers both ways."""
    up, across = picture.harmless, picture.helpful
    if up is None or across is None:
        missing = "harmlessness" if up is None else "helpfulness"
        return Drawn(
            None, f'<p class="cai-muted">Nothing is rated for {missing} here: it takes both axes.</p>'
        )
    both = [r.model for r in up.table.ratings if up.rating(r.model) and across.rating(r.model)]
    if not both:
        return Drawn(None, '<p class="cai-muted">No model has a rating on both axes.</p>')
    drawn = lines(picture, both)
    figure = charts.framed(460, "Helpfulness Elo", "Harmlessness Elo")
    charts.zero(figure)
    for number, line in enumerate(drawn):
        _trace(figure, number, line, up, across)
    return Drawn(
        figure,
        note(up, across),
        ("Model", "Series", "Step", "Harmlessness", "n", "Helpfulness", "n"),
        [_row(line, model.name, up, across, step(line, model)) for line in drawn for model in line.models],
        [_data(line, model.name, up, across, step(line, model)) for line in drawn for model in line.models],
    )


def note(up: Rated, across: Rated) -> str:
    """Who judged what, and that the two differ where they do."""
    said = (
        f'<p class="cai-muted">Harmlessness by {escape(up.called)}, {up.sized}. '
        f"Helpfulness by {escape(across.called)}, {across.sized}."
    )
    if up.table.base != across.table.base:
        said += (
            f" The bases differ: {escape(up.table.base)} is 0 up, {escape(across.table.base)} is 0 across."
        )
    return said + "</p>"


def _trace(figure: go.Figure, number: int, line: Line, up: Rated, across: Rated) -> None:
    style = charts.style(number)
    y = [r for model in line.models if (r := up.rating(model.name))]
    x = [r for model in line.models if (r := across.rating(model.name))]
    figure.add_scatter(
        x=[r.elo for r in x],
        y=[r.elo for r in y],
        error_x=charts.whiskers(x, style["colour"]),
        error_y=charts.whiskers(y, style["colour"]),
        **trace(line, style, up.key),
        hovertext=[
            f"<b>{charts.label(model.name, 80)}</b><br>harmlessness {words(h, up.table.base)}"
            f"<br>helpfulness {words(a, across.table.base)}"
            for model, h, a in zip(line.models, y, x, strict=True)
        ],
    )


def _row(line: Line, model: str, up: Rated, across: Rated, step: int) -> list[str]:
    h, a = up.rating(model), across.rating(model)
    cells = [escape(model), escape(line.name), f"{step:,}" if line.drawn else "–"]
    for rated, rating in ((up, h), (across, a)):
        shown = points(rating, rated.table.base)
        cells += [opens(f"model:{rated.key}:{model}", shown), f"{rating.n:,}" if rating else "–"]
    return cells


def _data(line: Line, model: str, up: Rated, across: Rated, step: int) -> dict[str, object]:
    row: dict[str, object] = {"model": model, "series": line.name, "step": step if line.drawn else None}
    for axis, rated in (("harmless", up), ("helpful", across)):
        rating = rated.rating(model)
        row |= {f"{axis}_{name}": getattr(rating, name) for name in ("elo", "low", "high", "n", "prompts")}
        row |= about(rated, f"{axis}_")
    return row


def about(rated: Rated, before: str = "") -> dict[str, object]:
    """What a row of an export says of who judged."""
    group = rated.group
    return {
        f"{before}judge": group.judge,
        f"{before}judge_kind": group.kind,
        f"{before}constitution": group.constitution,
        f"{before}base": rated.table.base,
        f"{before}rule": rated.table.rule,
    }
