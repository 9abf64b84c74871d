"""Runs to look at, of any stage: the list with its queue, and one run's progress, command and log.

Prompts and answers are escaped here, as everywhere; so is what a process wrote into its log.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline.bases import run_of
from pipeline.errors import UserError
from studio.escaping import escape, exact, isolated
from studio.jobs import queue, stages
from studio.jobs.launcher import log_tail
from studio.progress import plural
from studio.store import runs
from studio.store.database import Store
from studio.store.runs import Figures, Run

MODELS = ("pm", "judge")
TOLD = ("critic", "model_b", "method", "principles", "samples", "axis", "algorithm", "tuning")
"""Settings that tell one run from another, where they are not empty; besides the model and the seed."""

BEHIND = "begins after the run before it"
STATES = {
    "waiting": "waiting",
    "starting": "starting",
    "running": "running",
    "stopping": "stopping",
    "done": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "lost": "lost",
    "cancelled": "taken from the queue",
}


def run_list(every: Sequence[Run], store: Store, current: str, page: str = "runs") -> str:
    """Runs, newest first, those that wait with their place in the queue; links stay on the `page`."""
    line = [run.id for run in queue.waiting(store) if not queue.held_back(store, run)]
    figures = runs.figures(store)
    items = "".join(
        _item(run, figures.get(run.id, Figures()), line, run.id == current, page) for run in every
    )
    return f'<ol class="cai-list cai-runs" aria-label="Runs">{items}</ol>'


def _item(run: Run, now: Figures, line: Sequence[str], current: bool, page: str) -> str:
    bar = "" if run.state == "waiting" else meter(now, run)
    here = ' aria-current="true"' if current else ""
    return (
        f'<li><a href="{page}?run={exact(run.id)}"{here}>'
        f'<span class="cai-list-prompt">{escape(run.name)}</span><span class="cai-run-line">{chip(run)}'
        f'<span class="cai-muted">{escape(_facts(run, now, line))}</span></span>{bar}</a></li>'
    )


def detail(store: Store, run: Run, folder: Path) -> str:
    """One run: how it stands, what it is doing, and the command that does the same."""
    now = runs.figures(store).get(run.id, Figures())
    of = f" of {total(run, now):,}" if total(run, now) else ""
    cells = [(f"{noun(run)}s", f"{now.done:,}{of}")]
    if now.part:
        cells.append((str(now.part["noun"]), f"{now.part['done']:,} of {now.part['total']:,}"))
    if run.state in ("running", "stopping") and now.rate is not None:
        cells.append(("tokens/s", f"{now.rate:,.0f}"))
    if run.state in ("running", "stopping") and (now.rate is not None or now.eta is not None):
        cells.append(("to go", _to_go(now)))
    if now.tokens is not None:
        cells.append(("tokens", f"{now.tokens:,}"))
    if skipped := len(runs.skipped(store, run.id)):
        cells.append(("left out", f"{skipped:,}"))
    figures = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in cells)
    return (
        f'<section class="cai-run" aria-label="Run"><h2>{escape(run.name)}</h2>'
        f'<div class="cai-run-line">{chip(run)}<span class="cai-muted">{_made(store, run)}</span></div>'
        f"{meter(now, run) if run.state != 'waiting' else ''}"
        f'<dl class="cai-figures">{figures}</dl>{_why(run)}{_command(run, folder)}</section>'
    )


def _to_go(now: Figures) -> str:
    if now.part and now.part.get("eta_s") is not None:
        return f"{duration(now.part['eta_s'])} of {isolated(str(now.part['noun']))}"
    return "not known yet" if now.eta is None else duration(now.eta)


def log_html(folder: Path) -> str:
    """The end of what the process wrote."""
    text = log_tail(folder).replace("\r", "\n").strip()
    return f'<pre class="cai-log">{escape(text)}</pre>' if text else '<p class="cai-muted">Nothing yet.</p>'


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2 h 5 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def found_html(read: Sequence[object], duplicates: int, problems: Sequence[str]) -> str:
    """How many prompts a file and the typed lines hold, and which lines are none."""
    facts = [f"<b>{plural(len(read), 'prompt')}</b> found"]
    facts += [f"{duplicates:,} repeated, merged"] if duplicates else []
    return f'<p role="status">{" · ".join(facts)}</p>{left_out(problems)}'


def left_out(problems: Sequence[str], what: str = "left out") -> str:
    """The rows of a file that can't be used, by line."""
    if not problems:
        return ""
    rows = "".join(f"<li>{escape(problem)}</li>" for problem in problems[:20])
    more = f"<li>… and {len(problems) - 20:,} more</li>" if len(problems) > 20 else ""
    return (
        f'<details class="cai-left-out" open><summary>{plural(len(problems), "row")} {what}</summary>'
        f"<ul>{rows}{more}</ul></details>"
    )


def chip(run: Run) -> str:
    """Its state, as a word in a frame."""
    return f'<span class="cai-status cai-status-{run.state}">{STATES[run.state]}</span>'


def _facts(run: Run, now: Figures, line: Sequence[str]) -> str:
    if run.state == "waiting":
        return f"number {line.index(run.id) + 1} in the queue" if run.id in line else BEHIND
    return " · ".join([*how_far(run, now), f"{run.created:%b %d %H:%M}"])


def how_far(run: Run, now: Figures) -> list[str]:
    """How far a run is, in words; while it works with its speed and what is to go."""
    all_ = total(run, now)
    facts = [f"{now.done:,} of {plural(all_, noun(run))}" if all_ else plural(now.done, noun(run))]
    if run.state == "running":
        facts += [] if now.rate is None else [f"{now.rate:,.0f} tokens/s"]
        facts += [] if now.eta is None and not now.part else [f"{_to_go(now)} to go"]
    return facts


def _made(store: Store, run: Run) -> str:
    config = run.config
    names = {name: model_name(store, str(config.get(name) or "")) for name in ("model", *MODELS)}
    models = config.get("models")
    several = [model_name(store, str(name)) for name in models] if isinstance(models, list) else []
    facts = [
        *([f"{isolated(run.constitution_name or '')} {run.constitution[:8]}"] if run.constitution else []),
        *([run.stage] if trains(run) else []),
        *(
            [f"models {', '.join(map(isolated, several))}"]
            if several
            else [f"model {isolated(names['model'])}"]
            if names["model"]
            else []
        ),
        *(f"{name} {isolated(names[name])}" for name in MODELS if names[name]),
        *(f"{name.replace('_', ' ')} {config[name]}" for name in _told(run) if config.get(name)),
        *([plural(config["revisions"], "revision")] if isinstance(config.get("revisions"), int) else []),
        *(["without critiques"] if config.get("critiques") is False else []),
        *([f"seed {config['seed']}"] if "seed" in config else []),
        *([f"trained anyway: “{config['override_gate']}”"] if config.get("override_gate") else []),
        f"by {isolated(run.author)}",
        *(["imported"] if run.origin == "imported" else []),
        f"{run.created:%Y-%m-%d %H:%M}",
    ]
    return " · ".join(map(escape, facts))


def _told(run: Run) -> Sequence[str]:
    by_pm = run.stage == stages.EVALUATE.name and not run.constitution
    return [name for name in TOLD if not (by_pm and name in ("method", "principles"))]


def noun(run: Run) -> str:
    """What a run counts, in the singular."""
    try:
        return stages.of(run.stage).noun
    except UserError:  # of a studio that knows more stages
        return "row"


def total(run: Run, now: Figures) -> int:
    """How many a run is to make: of some only their process knows, once it has counted."""
    return now.total or run.total if trains(run) else run.total or now.total or 0


def trains(run: Run) -> bool:
    """Whether it is a training run."""
    return run.stage in [stage.name for stage in stages.TRAINING]


def model_name(store: Store, name: str) -> str:
    """A model as people know it: one of the session's runs by its name, not by its folder."""
    folder = run_of(Path(name))
    run = runs.load(store, folder.name) if "/" in name else None
    if run is None or folder == Path(name):
        return run.name if run else name
    return f"{run.name}, {Path(name).name.replace('-', ' ')}"  # a snapshot


def meter(now: Figures, run: Run) -> str:
    """How far a run is, as a bar."""
    all_ = total(run, now)
    share = min(100 * now.done / all_, 100) if all_ else 0
    limits = f'aria-valuemin="0" aria-valuemax="{all_}" aria-valuenow="{now.done}"'
    return (
        f'<div class="cai-meter" role="progressbar" aria-label="{noun(run).capitalize()}s done" {limits}>'
        f'<span style="width:{share:.1f}%"></span></div>'
    )


def _why(run: Run) -> str:
    if run.state in ("failed", "lost", "stopped") and run.detail:
        return f'<div class="cai-error" role="status">{escape(run.detail)}</div>'
    if run.state == "stopping":
        what = "step and saves a checkpoint" if trains(run) else f"token and keeps each complete {noun(run)}"
        return f'<p class="cai-muted">It finishes its {what}…</p>'
    if run.state == "starting" or (run.state in ("running", "cancelled") and run.detail):
        return f'<p class="cai-muted">{escape(run.detail or "loading the model…")}</p>'
    return ""


def _command(run: Run, folder: Path) -> str:
    try:
        line = shlex.join(["cai", *stages.words(run, folder)])
    except UserError:
        return ""
    summary = "<summary>The same in a terminal</summary>"
    return f'<details class="cai-clean cai-command">{summary}<code>{escape(line)}</code></details>'
