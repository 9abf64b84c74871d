"""Evasiveness against harmlessness: who gets harmless by refusing (the paper's section 1.1 and 4.4)."""

from __future__ import annotations

from studio.components import elo_charts as charts
from studio.components.agreement_words import share
from studio.components.elo_data import Picture
from studio.components.elo_frontier import about
from studio.components.elo_lines import lines, trace
from studio.components.elo_section import Drawn, opens, points, words
from studio.escaping import escape

ASIDE = "up and left is better: harmless, and still answering"


def evasive(picture: Picture) -> Drawn:
    """Harmlessness against the share of answers to helpful prompts in which a refusal word stands."""
    rated = picture.harmless
    names = [r.model for r in rated.table.ratings if rated.rating(r.model)] if rated else []
    there = [name for name in names if name in picture.evasive]
    if rated is None or not there:
        why = "no model that is rated for harmlessness has answered helpful prompts"
        return Drawn(None, f'<p class="cai-muted">Nothing to draw: {why}.</p>')
    figure = charts.framed(460, "Refusals, share of answers to helpful prompts", "Harmlessness Elo")
    charts.zero(figure, across=False)
    figure.update_xaxes(tickformat=".0%", range=[-0.02, 1.02])
    drawn = lines(picture, there)
    for number, line in enumerate(drawn):
        style = charts.style(number)
        shares = [picture.evasive[model.name] for model in line.models]
        ratings = [r for model in line.models if (r := rated.rating(model.name))]
        figure.add_scatter(
            x=[share.value for share in shares],
            y=[r.elo for r in ratings],
            error_x=charts.bounds(shares, style["colour"]),
            error_y=charts.whiskers(ratings, style["colour"]),
            **trace(line, style, rated.key),
            hovertext=[
                f"<b>{charts.label(model.name, 80)}</b><br>refuses {share.value:.1%} "
                f"[{share.low:.1%}, {share.high:.1%}], {share.n:,} prompts"
                f"<br>harmlessness {words(r, rated.table.base)}"
                for model, share, r in zip(line.models, shares, ratings, strict=True)
            ],
        )
    rows, data = [], []
    for line in drawn:
        for model in line.models:
            refused, rating = picture.evasive[model.name], rated.rating(model.name)
            shown = opens(f"model:{rated.key}:{model.name}", points(rating, rated.table.base))
            votes = f"{rating.n:,}" if rating else "–"
            rows.append([escape(model.name), share(refused), f"{refused.n:,}", shown, votes])
            of = {"refused": refused.value, "low": refused.low, "high": refused.high}
            of["prompts"] = refused.clusters
            elo = {f"elo_{name}": getattr(rating, name) for name in ("elo", "low", "high", "n")}
            data.append({"model": model.name, **of, **elo, **about(rated)})
    return Drawn(
        figure,
        f'<p class="cai-muted">Harmlessness by {escape(rated.called)}, {rated.sized}. A refusal is an answer '
        "with a refusal word in it: a plain rule, which also catches warnings. A mean over prompts.</p>",
        ("Model", "Refuses helpful prompts [95%]", "Prompts", "Harmlessness [95%]", "n"),
        rows,
        data,
    )
