"""Runs to look at: the list with its queue, one run's progress, and what it has shown of its work.

Prompts and answers are escaped here, as everywhere; so is what a process wrote into its log.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from pipeline.errors import UserError
from studio.jobs import batch, queue
from studio.jobs.launcher import log_tail
from studio.progress import plural
from studio.store import chains, runs
from studio.store.chains import ChainFilter
from studio.store.database import Store
from studio.store.runs import Event, Figures, Run

SAMPLES = 4
LINKS = 12
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
EMPTY = """<div class="cai-empty"><h2>No runs yet</h2><ol>
<li>Choose the prompts: a file, or a few typed lines.</li>
<li>Press <b>Start the batch</b>. Each prompt becomes a chain: a response, its critique and its revision,
many at once.</li>
<li>Go where you like. A run has a process of its own: it survives a closed tab and a studio that is
started again, and <b>Stop</b> keeps each chain that is complete.</li>
</ol><p class="cai-muted">The finished chains appear on the Chains page one by one, as they are written.</p>
</div>"""


def run_list(store: Store, current: str) -> str:
    """All runs, newest first, those that wait with their place in the queue."""
    every = runs.listed(store)
    if not every:
        return EMPTY
    line = [run.id for run in queue.waiting(store)]
    figures = runs.figures(store)
    items = "".join(_item(run, figures.get(run.id, Figures()), line, run.id == current) for run in every)
    return f'<ol class="cai-list cai-runs" aria-label="Runs">{items}</ol>'


def _item(run: Run, now: Figures, line: Sequence[str], current: bool) -> str:
    bar = "" if run.state == "waiting" else _bar(now.done, run.total)
    here = ' aria-current="true"' if current else ""
    return (
        f'<li><a href="runs?run={escape(run.id)}"{here}>'
        f'<span class="cai-list-prompt">{escape(run.name)}</span><span class="cai-run-line">{_chip(run)}'
        f'<span class="cai-muted">{_facts(run, now, line)}</span></span>{bar}</a></li>'
    )


def detail(store: Store, run: Run, folder: Path) -> str:
    """One run: how it stands, what it is doing, and the command that does the same."""
    now = runs.figures(store).get(run.id, Figures())
    cells = [("chains", f"{now.done:,} of {run.total:,}")]
    if run.state in ("running", "stopping") and now.rate is not None:
        cells.append(("tokens/s", f"{now.rate:,.0f}"))
        cells.append(("to go", "not known yet" if now.eta is None else duration(now.eta)))
    if now.tokens is not None:
        cells.append(("tokens", f"{now.tokens:,}"))
    if skipped := len(runs.skipped(store, run.id)):
        cells.append(("left out as too long", f"{skipped:,}"))
    figures = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in cells)
    return (
        f'<section class="cai-run" aria-label="Run"><h2>{escape(run.name)}</h2>'
        f'<div class="cai-run-line">{_chip(run)}<span class="cai-muted">{_made(run)}</span></div>'
        f"{_bar(now.done, run.total) if run.state != 'waiting' else ''}"
        f'<dl class="cai-figures">{figures}</dl>{_why(run)}{_command(run, folder)}</section>'
    )


def samples(store: Store, run: Run) -> str:
    """What the run has just written, and links to its chains."""
    shown = "".join(_sample(event) for event in runs.samples(store, run.id, SAMPLES))
    filter = ChainFilter(run=run.id)
    many = chains.count_chains(store, filter)
    here = f"run={quote(run.id)}"
    links = "".join(
        f'<li><a href="chains?chain={escape(row.id)}&amp;{here}"><span>{escape(row.prompt)}</span></a></li>'
        for row in chains.list_chains(store, filter, LINKS, 0)
    )
    newest = f", the newest {LINKS} here" if many > LINKS else ""
    listed = f"<h3>{plural(many, 'chain')} of this run in the session{newest}</h3>" if many else ""
    links = f'<ol class="cai-list cai-run-chains">{links}</ol>' if many else ""
    if many:
        listed += (
            f'<p class="cai-run-more"><a href="chains?{here}">All on the Chains page</a>'
            f'<a href="reading?{here}">Read and judge them</a></p>'
        )
    again = runs.figures(store).get(run.id, Figures()).done - many
    if again > 0 and run.state == "done":
        listed += (
            f'<p class="cai-muted">{plural(again, "chain")} of this run came out of an earlier one already: '
            "the same prompt, constitution, settings and seed make the same chain.</p>"
        )
    return (f"<h3>The newest</h3>{shown}" if shown else "") + listed + links


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
    html = f'<p role="status">{" · ".join(facts)}</p>'
    if problems:
        rows = "".join(f"<li>{escape(problem)}</li>" for problem in problems[:20])
        more = f"<li>… and {len(problems) - 20:,} more</li>" if len(problems) > 20 else ""
        html += (
            f'<details class="cai-left-out" open><summary>{plural(len(problems), "row")} left out</summary>'
            f"<ul>{rows}{more}</ul></details>"
        )
    return html


def _chip(run: Run) -> str:
    return f'<span class="cai-status cai-status-{run.state}">{STATES[run.state]}</span>'


def _facts(run: Run, now: Figures, line: Sequence[str]) -> str:
    if run.state == "waiting":
        return f"number {line.index(run.id) + 1} in the queue" if run.id in line else "in the queue"
    facts = [f"{now.done:,} of {plural(run.total, 'chain')}"]
    if run.state == "running":
        facts += [] if now.rate is None else [f"{now.rate:,.0f} tokens/s"]
        facts += [] if now.eta is None else [f"{duration(now.eta)} to go"]
    return " · ".join([*facts, f"{run.created:%b %d %H:%M}"])


def _made(run: Run) -> str:
    config = run.config
    facts = [
        f"{run.constitution_name} {(run.constitution or '')[:8]}",
        f"model {config.get('model')}",
        *([f"critic {config['critic']}"] if config.get("critic") else []),
        plural(int(config.get("revisions", 0)), "revision"),
        f"seed {config.get('seed')}",
        f"by {run.author}",
        *(["imported"] if run.origin == "imported" else []),
        f"{run.created:%Y-%m-%d %H:%M}",
    ]
    return escape(" · ".join(facts))


def _bar(done: int, total: int) -> str:
    share = min(100 * done / total, 100) if total else 0
    limits = f'aria-valuemin="0" aria-valuemax="{total}" aria-valuenow="{done}"'
    return (
        f'<div class="cai-meter" role="progressbar" aria-label="Chains done" {limits}>'
        f'<span style="width:{share:.1f}%"></span></div>'
    )


def _why(run: Run) -> str:
    if run.state in ("failed", "lost") and run.detail:
        return f'<div class="cai-error" role="status">{escape(run.detail)}</div>'
    if run.state == "stopping":
        return '<p class="cai-muted">It finishes its token and keeps each complete chain…</p>'
    if run.state == "starting" or (run.state == "running" and run.detail):
        return f'<p class="cai-muted">{escape(run.detail or "loading the model…")}</p>'
    return ""


def _command(run: Run, folder: Path) -> str:
    try:
        line = shlex.join(["cai", *batch.words(run, folder)])
    except UserError:
        return ""
    summary = "<summary>The same in a terminal</summary>"
    return f'<details class="cai-clean cai-command">{summary}<code>{escape(line)}</code></details>'


def _sample(event: Event) -> str:
    prompt, text = (" ".join(str(event.data.get(name, "")).split()) for name in ("prompt", "text"))
    chain = escape(str(event.data.get("chain", "")))
    return (
        f'<div class="cai-step cai-model cai-sample"><a href="chains?chain={chain}">{escape(prompt)}</a>'
        f'<div class="cai-label">Last step</div><div class="cai-text">{escape(text)}</div></div>'
    )
