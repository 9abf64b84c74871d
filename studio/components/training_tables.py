"""The numbers behind the curves of training runs, for whoever reads rather than looks."""

from __future__ import annotations

from collections.abc import Sequence

from studio.components.training_charts import Panel
from studio.escaping import escape
from studio.store.metrics import Curve, Curves

ROWS = 50
"""Steps that are shown of a long run, or one more: the first, the last, those of rare figures, and others."""


def table_html(runs: Sequence[Curves], some: Sequence[Panel]) -> str:
    """A row a step, a column for each figure of each of these runs; empty where nothing was measured."""
    columns: list[tuple[str, Curve]] = []
    for number, curves in enumerate(runs, 1):
        mark = f"{number} · " if len(runs) > 1 else ""
        names = dict.fromkeys(name for panel in some for name in panel.names if name in curves)
        columns += [(mark + name.replace("_", " "), curves[name]) for name in names]
    steps = sorted({step for _, curve in columns for step in curve.steps})
    if not steps:
        return ""
    kept = spread([curve.steps for _, curve in columns])
    values = [dict(zip(curve.steps, curve.values, strict=True)) for _, curve in columns]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name, _ in columns)
    rows = "".join(
        f'<tr><th scope="row">{step:,}</th>'
        + "".join(f"<td>{'' if (v := known.get(step)) is None else f'{v:.4g}'}</td>" for known in values)
        + "</tr>"
        for step in kept
    )
    note = f'<p class="cai-muted">{len(kept)} of {len(steps):,} steps.</p>' if len(kept) < len(steps) else ""
    return (
        f'{note}<div class="cai-wide cai-steps" tabindex="0" role="group" aria-label="Figures by step">'
        f'<table class="cai-table"><thead><tr><th scope="col">Step</th>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def spread(curves: Sequence[Sequence[int]]) -> list[int]:
    """Some ROWS of these steps, the first and the last among them; figures that are rare come first."""
    kept: set[int] = set()
    for steps in sorted(curves, key=len):
        room = ROWS - len(kept)
        if len(steps) <= room:
            kept.update(steps)
        elif steps and not kept.issuperset({steps[0], steps[-1]}):
            many = max(2, room)
            kept.update(steps[round(at * (len(steps) - 1) / (many - 1))] for at in range(many))
    return sorted(kept)
