"""Read: finished chains one at a time, accepted or rejected for training by key (paper section 3.2).

What was accepted is exported here. Each verdict is in the store before the next chain is shown.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.errors import UserError
from pipeline.records import Constitution
from studio import exports
from studio.components import chain_filters, reading_view
from studio.components.chain_filters import Offered
from studio.components.notice import content_notice
from studio.components.problem import told
from studio.components.reading_bar import reading_bar
from studio.context import Studio, author
from studio.escaping import exact
from studio.progress import plural
from studio.store import chains, constitutions, reading, verdicts
from studio.store.chains import ChainFilter
from studio.store.reading import Queue

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
VIEW_SCRIPT = Path(reading_view.__file__).with_suffix(".js")
SAID_SCRIPT = VIEW_SCRIPT.with_name("reading_said.js")
FORMS = [
    ("Messages, for any chat trainer", "messages"),
    ("CAI columns, as on the hub", "cai"),
    ("chains.jsonl, whole chains for cai", "chains"),
]
SAID = {
    "accept": "Accepted; u takes it back.",
    "reject": "Rejected; u takes it back.",
    "skip": "Left unjudged.",
    "note": "Note kept.",
    "undo": "Taken back: this is the chain as it was.",
}


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    with gr.Column(elem_classes="cai-behind-notice cai-reader"):
        figures = gr.HTML(padding=False, elem_id="figures")
        with gr.Accordion("Search and filters", open=False, elem_id="filters"):
            filters = [chain_filters.search(), *chain_filters.narrowing(verdict="none")]
        view = gr.HTML(js_on_load=VIEW_SCRIPT.read_text(encoding="utf-8"), padding=False, elem_id="reading")
        with gr.Column(elem_classes="cai-judging"):
            bar = reading_bar()
            said = gr.HTML(js_on_load=SAID_SCRIPT.read_text(encoding="utf-8"), padding=False, elem_id="said")
        _exporting(studio, filters)

    def arrive(request: gr.Request) -> list[Any]:
        query = dict(request.query_params)
        # Without a word about verdicts, what is not judged yet.
        wanted = chain_filters.asked(query, verdict="none")
        updates = chain_filters.updates(studio.store, wanted)
        typed = wanted.text or ""
        figures = _figures(studio, wanted, author(request))
        return [_show(studio, query.get("chain"), wanted), figures, typed, *updates]

    def narrow(request: gr.Request, known: Offered, *values: str) -> list[Any]:
        wanted, shown = chain_filters.read(values), str(request.query_params.get("chain", ""))
        kept = shown if reading.queue(studio.store, wanted).position(shown) else None
        menus = chain_filters.menus(studio.store, wanted, known)
        return [_show(studio, kept, wanted), _figures(studio, wanted, author(request)), "", *menus]

    def search(before: str, request: gr.Request, known: Offered, *values: str) -> list[Any]:
        # A text that has just arrived with the address is a change too, and comes before the other filters.
        if values[0] == before:
            return [gr.skip()] * (1 + len(outputs))
        return [values[0], *narrow(request, known, *values)]

    def act(event: gr.EventData, request: gr.Request, known: Offered, *values: str) -> list[Any]:
        wanted = chain_filters.read(values)
        shown = _act(studio, event._data, author(request), wanted)
        return [*shown, *chain_filters.menus(studio.store, wanted, known)]

    typed, known = gr.State(""), gr.State({})
    inputs = [known, *filters]
    outputs = [view, figures, said, known, *filters[1 : 1 + len(chain_filters.MENUS)]]
    blocks.load(arrive, None, [view, figures, typed, *filters], **QUIET)
    # A text that is pasted with the mouse is no `input` to Gradio, but it is a change. Without `always_last`,
    # what is typed while an answer is on its way would be lost.
    filters[0].change(search, [typed, *inputs], [typed, *outputs], trigger_mode="always_last", **QUIET)
    gr.on(
        [control.input for control in filters[1:]],
        narrow,
        inputs,
        outputs,
        trigger_mode="always_last",
        **QUIET,
    )
    bar.act(act, inputs, outputs, trigger_mode="multiple", **QUIET)


def _act(studio: Studio, asked: Mapping[str, Any], who: str, wanted: ChainFilter) -> list[Any]:
    """Do what a key or a button asks about the chain that it names; then what to show, and to say."""
    action, id, note = str(asked.get("action")), str(asked.get("chain") or ""), asked.get("note")
    with told() as mistake:
        if action == "undo":
            last = asked.get("last")
            undone = verdicts.undo(studio.store, who, last if isinstance(last, str) else None, id)
            if undone is None:
                raise UserError("there is nothing of yours to undo")
            id = undone
        elif action in ("accept", "reject"):
            verdict: verdicts.Judgement = "accepted" if action == "accept" else "rejected"
            verdicts.judge(studio.store, id, who, verdict, note if isinstance(note, str) else None)
        elif action == "note":
            verdicts.judge(studio.store, id, who, note=str(note or ""))
    if mistake.html:
        return [gr.skip(), gr.skip(), mistake.html]
    queue = reading.queue(studio.store, wanted)
    kept = f' data-kept="{exact(id)}" data-note="{exact(note)}"' if isinstance(note, str) else ""
    say = f'<p class="cai-muted" role="status"{kept}>{SAID[action]}</p>' if action in SAID else ""
    if action == "note":
        # The chain stays as it is, and so does the cursor in it.
        return [gr.skip(), _figures(studio, wanted, who, queue), say]
    goal = id if action == "undo" else _goal(queue, action, id)
    if goal is None and action in ("next", "previous"):
        end = "last" if action == "next" else "first"
        return [gr.skip(), gr.skip(), f'<p class="cai-muted" role="status">That was the {end} one.</p>']
    return [_picture(studio, queue, goal, wanted), _figures(studio, wanted, who, queue), say]


def _goal(queue: Queue, action: str, id: str) -> str | None:
    if action == "previous":
        return queue.before(id)
    if action == "next":
        return queue.after(id)
    # Judged or skipped: after the last come those that were skipped before; alone, a chain stays.
    stays = id if queue.position(id) else None
    return queue.after(id, wrap=True) or stays


def _show(studio: Studio, id: str | None, wanted: ChainFilter) -> str:
    """The chain that was asked for, else the first that matches."""
    queue = reading.queue(studio.store, wanted)
    known = id if id and any(entry.id == id for entry in queue.entries) else None
    return _picture(studio, queue, known or queue.after(""), wanted)


def _figures(studio: Studio, wanted: ChainFilter, who: str, queue: Queue | None = None) -> str:
    """How far the reading has come; with it, what undo would take back of this person."""
    queue = queue or reading.queue(studio.store, wanted)
    figures = reading_view.figures_html(queue, _filtered(wanted))
    return f'<div data-last="{verdicts.newest(studio.store, who)}">{figures}</div>'


def _filtered(wanted: ChainFilter) -> bool:
    return any(value for name, value in asdict(wanted).items() if name != "verdict")


def _picture(studio: Studio, queue: Queue, id: str | None, wanted: ChainFilter) -> str:
    filters = {name: value for name, value in asdict(wanted).items() if value and name != "verdict"}
    query = filters | {"verdict": wanted.verdict or "any"}
    chain = chains.load_chain(studio.store, id) if id else None
    if chain is None or not chain.steps:
        return reading_view.nothing_html(queue, query, _filtered(wanted))
    constitution = _constitution(studio, chain.constitution)
    principles = {principle.id: principle for principle in constitution.principles} if constitution else {}
    verdict = verdicts.load(studio.store, chain.id)
    return reading_view.chain_html(chain, verdict, principles, queue, {"chain": chain.id, **query})


def _constitution(studio: Studio, version: str) -> Constitution | None:
    with told():
        return constitutions.load_version(studio.store, version)
    return None  # an imported chain may name a version that this session lacks


def _exporting(studio: Studio, filters: list[Any]) -> None:
    """The accepted chains that match the filters, as a file."""
    with gr.Accordion("Export the accepted", open=False, elem_id="exporting"):
        with gr.Row():
            form = gr.Radio(FORMS, value="messages", label="What a row holds", elem_id="export-form")
            kind = gr.Radio(["JSONL", "Parquet"], value="JSONL", label="File", elem_id="export-kind")
            start = gr.Button("Export", variant="primary", elem_id="export", scale=0, min_width=140)
        problem = gr.HTML(padding=False, elem_id="export-said")
        file = gr.File(label="Download", visible=False, interactive=False, elem_id="export-file")

    def export(form: exports.Form, kind: str, *values: str) -> list[Any]:
        with told() as mistake:
            path, count = _export(studio, form, kind == "Parquet", chain_filters.read(values))
            words = f"{plural(count, 'accepted chain')}: all that the search and the filters let through."
            line = f'<p class="cai-muted" role="status">{words}</p>'
            return [line, gr.update(value=str(path), visible=True)]
        return [mistake.html, gr.update(value=None, visible=False)]

    form.input(
        lambda form: gr.update(
            choices=["JSONL"] if form == "chains" else ["JSONL", "Parquet"], value="JSONL"
        ),
        form,
        kind,
        **QUIET,
    )
    start.click(export, [form, kind, *filters], [problem, file], **QUIET)


def _export(studio: Studio, form: exports.Form, parquet: bool, wanted: ChainFilter) -> tuple[Path, int]:
    found = reading.accepted(studio.store, wanted)
    if not found:
        raise UserError("no chain that matches was accepted yet: there is nothing to export")
    versions = {chain.constitution: _constitution(studio, chain.constitution) for chain, _ in found}
    items = [exports.Accepted(chain, verdict, versions[chain.constitution]) for chain, verdict in found]
    # A folder of its own, which goes with the studio: never the session's.
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=os.environ.get("GRADIO_TEMP_DIR")))
    return exports.write(folder, f"{studio.session}-accepted", items, form, parquet), len(items)
