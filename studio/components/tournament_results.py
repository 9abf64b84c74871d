"""What a tournament has found: its ratings, as the run itself worked them out (`ratings.json`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studio.components.run_view import model_name
from studio.escaping import escape, isolated
from studio.store import matchups, runs
from studio.store.database import Store
from studio.store.matchups import MatchupFilter
from studio.store.runs import Run

STANDING = {"above": "above any number", "below": "below any number", "apart": "not compared"}
LATEST = 6

Row = Mapping[str, Any]


def tournament_html(store: Store, run: Run) -> str:
    """The ratings once they are there, and the newest matchups: who answered what, and which was better.

    Not before: whoever watches may judge the same two answers later, and blind.
    """
    said = runs.last_event(store, run.id, "summary")
    rows = said.data.get("ratings") if said else None
    if not isinstance(rows, list) or not rows:
        return ""
    return _ratings(store, rows) + _latest(store, run)


def _ratings(store: Store, rows: Sequence[Row]) -> str:
    every = [row for row in rows if row["of"] == "all"]
    core = {row["model"]: row for row in rows if row["of"] == "core"}
    head = ("Model", "Elo [95% interval]", "n", *(["Elo by the random core alone", "n"] if core else []))
    body = "".join(_row(store, row, core) for row in every)
    titles = "".join(f'<th scope="col">{title}</th>' for title in head)
    notes = "".join(f"<li>{_named(store, note, every)}</li>" for note in every[0]["warnings"])
    return (
        f"<h3>Ratings</h3><p>{_judged(store, every[0])}</p>"
        f'<div class="cai-wide"><table class="cai-table"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f"{f'<ul>{notes}</ul>' if notes else ''}"
        '<p class="cai-muted">Only differences mean anything; intervals are of the difference to the base, '
        'over prompts. <a href="elo">All ratings on the Elo page</a></p>'
    )


def _row(store: Store, row: Row, core: Mapping[str, Row]) -> str:
    cells = [_figure(row), f"{row['n']:,}"]
    if core:
        also = core.get(row["model"])
        cells += [_figure(also), f"{also['n']:,}"] if also else ["no votes", "0"]
    name = escape(model_name(store, row["model"]))
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _figure(row: Row) -> str:
    if row["elo"] is None:
        return STANDING.get(str(row["standing"]), "not rated")
    if row["model"] == row["base"]:
        return "0, the base"
    low, high = ("∞" if end is None else f"{end:+.0f}" for end in (row["low"], row["high"]))
    return f"{row['elo']:+.0f} [{'-∞' if row['low'] is None else low}, {high}]"


def _judged(store: Store, row: Row) -> str:
    """On what axis, by whom, and what that judge is worth."""
    facts = [f"{row['axis']}, judged by {isolated(model_name(store, row['judge']))}"]
    if heldout := row.get("judge_heldout"):
        share = f"{heldout['value']:.1%} [{heldout['low']:.1%}, {heldout['high']:.1%}]"
        facts.append(f"which agrees with {share} of {heldout['n']:,} held-out labels")
    return ", ".join(map(escape, facts))


def _named(store: Store, text: str, rows: Sequence[Row]) -> str:
    for model in sorted((str(row["model"]) for row in rows), key=len, reverse=True):
        text = text.replace(model, model_name(store, model))
    return escape(text)


def _latest(store: Store, run: Run) -> str:
    filter = MatchupFilter(run=run.id)
    items = "".join(_matchup(store, found) for found in matchups.listed(store, filter, LATEST))
    return f"<h3>The newest matchups</h3>{items}" if items else ""


def _matchup(store: Store, found: matchups.StoredMatchup) -> str:
    one = found.matchup
    asked = escape(" ".join(found.messages[-1].content.split())) if found.messages else ""
    sides = ((one.model_a, one.response_a, one.p_a), (one.model_b, one.response_b, 1 - one.p_a))
    texts = "".join(
        f'<div class="cai-label">{escape(model_name(store, model))} · better with {share:.0%}</div>'
        f'<div class="cai-text">{escape(text)}</div>'
        for model, text, share in sides
    )
    return f'<div class="cai-step cai-model cai-sample"><b>{asked}</b>{texts}</div>'
