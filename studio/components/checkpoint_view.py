"""Checkpoints as the page shows them: the table, and one of them with its figures and lineage.

A card may come with a model from anywhere: each of its words is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from pipeline.errors import UserError
from pipeline.lineage import Lineage, Node
from pipeline.train import figures, model_card
from studio.components.lineage_graph import Shown, graph_html, table_html
from studio.components.problem import as_html
from studio.escaping import escape, exact, isolated
from studio.jobs.stages import STAGES
from studio.store import checkpoints, constitutions, runs
from studio.store.checkpoints import Checkpoint
from studio.store.database import Reader

METHODS = {
    "sft": "SL-CAI (sft)",
    "pm": "PM",
    "feedback": "feedback model",
    "rloo": "RL (RLOO)",
    "grpo": "RL (GRPO)",
    "dpo": "DPO",
}
MAIN = ("accuracy", "reward last", "loss last", "loss")
"""Which figures the table shows, the first of these that a card has."""
EMPTY = """<div class="cai-empty"><h2>No checkpoints yet</h2>
<p>A checkpoint is what training leaves: weights, and a card that says what they came from. Here each is
traced back to its labels, and each label to its constitution.</p><ol>
<li><b>SL-CAI.</b> Fine-tune a model on revised answers (paper section 3.2): <code>cai sft</code>.</li>
<li><b>A preference model</b>, from the AI's labels and people's (section 4.1): <code>cai pm</code>.</li>
<li><b>RL-CAI.</b> Train the first against the second: <code>cai rl</code>. Its snapshots are listed too.</li>
</ol><p class="cai-muted">Each is started on the Training page; what finishes appears here by itself.</p>
</div>"""


def list_html(
    every: Sequence[Checkpoint], under: Mapping[str, Sequence[tuple[str, str]]], current: str, titles: Titles
) -> str:
    """The table, newest run first; `under` are each one's constitutions (version, name)."""
    if not every:
        return EMPTY
    columns = ("Checkpoint", "Method", "Base", "Parameters", "Step", "Figures [95% interval]", "Constitution")
    head = "".join(f'<th scope="col">{title}</th>' for title in columns)
    rows = "".join(_row(one, under.get(one.id, ()), one.id == current, titles) for one in every)
    return (
        '<div class="cai-wide"><table class="cai-table cai-checkpoints">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


class Titles:
    """What the session calls the runs that cards name by folder."""

    def __init__(self, store: Reader, every: Sequence[Checkpoint]) -> None:
        self.store = store
        self.runs = {run.id: run for run in runs.listed(store)}
        self.checkpoints = {one.source.resolve(): one for one in every}

    def base(self, card: Mapping[str, Any]) -> str:
        """A base as a person knows it: a run by its name, a folder by its last part."""
        name = str(card.get("base") or "")
        last = PurePath(name).name
        if last in self.runs:
            return self.runs[last].name
        return last if name.startswith(("/", "~")) else name

    def of(self, node: Node) -> Shown:
        """How a node of a lineage is called here, and where it is."""
        if node.kind == "constitution":
            return self._constitution(node)
        if node.folder and (found := self.checkpoints.get(node.folder)):
            return Shown(found.name, link(found))
        run = self.runs.get(node.folder.name if node.folder else PurePath(node.title).name)
        if run:
            page = next((stage.page for stage in STAGES if stage.name == run.stage), "runs")
            return Shown(run.name, f"{page}?run={quote(run.id)}")
        return Shown(PurePath(node.title).name if node.kind in ("file", "base") else node.title)

    def _constitution(self, node: Node) -> Shown:
        version = dict(node.facts).get("version", "")
        name = constitutions.name_of(self.store, version)
        if name is None:
            return Shown(node.title)
        return Shown(
            f"{isolated(name)} {version[:8]}", f"constitution?name={quote(name)}&version={quote(version)}"
        )


def link(checkpoint: Checkpoint) -> str:
    """The page's address with this checkpoint on it."""
    return f"checkpoints?checkpoint={quote(checkpoint.id, safe='')}"


def detail_html(one: Checkpoint, session: Path, titles: Titles) -> str:
    """One checkpoint: facts, figures, and where it came from."""
    try:
        found = checkpoints.lineage_of(one, session)
    except UserError as error:
        return f'<section class="cai-run"><h2>{escape(one.name)}</h2>{as_html(str(error))}</section>'
    return (
        f'<section class="cai-run" aria-label="Checkpoint"><h2>{escape(one.name)}</h2>{_facts(one, titles)}'
        f"{_figures(one)}{_lineage(found, titles)}</section>"
    )


def _facts(one: Checkpoint, titles: Titles) -> str:
    card = one.card
    lineage = card.get("lineage")
    said: Mapping[str, Any] = lineage if isinstance(lineage, dict) else {}
    cells = [
        ("method", _method(card)),
        ("base", titles.base(card)),
        ("parameters", parameters(card.get("parameters"))),
        ("trained", parameters(card.get("trained")) if card.get("trained") else ""),
        ("step", figures.number(card.get("step"))),
        ("weights", model_card.weights(card, one.adapter) if one.weighs else "not here"),
        ("seed", figures.number(said.get("seed"))),
        ("gate", str(said.get("gate") or "")),
        ("made", f"{one.made.astimezone():%Y-%m-%d %H:%M}"),
    ]
    shown = "".join(
        f"<div><dt>{name}</dt><dd>{escape(value[:80])}</dd></div>" for name, value in cells if value
    )
    why = said.get("override_gate")
    note = f'<p class="cai-muted">Gate overridden: {escape(str(why)[:400])}</p>' if why else ""
    at_work = '<p class="cai-muted">Its run is at work.</p>' if one.at_work else ""
    return f'<dl class="cai-figures">{shown}</dl>{note}{at_work}'


def _figures(one: Checkpoint) -> str:
    told = figures.told(one.card.get("figures"))
    if not told:
        return '<p class="cai-muted">No figures on its card.</p>'
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in told
    )
    return (
        f"<details{' open' if len(told) <= 6 else ''}><summary>{len(told)} figures [95% interval]</summary>"
        f'<table class="cai-table cai-narrow"><tbody>{rows}</tbody></table></details>'
    )


def _lineage(found: Lineage, titles: Titles) -> str:
    shown = {node.id: titles.of(node) for node in found.nodes}
    missing = sum(node.missing for node in found.nodes)
    note = (
        f'<p class="cai-muted">{missing} of what the cards name {"is" if missing == 1 else "are"} not in '
        "this session: what that came from is not known here.</p>"
        if missing
        else ""
    )
    return (
        f"<h3>What it came from</h3>{graph_html(found, shown)}{note}<details><summary>As a table</summary>"
        f'<div class="cai-wide">{table_html(found, shown)}</div></details>'
    )


def _row(one: Checkpoint, under: Sequence[tuple[str, str]], current: bool, titles: Titles) -> str:
    here = ' aria-current="true"' if current else ""
    name = f'<a href="{exact(link(one))}">{escape(one.name)}</a>'
    small = ' class="cai-snapshot"' if one.snapshot else ""
    if not one.card:
        return f'<tr{here}{small}><th scope="row">{name}</th><td colspan="6">its card can’t be read</td></tr>'
    cells = (
        escape(_method(one.card)),
        escape(titles.base(one.card)[:60]),
        parameters(one.card.get("parameters")),
        figures.number(one.card.get("step")),
        "<br>".join(escape(f"{name} {value}") for name, value in main_figures(one.card)),
        ", ".join(
            f'{escape(name)} <code title="{escape(version)}">{escape(version[:8])}</code>'
            for version, name in under
        ),
    )
    rest = "".join(f"<td>{cell or '–'}</td>" for cell in cells)
    return f'<tr{here}{small}><th scope="row">{name}</th>{rest}</tr>'


def main_figures(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures that say most of a checkpoint: at most two."""
    told = figures.told(card.get("figures"))
    for wanted in MAIN:
        if some := [(name, value) for name, value in told if name.endswith(wanted)]:
            return some[:2]
    return told[:2]


def parameters(value: object) -> str:
    """`135M`, `7.2B`; empty for what is no count."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**15:
        return ""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}" if value < 100 * size else f"{value / size:,.0f}{letter}"
    return str(value)


def _method(card: Mapping[str, Any]) -> str:
    method = str(card.get("method") or "")
    return METHODS.get(method, method[:40])
