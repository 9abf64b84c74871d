"""The tour to look at: each stage with its word, its state and what it made, and the outcome in figures.

What a model or a process wrote is escaped here, as everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from studio.components import run_view
from studio.components.elo_section import STANDING
from studio.components.run_results import labeller_links
from studio.escaping import escape
from studio.jobs.recipes import Queued, step_of
from studio.jobs.stages import CRITIQUE, EVALUATE, LABEL
from studio.store import runs
from studio.store.database import Store
from studio.store.labels import Labeller
from studio.store.runs import ACTIVE, Figures, Run

RATINGS = "outputs/ratings.json"
TITLES = {
    "chains": "Critique and revision",
    "sl": "SL-CAI",
    "pairs": "Pairs",
    "labels": "AI labels",
    "pm": "Preference model",
    "judge": "A judge",
    "helpful_judge": "A judge of helpfulness",
    "rl": "RL-CAI",
    "harmless": "Elo by harmlessness",
    "helpful": "Elo by helpfulness",
}
"""The stages of the tour by the names of its steps."""
HEADS = "".join(f'<th scope="col">{head}</th>' for head in ("Model", "Elo", "Interval", "n", "Shown?"))


def tour_html(store: Store, tour: Queued, folder: Path) -> str:
    """The stages, what to do where one ended early, and what those came to that rate.

    `folder` holds the session's runs.
    """
    figures, took = runs.figures(store), runs.took(store)
    items = "".join(_item(tour, run, figures.get(run.id, Figures()), took.get(run.id)) for run in tour.runs)
    done = sum(run.state == "done" for run in tour.runs)
    return (
        '<section aria-label="Stages of the tour"><p class="cai-run-line" role="status">'
        f"<b>{_stands(tour)}</b>"
        f'<span class="cai-muted">{done} of {len(tour.steps)} stages are whole</span></p>{_hint(tour)}'
        f'<ol class="cai-stages">{items}</ol>{outcome_html(tour, folder)}</section>'
    )


def outcome_html(tour: Queued, folder: Path) -> str:
    """The ratings that the tour came to, an axis a table; empty while there are none."""
    tables = [_table(run, tour, folder) for run in tour.runs if run.stage == EVALUATE.name]
    return "".join(tables)


def _stands(tour: Queued) -> str:
    if tour.whole:
        return "The tour is over"
    at = tour.at
    if tour.lacks or at is None:
        return "The tour can't go on"
    return f"{run_view.STATES[at.state].capitalize()}: {_title(at)}"


def _hint(tour: Queued) -> str:
    """What to do about a tour that does not go on by itself."""
    at = tour.at
    if tour.lacks:
        gone = ", ".join(TITLES.get(step, step) for step in tour.lacks)
        return f'<p class="cai-muted">The run of {escape(gone)} was deleted: start a new tour.</p>'
    if not tour.resumable or at is None:
        return ""
    if at.state == "cancelled" or (at.state == "stopped" and not at.detail):
        return '<p class="cai-muted">It is stopped. <b>Resume</b> goes on with this stage.</p>'
    log = f'<a href="runs?run={quote(at.id)}">its run</a>'
    return (
        f'<div class="cai-error" role="status">{escape(at.detail)}</div>'
        f'<p class="cai-muted">What the process '
        f"wrote is in the log of {log}. Mend the cause, then press <b>Resume</b>: the tour goes on with this "
        "stage and keeps what is whole.</p>"
    )


def _title(run: Run) -> str:
    return escape(TITLES.get(step_of(run), step_of(run)))


def _item(tour: Queued, run: Run, now: Figures, took: float | None) -> str:
    here = ' aria-current="step"' if run is tour.at else ""
    facts = run_view.how_far(run, now) if run.state != "waiting" else []
    facts += [f"took {run_view.duration(took)}"] if took is not None and run.state == "done" else []
    facts += (
        [run.detail or "loading the model"] if run.state in ("starting", "running") and not now.done else []
    )
    bar = run_view.meter(now, run) if run.state in (*ACTIVE, "stopped", "failed", "lost") else ""
    chip = run_view.chip(run) if run is tour.at or run.state != "waiting" else ""
    return (
        f'<li class="cai-stage cai-stage-{run.state}"{here}>'
        f'<div class="cai-run-line"><b>{_title(run)}</b>{chip}'
        f'<span class="cai-muted">{" · ".join(map(escape, facts))}</span></div>'
        f"<p>{escape(str(run.config['recipe']['says']))}</p>{bar}{_links(run, now)}</li>"
    )


def _links(run: Run, now: Figures) -> str:
    """To what it makes, once there is some."""
    if run.state == "waiting":
        return ""
    id = quote(run.id)
    links = [f'<a href="runs?run={id}">The run</a>']
    if run.stage == CRITIQUE.name and now.done:
        links = [
            f'<a href="chains?run={id}">Its chains</a>',
            f'<a href="reading?run={id}">Judge them</a>',
            *links,
        ]
    elif run.stage == LABEL.name and now.done:
        axis = str(run.config.get("axis", "harmless"))
        labeller = Labeller(str(run.config["model"]), run.config["method"], run.constitution or "")
        links = [labeller_links(labeller, axis), *links]
    elif run_view.trains(run):
        made = [f'<a href="checkpoints?checkpoint={id}">Its checkpoint</a>'] if run.state == "done" else []
        links = [*made, f'<a href="training?run={id}">Its curves</a>', *links]
    return f'<p class="cai-links">{" ".join(links)}</p>'


def _table(run: Run, tour: Queued, folder: Path) -> str:
    rows = _ratings(folder / run.id / RATINGS)
    if not rows:
        return ""
    heldout = next((row["judge_heldout"] for row in rows if row.get("judge_heldout")), None)
    trust = (
        f" The judge agrees with {heldout['value']:.0%} of {heldout['n']:,} pairs kept aside; "
        "no person judged them."
        if heldout
        else ""
    )
    body = "".join(_rating(row, tour.runs[0].config["recipe"]["places"]) for row in rows)
    axis = "Harmlessness" if run.config.get("axis") == "harmless" else "Helpfulness"
    return (
        f'<table class="cai-labellers"><caption>{axis}: Elo against the plain model, with 95% '
        f"intervals.{trust}</caption><thead><tr>{HEADS}</tr></thead><tbody>{body}</tbody></table>"
    )


def _ratings(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return [row for row in rows if isinstance(row, dict) and row.get("of", "all") == "all"]


def _rating(row: Mapping[str, Any], places: Mapping[str, str]) -> str:
    """A model's line. Where its interval holds 0 no difference was shown, and the line says so."""
    elo, low, high = row.get("elo"), row.get("low"), row.get("high")
    if elo is None:
        told = [STANDING.get(str(row.get("standing")), "–"), "", "nothing to rate by"]
    elif row["model"] == row.get("base", "bundled"):
        told = ["0", "", "the base"]
    else:
        ends = ["-∞" if low is None else f"{low:+.0f}", "∞" if high is None else f"{high:+.0f}"]
        apart = (low is not None and low > 0) or (high is not None and high < 0)
        told = [
            f"{round(elo):+d}",
            f"[{ends[0]}, {ends[1]}]",
            "a difference" if apart else "no difference shown",
        ]
    cells = f"<td>{told[0]}</td><td>{told[1]}</td><td>{row.get('n', 0):,}</td><td>{told[2]}</td>"
    return f'<tr><th scope="row">{escape(_model(str(row["model"]), places))}</th>{cells}</tr>'


def _model(name: str, places: Mapping[str, str]) -> str:
    """A model as the tour calls it: `RL-CAI at step 5`, not a folder."""
    if name == "bundled":
        return "the plain model"
    step = next((step for step, id in places.items() if id in Path(name).parts), name)
    at = f" at {Path(name).name.replace('-', ' ')}" if Path(name).name.startswith("step-") else ""
    return f"{TITLES.get(step, step)}{at}"
