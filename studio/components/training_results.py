"""What a finished training run has come to: its closing figures, each with its n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from studio.escaping import escape
from studio.jobs.importing import RUNS
from studio.store import checkpoints, metrics, runs
from studio.store.database import Store
from studio.store.metrics import Answer
from studio.store.runs import Run

PLAIN = (
    ("loss, first tenth of the steps", "loss_first", "{:.4g}"),
    ("loss, last tenth", "loss_last", "{:.4g}"),
    ("reward, first tenth of the steps", "reward_first", "{:.3f}"),
    ("reward, last tenth", "reward_last", "{:.3f}"),
    ("accuracy, first tenth of the steps", "accuracy_first", "{:.1%}"),
    ("accuracy, last tenth", "accuracy_last", "{:.1%}"),
    ("pairs learnt", "pairs", "{:,}"),
    ("too long, left out", "too_long", "{:,}"),
)
MEASURED = (("accuracy", "{:.1%}"), ("ece", "{:.3f}"), ("brier", "{:.3f}"))
CALLED = {"ece": "calibration error", "brier": "Brier score"}


def trained_html(store: Store, run: Run) -> str:
    """The figures that it closed with, once it is done, and what it answers beside what it answered first."""
    return _closed(store, run) + answers_html(metrics.answers(store, run.id))


def answers_html(some: Sequence[Answer]) -> str:
    """The fixed prompts, each with its first and its newest answer."""
    if not some:
        return ""
    newest = max(one.last_step for one in some)
    rows = "".join(
        f'<tr><th scope="row">{escape(one.prompt)}</th><td>{escape(one.first)}</td>'
        f"<td>{escape(one.last) if one.last_step > one.first_step else '…'}</td></tr>"
        for one in some
    )
    return (
        '<h3>The same prompts, before and now</h3><div class="cai-answers"><table class="cai-labellers">'
        f'<thead><tr><th scope="col">Prompt</th><th scope="col">At step {some[0].first_step}</th>'
        f'<th scope="col">At step {newest}</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _closed(store: Store, run: Run) -> str:
    last = runs.last_event(store, run.id, "finished")
    if run.state != "done" or last is None:
        return ""
    data = last.data
    one_step = "accuracy_first" not in data  # DPO's, before it was of a tenth
    cells = [
        ("accuracy, last step" if one_step and name == "accuracy_last" else label, style.format(data[name]))
        for label, name, style in PLAIN
        if isinstance(data.get(name), int | float)
    ]
    figures = "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in cells)
    html = f'<dl class="cai-figures">{figures}</dl>' if figures else ""
    sets = [(name, said) for name, said in data.items() if isinstance(said, dict) and "accuracy" in said]
    if sets:
        html += _measured(sets)
    use = "Choose it as the model of a run, or go on training from it."
    if run.stage == "pm":
        use = "Choose it as the reward of RL, or as its judge."
        if checkpoints.judges(store.folder / RUNS / run.id):
            use = "Name it as the model that labels, with the method pointwise."
    return f'<h3>Result</h3>{html}<p class="cai-muted">The checkpoint is in the run’s folder. {use}</p>'


def _measured(sets: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    head = "".join(f'<th scope="col">{CALLED.get(name, name)}</th>' for name, _ in MEASURED)
    rows = "".join(
        f'<tr><th scope="row">{escape("held-out pairs" if name == "heldout" else name)}</th>'
        + "".join(f"<td>{_figure(said.get(key), style)}</td>" for key, style in MEASURED)
        + "</tr>"
        for name, said in sets
    )
    return (
        '<table class="cai-labellers"><thead><tr><th scope="col">Measured on</th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _figure(said: Any, style: str) -> str:
    """A figure with its interval and n."""
    if not isinstance(said, dict) or not isinstance(said.get("value"), int | float):
        return "–"
    shown = style.format(said["value"])
    low, high = said.get("low"), said.get("high")
    if isinstance(low, int | float) and isinstance(high, int | float):
        shown += f' <span class="cai-muted">[{style.format(low)}, {style.format(high)}]</span>'
    n = said.get("n", 0)
    told = f"{n:,}" if isinstance(n, int | float) else "?"
    return f'{shown} <span class="cai-muted">n = {told}</span>'
