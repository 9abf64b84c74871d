"""The battles of the arena page: who competes on what, two answers as they come, and the keys to vote."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from pipeline.chat import Chatting
from pipeline.errors import UserError
from pipeline.records import Axis
from studio import arena_acts, battling, forms
from studio.battling import ANY
from studio.components import arena_view, audit_view
from studio.components.arena_bar import battle_bar
from studio.components.audit_asking import AXES
from studio.components.chat_models import speakers
from studio.components.model_panel import model_panel
from studio.components.problem import as_html, told
from studio.context import Studio, author
from studio.store import battles, settings

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
STREAM = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
VIEW_SCRIPT = Path(audit_view.__file__).with_suffix(".js")
FRAME = 0.1  # seconds between two pictures of the texts that stream
FORM = "arena.form"
ANYBODY = ("any of the session", ANY)
SAMPLING = ("max_tokens", "temperature", "top_p", "form")
ASKED = ("axis", "one", "other", *SAMPLING)
LEAVE = "() => document.activeElement?.blur()"  # the keys are for the vote now
GONE = "This session has no battle of that id: it may be of another session. Press n for a new one."


def battle_tab(blocks: gr.Blocks, studio: Studio) -> None:
    """Put the battles on the page."""
    current = gr.Textbox(visible=False)
    chosen = _chosen()
    with gr.Row(elem_classes="cai-arena-ask"):
        prompt = gr.Textbox(
            label="Prompt",
            placeholder="A prompt; Enter asks both. Empty: a held-out starter prompt is drawn",
            lines=1,
            max_lines=8,
            scale=5,
            container=False,
            show_label=False,
            elem_id="arena-prompt",
        )
        ask = gr.Button("Ask both", variant="primary", elem_id="arena-ask", min_width=120, scale=0)
    with gr.Row(elem_classes="cai-arena-more"):
        with gr.Column(min_width=300), gr.Accordion("Sampling", open=False), gr.Row():
            knobs = forms.controls(Chatting, SAMPLING, {}, "arena")
        with gr.Column(min_width=300):
            model_panel(blocks, studio)
    controls = dict(zip(ASKED, (*chosen, *knobs.values()), strict=True))
    view = gr.HTML(js_on_load=VIEW_SCRIPT.read_text(encoding="utf-8"), padding=False, elem_id="battle")
    with gr.Column(elem_classes="cai-judging"):
        figures = gr.HTML(padding=False, elem_id="battle-figures")
        bar = battle_bar()
        said = gr.HTML(padding=False, elem_id="battle-said")
    inputs, picture = list(controls.values()), [view, figures, ask]
    filled = gr.State("")  # what was put into the prompt's box last: any other text there was typed since

    def begin(request: gr.Request, text: str, *values: Any) -> list[Any]:
        with told() as mistake:
            id, asked = _start(studio, text or "", values, author(request))
            return [id, asked, "", asked]
        return [gr.skip(), gr.skip(), mistake.html, gr.skip()]

    def press(event: gr.EventData, request: gr.Request, typed: str, before: str, *values: Any) -> list[Any]:
        asked: Mapping[str, Any] = event._data
        action, id, who = str(asked["action"]), str(asked["item"]), author(request)
        with told() as mistake:
            if action == "next":
                id, text = _start(studio, "", values, who)
                return [id, gr.skip(), "", gr.skip()] if typed not in ("", before) else [id, text, "", text]
            if action == "stop":
                studio.battles.stop(id)
            elif action == "undo":
                id = arena_acts.take_back(studio, who, str(asked.get("last") or ""))
            elif action in get_args(battles.Vote):
                arena_acts.vote(studio, id, action, who)  # type: ignore[arg-type]  # one of them
            return [id, gr.skip(), "", gr.skip()]
        return [gr.skip(), gr.skip(), mistake.html, gr.skip()]

    def watch(request: gr.Request, id: str, axis: Axis) -> Iterator[list[Any]]:
        yield from pictures(studio, id, axis, author(request))

    def arrive(request: gr.Request) -> list[Any]:
        id = request.query_params.get("battle") or arena_acts.unfinished(studio, author(request))
        return [id, *_remembered(studio)]

    show = {"fn": watch, "inputs": [current, controls["axis"]], "outputs": picture, **STREAM}
    asked = [current, prompt, said, filled]
    gr.on([ask.click, prompt.submit], None, None, None, js=LEAVE)
    gr.on([ask.click, prompt.submit], begin, [prompt, *inputs], asked, **QUIET).then(**show)
    bar.act(press, [prompt, filled, *inputs], asked, trigger_mode="multiple", **QUIET).then(**show)
    controls["axis"].input(**show)
    blocks.load(arrive, None, [current, *inputs], **QUIET).then(**show)


def pictures(studio: Studio, id: str, axis: Axis, who: str) -> Iterator[list[Any]]:
    """The view, the figures and the button until nothing is written in a battle; parts that changed only."""
    replies = studio.battles.replies(id)  # first: what ends after this is whole in the store
    battle = battles.load(studio.store, id) if id else None
    last = battles.last_voted(studio.store, who)
    figures = arena_view.figures_html(battles.counts(studio.store, who, axis), who, axis)
    if battle is None:
        inside = as_html(GONE) if id else arena_view.EMPTY
        yield [audit_view.nothing_html(inside, "battle", {}, last), figures, gr.update(interactive=True)]
        return
    known = speakers(studio)
    if replies:
        moments = [reply.moment() for reply in replies]
        yield [
            arena_view.battle_html(battle, moments, known, who, last),
            figures,
            gr.update(interactive=False),
        ]
        while any(moment.status == "writing" for moment in moments):
            at = next(i for i, moment in enumerate(moments) if moment.status == "writing")
            replies[at].moment(moments[at].serial, timeout=1.0)
            moments = [reply.moment() for reply in replies]
            yield [arena_view.battle_html(battle, moments, known, who, last), gr.skip(), gr.skip()]
            time.sleep(FRAME)
        battle = battles.load(studio.store, id) or battle
    yield [arena_view.battle_html(battle, (), known, who, last), figures, gr.update(interactive=True)]


def _chosen() -> list[Any]:
    """The question, and both models."""
    with gr.Row(elem_classes="cai-asking"):
        axis = gr.Radio(AXES, value="harmless", label="Question", elem_id="arena-axis")
        models = [
            gr.Dropdown([ANYBODY], value=ANY, label=label, allow_custom_value=True, elem_id=f"arena-{name}")
            for label, name in (("Model", "one"), ("against", "other"))
        ]
    return [axis, *models]


def _start(studio: Studio, text: str, values: Sequence[Any], who: str) -> tuple[str, str]:
    """Begin a battle as the controls ask for it, kept for the next visit; returns its id, and the prompt."""
    given = dict(zip(ASKED, values, strict=True))
    chatting = forms.read(Chatting, {name: given[name] for name in SAMPLING})
    settings.put(studio.store, FORM, json.dumps(given))
    axis, seed = _axis(values), secrets.randbelow(battling.LARGEST_SEED)
    if text.strip():
        prompt = battling.typed(text, axis)
    else:
        prompt = battling.next_prompt(battles.asked(studio.store, who, axis), axis, seed)
    models = battling.draw(
        str(given["one"] or ANY), str(given["other"] or ANY), [value for _, value in speakers(studio)], seed
    )
    return studio.battles.start(prompt, models, chatting, axis, seed, who), prompt.messages[-1].content


def _axis(values: Sequence[Any]) -> Axis:
    axis: Axis = values[ASKED.index("axis")]
    if axis not in get_args(Axis):
        raise UserError("choose a question first")
    return axis


def _remembered(studio: Studio) -> list[Any]:
    """The controls as they were last used."""
    saved: dict[str, Any] = json.loads(settings.get(studio.store, FORM) or "{}")
    updates = [gr.update(value=saved[name]) if name in saved else gr.update() for name in ASKED]
    for at in (ASKED.index("one"), ASKED.index("other")):
        updates[at]["choices"] = [ANYBODY, *speakers(studio)]
    return updates
