"""Audit: pairs judged blind by key, then the AI's label of each; or responses ranked (paper section 4).

Each judgment is in the store before the next pair is shown. Who agrees with whom is on the Agreement page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from studio.audit_acts import Answer, act, arrive
from studio.components import audit_asking, audit_view
from studio.components.audit_asking import REMEMBERED, Asking
from studio.components.audit_bar import pairs_bar, ranking_bar
from studio.components.audit_picture import Asked
from studio.components.notice import content_notice
from studio.context import Studio
from studio.escaping import isolated
from studio.store import labels

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
VIEW_SCRIPT = Path(audit_view.__file__).with_suffix(".js")
LAST_SCRIPT = VIEW_SCRIPT.with_name("audit_last.js")
SAID_SCRIPT = VIEW_SCRIPT.with_name("audit_said.js")


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    asked = Asked()
    with gr.Column(elem_classes="cai-behind-notice cai-auditing"):
        figures = gr.HTML(padding=False, elem_id="figures")
        controls = audit_asking.controls()
        view = gr.HTML(js_on_load=VIEW_SCRIPT.read_text(encoding="utf-8"), padding=False, elem_id="audit")
        with gr.Column(elem_classes="cai-judging"):
            last = gr.HTML(js_on_load=LAST_SCRIPT.read_text(encoding="utf-8"), padding=False, elem_id="last")
            bars = [pairs_bar(), ranking_bar()]
            said = gr.HTML(js_on_load=SAID_SCRIPT.read_text(encoding="utf-8"), padding=False, elem_id="said")
    shown = [view, figures, last, said]

    def come(remembered: str, request: gr.Request) -> list[Any]:
        query = dict(request.query_params)
        asking = audit_asking.read({"as": remembered} | query, request.username)
        shown = "shown" in query  # the page that led here has shown the AI's label
        answer = arrive(studio.store, asked, asking, _item(asking, query), shown)
        return [*_updates(answer), *_settings(studio, asking, request.username is None)]

    def change(request: gr.Request, *values: Any) -> list[Any]:
        asking, query = audit_asking.of_controls(values, request.username), dict(request.query_params)
        before = audit_asking.read(query, request.username)
        if asking == before:  # a field was left as it was
            return [gr.skip()] * len(shown)
        # Another task, question or annotator has a queue of its own; the rest leaves the pair where it is.
        same = (asking.task, asking.axis, asking.who) == (before.task, before.axis, before.who)
        return _updates(arrive(studio.store, asked, asking, _item(asking, query) if same else None))

    def press(event: gr.EventData, request: gr.Request) -> list[Any]:
        told: Mapping[str, Any] = event._data
        query = dict(parse_qsl(str(told.get("query"))))
        asking = audit_asking.read(query, request.username)
        return _updates(act(studio.store, asked, asking, told))

    blocks.load(come, controls[2], [*shown, *controls], js=REMEMBERED, **QUIET)
    task, axis, who, *rest = controls
    triggers = [task.input, axis.input, who.submit, who.blur, *(control.input for control in rest)]
    gr.on(triggers, change, controls, shown, **QUIET)
    for bar in bars:
        # HTML goes out as it is: else Gradio asks a thread for each part of it.
        bar.act(press, None, shown, trigger_mode="multiple", postprocess=False, **QUIET)


def _item(asking: Asking, query: Mapping[str, str]) -> str | None:
    return query.get("group" if asking.task == "ranking" else "pair") or None


def _updates(answer: Answer) -> list[Any]:
    parts: Sequence[str | None] = (answer.view, answer.figures, answer.last, answer.said)
    return [gr.skip() if part is None else part for part in parts]


def _settings(studio: Studio, asking: Asking, nameless: bool) -> list[Any]:
    """The controls as the address has them; a name can be typed where nobody logs in."""
    offered = [("All labellers", "")]
    for row in labels.labellers(studio.store):
        who = row.labeller
        under = f"{isolated(row.constitution_name)} {who.constitution[:8]}"
        words = f"{isolated(who.model)} · {who.method} · {under}"
        offered.append((words, who.key))
    known = asking.labeller if asking.labeller in [key for _, key in offered] else ""
    return [
        asking.task,
        asking.axis,
        gr.update(value=asking.who, visible=nameless),
        asking.mode,
        gr.update(choices=offered, value=known),
        asking.reveal,
    ]
