"""Try it: one prompt, one answer, criticised and revised under the saved version and under the draft.

Nothing of a trial is stored. Paper: section 3.1, one round.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from pipeline.configs import Drawing
from pipeline.constitution import usable
from pipeline.critique import Draft
from pipeline.errors import UserError
from pipeline.prompts import from_text
from pipeline.records import Constitution
from studio import forms
from studio.components import chain_view, draft_state
from studio.components.constitution_files import FLUSH
from studio.components.notice import content_notice
from studio.components.principle_cards import looked_at
from studio.components.problem import as_html, told
from studio.context import Studio
from studio.escaping import escape, isolated
from studio.listening import on_change
from studio.live import Moment, Writing
from studio.store import constitutions

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
STREAM = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
FRAME = 0.05  # seconds between two pictures of a text that streams
FAILED = "The trial failed here: the studio's terminal shows why."
DRAWN = ("drawn by weight", "")

LEAD = """<p class="cai-muted">One prompt, answered once; then one round of critique and revision of that
answer under the saved version and under this draft, with the same seed. Nothing of it is stored.</p>"""


@dataclass
class Trial:
    """One trial on its way, so that Stop can reach it."""

    now: Writing | None = None
    stopped: bool = False

    def stop(self) -> None:
        """End within one token."""
        self.stopped = True
        if self.now:
            self.now.stop()


@dataclass
class Sides:
    """What is compared: each side a constitution, or the words for why there is none."""

    saved: Constitution | str
    draft: Constitution | str
    titles: tuple[str, str] = ("Saved version", "This draft")


def trial(studio: Studio, editor: Any) -> None:
    """Put a trial of the constitution that the editor shows on a page."""
    content_notice()
    running: dict[str, Trial] = {}  # by browser tab
    with gr.Column(elem_classes="cai-behind-notice"):
        gr.HTML(LEAD, padding=False)
        prompt = gr.Textbox(
            label="Prompt",
            lines=2,
            max_lines=8,
            placeholder="What a person might ask, to see what your words change; then Shift+Enter",
            elem_id="trial-prompt",
        )
        with gr.Row():
            principle = gr.Dropdown(
                [DRAWN],
                value="",
                label="Principle",
                info="the same one on both sides, or as each draws",
                elem_id="trial-principle",
            )
            controls = forms.controls(Drawing, ("model", "max_tokens", "seed"), {"model": ["bundled"]})
        controls["max_tokens"].value = 128
        with gr.Row(elem_classes="cai-actions"):
            run = gr.Button("Run both", variant="primary", elem_id="trial-run", min_width=120)
            stop = gr.Button("Stop", elem_id="trial-stop", min_width=120, interactive=False)
        problem = gr.HTML(padding=False, elem_id="trial-problem")
        answer = gr.HTML(padding=False, elem_id="trial-answer")
        with gr.Row(equal_height=False):
            left = gr.HTML(padding=False, elem_id="trial-saved", elem_classes="cai-side")
            right = gr.HTML(padding=False, elem_id="trial-draft", elem_classes="cai-side")

    def go(request: gr.Request, shown: str, text: str, only: str, *values: Any) -> Iterator[list[Any]]:
        one = Trial()
        tab = str(request.session_hash)
        before, running[tab] = running.get(tab), one
        if before:
            before.stop()
        end = [gr.update(interactive=True), gr.update(interactive=False)]
        try:
            with told() as mistake:
                sides = both_sides(studio, looked_at(shown), only)
                drawing = forms.read(Drawing, dict(zip(controls, values, strict=True)))
                yield from _pictures(studio, one, sides, text, drawing)
            yield [mistake.html if mistake.html else gr.skip(), *[gr.skip()] * 3, *end]
        except Exception:
            # A bug: the terminal shows it. The page must not wait for its end forever.
            yield [as_html(FAILED), *[gr.skip()] * 3, *end]
            raise
        finally:  # also where the tab was closed
            one.stop()
            if running.get(tab) is one:
                del running[tab]

    def halt(request: gr.Request) -> None:
        if one := running.get(str(request.session_hash)):
            one.stop()

    def choices(shown: str, chosen: str) -> Any:
        state = draft_state.read(studio.store, looked_at(shown))
        listed = [
            (isolated(p["title"] or p["id"]), p["id"]) for p in (state.body or {}).get("principles", [])
        ]
        known = {id for _, id in listed}
        return gr.update(choices=[DRAWN, *listed], value=chosen if chosen in known else "")

    shown = [problem, answer, left, right, run, stop]
    inputs = [editor, prompt, principle, *controls.values()]
    gr.on([run.click, prompt.submit], go, inputs, shown, js=FLUSH, **STREAM)
    stop.click(halt, **QUIET)
    on_change([editor.change], choices, [editor, principle], principle, **QUIET)


def both_sides(studio: Studio, name: str, only: str) -> Sides:
    """The saved version and the draft, each reduced to the principle that was chosen, if one was.

    Raises UserError where the draft is not valid, or nothing on either side can be tried.
    """
    state = draft_state.read(studio.store, name)
    draft: Constitution | str = draft_state.content(state)
    saved: Constitution | str = constitutions.latest(studio.store, name) or "No version was saved yet."
    if isinstance(saved, Constitution) and saved == draft:
        draft = "The draft is the saved version: change a principle and run again to see a difference."
    # By the version that people know, and not that of what is left of it with one principle.
    titles = _title("Saved version", saved), _title("This draft", draft)
    sides = Sides(_side(saved, only), _side(draft, only), titles)
    if isinstance(sides.saved, str) and isinstance(sides.draft, str):
        raise UserError(sides.draft if sides.saved.startswith("No version") else sides.saved)
    return sides


def _side(text: Constitution | str, only: str) -> Constitution | str:
    if isinstance(text, str):
        return text
    if only:
        found = [p for p in text.principles if p.id == only]
        if not found or found[0].critique_request is None:
            return "This side has no such principle, or it asks for no critique."
        # A person chose it: that it is off, or weighs nothing, is about drawing.
        return replace(text, principles=(replace(found[0], enabled=True, weight=1.0),))
    try:
        usable(text, "critique")
    except UserError as error:
        return str(error)
    return text


def _pictures(studio: Studio, one: Trial, sides: Sides, text: str, drawing: Drawing) -> Iterator[list[Any]]:
    """The trial as it is written: answer, saved side, draft side."""
    if not text.strip():
        raise UserError("type a prompt first")
    prompt = from_text(text)
    draft = Draft(prompt.id, prompt.messages)
    waiting = '<p class="cai-muted">waits for its turn</p>'
    busy = [gr.update(interactive=False), gr.update(interactive=True)]
    yield [
        "",
        "",
        _panel(sides.titles[0], sides.saved, waiting),
        _panel(sides.titles[1], sides.draft, waiting),
        *busy,
    ]
    one_side = sides.saved if isinstance(sides.saved, Constitution) else sides.draft
    if isinstance(one_side, str):
        return
    moment = Moment()
    for moment in _moments(studio, one, draft, one_side, replace(drawing, revisions=0)):
        html = chain_view.steps(moment.steps, {}) + chain_view.step_in_progress(moment)
        yield [gr.skip(), html, *[gr.skip()] * 4]
    if one.stopped or not moment.steps:
        return
    draft = replace(draft, steps=moment.steps)
    for at, (title, side) in enumerate(zip(sides.titles, (sides.saved, sides.draft), strict=True)):
        if isinstance(side, str) or one.stopped:
            continue
        principles = {p.id: p for p in side.principles}
        for moment in _moments(studio, one, draft, side, replace(drawing, revisions=1)):
            # The answer that the round is about stands above both sides.
            done = chain_view.steps(moment.steps, principles, since=len(draft.steps))
            html = _panel(title, side, done + chain_view.step_in_progress(moment))
            yield [
                gr.skip(),
                gr.skip(),
                *[html if at == column else gr.skip() for column in (0, 1)],
                *[gr.skip()] * 2,
            ]


def _moments(
    studio: Studio, one: Trial, draft: Draft, side: Constitution, drawing: Drawing
) -> Iterator[Moment]:
    """What one part of the trial shows until it ends. Raises UserError where it fails."""
    one.now = writing = studio.live.write_aside(draft, side, drawing)
    try:
        if one.stopped:  # before there was anything to stop
            return
        moment = writing.moment()
        while moment.status == "running":
            yield moment
            moment = writing.moment(moment.serial, timeout=1.0)
            time.sleep(FRAME)
        yield moment
    finally:
        writing.stop()
    if moment.status == "failed":
        raise UserError(moment.detail)


def _panel(title: str, side: Constitution | str, html: str) -> str:
    if isinstance(side, str):
        return f'<h3>{title}</h3><p class="cai-muted">{escape(side)}</p>'
    return f"<h3>{title}</h3>{html}"


def _title(name: str, whole: Constitution | str) -> str:
    return name if isinstance(whole, str) else f"{name} <code>{escape(whole.version[:8])}</code>"
