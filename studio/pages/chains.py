"""Live chains: a prompt, and the model answers, criticises itself and revises (paper section 3.1).

Headless: `cai critique`.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from pipeline import configs, prompts
from pipeline.bundled import CRITIC
from pipeline.configs import Drawing
from pipeline.errors import UserError
from studio import forms
from studio.components import branching, chain_filters, chain_view
from studio.components.chain_filters import Offered
from studio.components.chain_list import PAGE, chain_list
from studio.components.model_panel import model_panel
from studio.components.notice import content_notice
from studio.components.problem import told
from studio.context import Studio, author
from studio.escaping import escape
from studio.listening import on_change
from studio.store import chains, constitutions, families, settings, verdicts
from studio.store.chains import StoredChain

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
STREAM = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
FRAME = 0.05  # seconds between two pictures of a text that streams
FORM = "chains.form"

MAIN = ("model", "revisions", "max_tokens", "seed")
MORE = ("critiques", "critic", "temperature", "top_p", "form")

# Gradio's pages have a <base>, so the path must be said.
LINK = """(id) => {
  if (!id) return;
  const query = new URLSearchParams(location.search);
  query.set("chain", id);
  query.delete("with");
  history.replaceState(null, "", `${location.pathname}?${query}`);
}"""
NARROWED = """(value) => {
  const query = new URLSearchParams(location.search);
  if (value) query.set("NAME", value); else query.delete("NAME");
  history.replaceState(null, "", query.size ? `${location.pathname}?${query}` : location.pathname);
}"""
# A text that was typed and not run yet outlives a refresh, in this tab.
PICKED = "(text) => { sessionStorage.setItem('cai-prompt', text); return text; }"
KEEP_TYPED = "(text) => { sessionStorage.setItem('cai-prompt', text); }"
READ_TYPED = "(text) => sessionStorage.getItem('cai-prompt') ?? text"


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    with gr.Row(elem_classes="cai-behind-notice cai-columns"):
        with gr.Column(scale=3, min_width=420):
            current = gr.Textbox(visible=False)
            composer = _composer(studio)
            with gr.Row(elem_classes="cai-actions"):
                run = gr.Button("Run", variant="primary", elem_id="run", min_width=120)
                stop = gr.Button("Stop", elem_id="stop", min_width=120, interactive=False)
                go_on = gr.Button("Continue", elem_id="continue", min_width=120, interactive=False)
            problem = gr.HTML(padding=False, elem_id="problem")
            heading = gr.HTML(padding=False, elem_id="heading")
            family = gr.HTML(padding=False, elem_id="family")
            compare = gr.HTML(padding=False, elem_id="compare")
            steps = gr.HTML(js_on_load=branching.SCRIPT, padding=False, elem_id="steps")
            view = [heading, steps, gr.HTML(padding=False, elem_id="step-in-progress")]
        with gr.Column(scale=1, min_width=300):
            _list(blocks, studio, current)
            model_panel(blocks, studio)

    shown = [*view, run, stop, go_on]
    inputs = list(composer.values())

    def start(request: gr.Request, id: str, *values: Any) -> tuple[Any, str]:
        with told() as mistake:
            if studio.live.writing(id):  # two chains would stream into one view
                raise UserError("this chain is still being written: stop it first, or open another tab")
            return _start(studio, dict(zip(composer, values, strict=True)), author(request)), ""
        return gr.skip(), mistake.html

    def linked(request: gr.Request) -> str:
        return str(request.query_params.get("chain", ""))

    def proceed(id: str) -> str:
        with told() as mistake:
            studio.live.go_on(id)
        return mistake.html

    def watch(id: str) -> Iterator[list[Any]]:
        yield from _watch(studio, id)

    def branch(event: gr.EventData, request: gr.Request) -> tuple[Any, str]:
        with told() as mistake:
            asked: dict[str, Any] = event._data
            at, text = int(asked["position"]), asked["text"]
            return studio.live.branch(str(asked["chain"]), at, text, author(request)), ""
        return gr.skip(), mistake.html

    def kin(request: gr.Request, id: str) -> list[str]:
        return _kin(studio, id, dict(request.query_params))

    def remembered() -> list[Any]:
        saved = json.loads(settings.get(studio.store, FORM) or "{}")
        names = constitutions.names(studio.store)
        if saved.get("constitution") not in names:
            saved.pop("constitution", None)
        updates = {name: gr.update(value=saved[name]) if name in saved else gr.update() for name in composer}
        updates["constitution"]["choices"] = names
        return list(updates.values())

    gr.on(
        [run.click, composer["prompt"].submit], start, [current, *inputs], [current, problem], **QUIET
    ).then(None, current, js=LINK).then(watch, current, shown, **STREAM)
    go_on.click(proceed, current, problem, **QUIET).then(watch, current, shown, **STREAM)
    stop.click(studio.live.stop, current, **QUIET)
    steps.branch(branch, None, [current, problem], **QUIET).then(None, current, js=LINK).then(
        watch, current, shown, **STREAM
    )
    on_change([current.change], kin, current, [family, compare], **QUIET)
    steps.change(kin, current, [family, compare], **QUIET)
    blocks.load(linked, None, current, **QUIET).then(watch, current, shown, **STREAM)
    blocks.load(remembered, None, inputs, **QUIET).then(None, inputs[0], inputs[0], js=READ_TYPED)
    inputs[0].input(None, inputs[0], js=KEEP_TYPED)


def _composer(studio: Studio) -> dict[str, Any]:
    """The controls by the name of what they set, in the order of their values."""
    prompt = gr.Textbox(
        label="Prompt",
        lines=2,
        max_lines=12,
        placeholder="Type what a person might ask, then Shift+Enter",
        elem_id="prompt",
        autofocus=True,
    )
    # Held-out prompts are for measuring: nobody should meet them here and train on the answers.
    offered = [p for kind in prompts.SETS.values() for p in prompts.starter(kind) if p.split == "train"]
    texts = [prompt.messages[-1].content for prompt in offered if len(prompt.messages) == 1]
    starter = gr.Dropdown(["", *texts], value="", label="Or pick one (type to find)", elem_id="starter")
    starter.input(None, starter, prompt, js=PICKED)
    names = constitutions.names(studio.store)
    with gr.Row():
        constitution = gr.Dropdown(
            names,
            value="harmless" if "harmless" in names else next(iter(names), None),
            label="Constitution",
            info="its saved version; edit it on the Constitution page",
            elem_id="constitution",
        )
        main = forms.controls(Drawing, MAIN, {"model": ["bundled"]})
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            more = forms.controls(Drawing, MORE, {"critic": ["", CRITIC, "bundled"]})
        command = gr.HTML(padding=False, elem_id="command", elem_classes="cai-command")
    composer = {"prompt": prompt, "constitution": constitution, **main, **more}
    drawn = [constitution, *main.values(), *more.values()]
    names_drawn = ["constitution", *main, *more]
    gr.on(
        [control.change for control in drawn],
        lambda *values: _command(dict(zip(names_drawn, values, strict=True))),
        drawn,
        command,
        **QUIET,
    )
    return composer


def _start(studio: Studio, values: Mapping[str, Any], who: str) -> str:
    drawing = forms.read(Drawing, {name: values[name] for name in (*MAIN, *MORE)})
    if not str(values["prompt"] or "").strip():
        raise UserError("type a prompt first, or pick one")
    constitution = constitutions.latest(studio.store, str(values["constitution"] or ""))
    if constitution is None:
        raise UserError("choose a constitution")
    id = studio.live.start(prompts.from_text(values["prompt"]), constitution, drawing, who)
    # The settings stay for the next visit, whichever tab it is from; each prompt is its own.
    kept = {name: value for name, value in values.items() if name != "prompt"}
    settings.put(studio.store, FORM, json.dumps(kept))
    return id


def _command(values: Mapping[str, Any]) -> str:
    with told() as mistake:
        drawing = forms.read(Drawing, {name: values[name] for name in (*MAIN, *MORE)})
        options = shlex.join(configs.as_arguments(drawing))
        name = shlex.quote(str(values["constitution"] or "FILE"))
        line = f"cai critique --constitution {name} --prompts PROMPTS.jsonl --run DIR {options}"
        return f'<p class="cai-muted">The same for a file of prompts: <code>{escape(line)}</code></p>'
    return mistake.html


def _watch(studio: Studio, id: str) -> Iterator[list[Any]]:
    """Pictures of a chain until it ends; each part is sent only when it changed."""
    chain = chains.load_chain(studio.store, id) if id else None
    if chain is None:
        missing = f'<p class="cai-muted">This session has no chain {escape(id)}.</p>' if id else ""
        yield [missing, "", "", *_can()]
        return
    with told() as mistake:
        version = constitutions.load_version(studio.store, chain.constitution)
    principles = {} if mistake.html else {principle.id: principle for principle in version.principles}
    writing = studio.live.writing(id)
    if writing:
        moment = writing.moment()
        yield [
            chain_view.heading(chain, "running"),
            chain_view.steps(moment.steps, principles),
            "",
            *_can(stop=True),
        ]
        while moment.status == "running":
            before, moment = moment, writing.moment(moment.serial, timeout=1.0)
            new = len(moment.steps) != len(before.steps)
            done = chain_view.steps(moment.steps, principles) if new else gr.skip()
            yield [gr.skip(), done, chain_view.step_in_progress(moment), gr.skip(), gr.skip(), gr.skip()]
            time.sleep(FRAME)
    chain = chains.load_chain(studio.store, id) or chain
    verdict = verdicts.load(studio.store, id).verdict
    yield _ended(chain, principles, verdict)


def _ended(chain: StoredChain, principles: chain_view.Principles, verdict: str) -> list[Any]:
    why = f'<div class="cai-error" role="status">{escape(chain.detail)}</div>' if chain.detail else ""
    return [
        chain_view.heading(chain, chain.status, verdict),
        chain_view.steps(
            chain.steps,
            principles,
            lambda at: branching.step_acts(chain.id, at, chain.steps, chain.critic),
        ),
        why,
        *_can(go_on=chain.status in ("stopped", "failed", "interrupted")),
    ]


def _kin(studio: Studio, id: str, query: Mapping[str, str]) -> list[str]:
    """The family of a chain; and where the page was opened to compare it with one of them, both."""
    kin = families.family(studio.store, id)
    beside = query.get("with", "") if query.get("chain") == id else ""
    left, right = chains.load_chain(studio.store, id), chains.load_chain(studio.store, beside)
    if left is None or right is None or beside not in {member.id for member in kin}:
        lost = '<p class="cai-error" role="status">These two are not of one family: nothing to compare.</p>'
        return [branching.family_html(kin, id), lost if beside else ""]
    with told() as mistake:
        version = constitutions.load_version(studio.store, left.constitution)
    principles = {} if mistake.html else {principle.id: principle for principle in version.principles}
    return [branching.family_html(kin, id, beside), branching.compare_html(left, right, principles, kin)]


def _can(stop: bool = False, go_on: bool = False) -> list[Any]:
    """The buttons Run, Stop and Continue as they may be pressed now."""
    return [gr.update(interactive=not stop), gr.update(interactive=stop), gr.update(interactive=go_on)]


def _list(blocks: gr.Blocks, studio: Studio, current: gr.Textbox) -> None:
    """The session's chains, searched and filtered."""
    wanted = [chain_filters.search()]
    with gr.Accordion("Filters", open=False):
        wanted += chain_filters.narrowing()
    rows = gr.State(PAGE)
    listed = gr.HTML(padding=False, elem_id="chains")
    more = gr.Button("Show more", size="sm", visible=False)

    def render(now: str, many: int, id: str, known: Offered, *values: str) -> list[Any]:
        if not now:  # the filters of the address have not arrived: all chains would flash up
            return [gr.skip()] * len(shown)
        filters = chain_filters.read(values)
        fresh, beyond = chain_list(studio.store, filters, many, id)
        if fresh == now:
            return [gr.skip()] * len(shown)
        return [fresh, gr.update(visible=beyond), *chain_filters.menus(studio.store, filters, known)]

    def arrive(request: gr.Request, many: int) -> list[Any]:
        query = dict(request.query_params)
        filters = chain_filters.asked(query)
        fresh, beyond = chain_list(studio.store, filters, many, query.get("chain", ""))
        return [fresh, gr.update(visible=beyond), *chain_filters.updates(studio.store, filters)]

    known = gr.State({})
    inputs = [listed, rows, current, known, *wanted]
    shown = [listed, more, known, *wanted[1 : 1 + len(chain_filters.MENUS)]]
    gr.on(
        [*(control.change for control in wanted), current.change, gr.Timer(2).tick],
        render,
        inputs,
        shown,
        **QUIET,
    )
    more.click(lambda many: many + PAGE, rows, rows, **QUIET).then(render, inputs, shown, **QUIET)
    blocks.load(arrive, rows, [listed, more, *wanted], **QUIET)
    for name, control in zip(chain_filters.NAMES, wanted, strict=True):
        control.change(None, control, js=NARROWED.replace("NAME", name))
