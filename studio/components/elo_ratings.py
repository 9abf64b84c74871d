"""All ratings as tables, a card for each axis and judge: with warnings, and what is known of the judge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.export_files import as_csv
from pipeline.train import figures
from studio.components import elo_asked, elo_models
from studio.components.elo_data import TITLES, Picture, Rated
from studio.components.elo_frontier import about
from studio.components.elo_section import opens, points
from studio.context import Studio
from studio.escaping import escape, exact
from studio.store import matchups
from studio.store.checkpoints import small_json

Known = tuple[object, list[Any]]
"""Of a judge: its accuracy on what it did not learn from, and the sources that it did."""
LEARNT = ("chains", "labels", "written", "human")
RULES = {"majority": "majorities of both orders, whose disagreement is a tie", "soft": "probabilities"}


def ratings_html(studio: Studio, picture: Picture) -> str:
    """The cards, those that the figures draw first, and one CSV of all."""
    drawn = picture.drawn
    every = [*drawn, *(one for one in picture.rated if one not in drawn)]
    data = [_data(rated, rating) for rated in every for rating in rated.table.ratings]
    if not data:
        return ""
    judges = {one.group.judge for one in every if elo_asked.who(one.group) == "pm"}
    known = {judge: _known(studio, picture, judge) for judge in judges}
    cards = "".join(_card(rated, known) for rated in every)
    return (
        '<div class="cai-elo-acts"><button type="button" class="cai-small" data-of="ratings" '
        f'data-csv="{exact(as_csv(data)[0])}" aria-label="All ratings as CSV">CSV</button></div>'
        f'<div class="cai-elo-cards">{cards}</div>'
    )


def warnings_html(picture: Picture) -> str:
    """What the drawn ratings can't bear: shown above the figures, not hidden in a table."""
    found = [
        f"<li><b>{TITLES[rated.group.axis]}, {escape(rated.judge)}:</b> {escape(warning)}</li>"
        for rated in picture.drawn
        for warning in rated.table.warnings
    ]
    return f'<ul class="cai-elo-warnings" aria-label="Warnings">{"".join(found)}</ul>' if found else ""


def _card(rated: Rated, known: Mapping[str, Known]) -> str:
    table = rated.table
    rows = "".join(
        f'<tr><th scope="row">{escape(rating.model)}</th>'
        f"<td>{opens(f'model:{rated.key}:{rating.model}', points(rating, table.base))}</td>"
        f"<td>{rating.n:,}</td><td>{rating.prompts:,}</td></tr>"
        for rating in table.ratings
    )
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in table.warnings)
    return (
        f'<section class="cai-card" data-group="{rated.key}"><h4>{TITLES[rated.group.axis]}</h4>'
        f'<p class="cai-{_side(rated)}"><span class="cai-who">{escape(rated.called)}</span></p>'
        f'<p class="cai-muted">{rated.sized}; {RULES[table.rule]}; {escape(table.base)} = 0.</p>'
        f"{_judge_html(rated, known)}"
        '<table class="cai-table"><thead><tr><th scope="col">Model</th><th scope="col">Elo [95%]</th>'
        f'<th scope="col">n</th><th scope="col">Prompts</th></tr></thead><tbody>{rows}</tbody></table>'
        f"{f'<ul class=cai-elo-warnings>{warnings}</ul>' if warnings else ''}</section>"
    )


def _side(rated: Rated) -> str:
    return "person" if rated.group.kind == "person" else "model"


def _judge_html(rated: Rated, known: Mapping[str, Known]) -> str:
    """A preference model's accuracy on pairs that it did not learn from, and what it did learn from."""
    if elo_asked.who(rated.group) != "pm":
        return ""
    heldout, sources = known[rated.group.judge]
    told = figures.told({"accuracy": heldout}) if isinstance(heldout, Mapping) else []
    accuracy = f"Held-out accuracy {escape(told[0][1])}." if told else "Its held-out accuracy is not known."
    learnt = [_source(source) for source in sources if isinstance(source, Mapping)][:8]
    trained = (
        f"Trained on {escape('; '.join(learnt))}." if any(learnt) else "What it was trained on is not known."
    )
    return f'<p class="cai-elo-judge">{accuracy} {trained}</p>'


def _known(studio: Studio, picture: Picture, judge: str) -> Known:
    """From the judge's card; where the session has it not, from the ratings that its runs wrote."""
    if checkpoint := elo_models.find(judge, picture.checkpoints):
        return _of_card(checkpoint.card)
    for run in matchups.runs_of(studio.store, judge):
        row = _first_row(studio.jobs.of(run) / "outputs" / "ratings.json")
        if row.get("judge") == judge and "judge_trained_on" in row:
            sources = row["judge_trained_on"]
            return row.get("judge_heldout"), sources if isinstance(sources, list) else []
    return None, []


def _of_card(card: Mapping[str, Any]) -> Known:
    def inside(of: object, *names: str) -> object:
        for name in names:
            of = of.get(name) if isinstance(of, Mapping) else None
        return of

    sources = inside(card, "lineage", "sources")
    said = inside(card, "figures")
    # What was held out, else the first of the files that it was measured on.
    names = ["heldout", *said] if isinstance(said, Mapping) else []
    accuracy = next((found for name in names if (found := inside(card, "figures", name, "accuracy"))), None)
    return accuracy, sources if isinstance(sources, list) else []


def _first_row(path: Path) -> Mapping[str, Any]:
    rows = small_json(path)
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}


def _source(source: Mapping[str, Any]) -> str:
    """One thing that it learnt from: what kind, its name, and how much."""
    kind = next((name for name in LEARNT if name in source), "")
    if not kind:
        return ""
    name = elo_models.called(str(source[kind]))[:80]
    many = source.get("count")
    count = f", {many:,}" if isinstance(many, int) and not isinstance(many, bool) else ""
    return f"{kind} {name}{count}"


def _data(rated: Rated, rating: Any) -> dict[str, object]:
    row = {"axis": rated.group.axis, "model": rating.model}
    row |= {name: getattr(rating, name) for name in ("elo", "low", "high", "n", "prompts", "standing")}
    return row | about(rated)
