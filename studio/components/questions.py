"""The tab “Questions” of the Elo page: multiple choices that models were put, and where one is put them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.configs import Measuring
from pipeline.errors import UserError
from studio.components import question_figures
from studio.components.chat_models import called, speakers
from studio.components.elo_runs import drawn_when_seen, runs_html
from studio.components.elo_section import QUIET, section
from studio.components.problem import told
from studio.components.run_controls import REFRESH
from studio.components.training_sources import Options
from studio.context import Studio, author
from studio.escaping import exact
from studio.jobs import measuring
from studio.jobs.stages import EVALS

RUNS = "Runs with questions"
VIEW = "questions"
LEAD = """<p>Questions whose right answer is known, as the paper's 438 of helpfulness, honesty and
harmlessness: a model that is to give feedback should find it. Each line of a table is one run.</p>"""
EMPTY = """<div class="cai-empty"><h2>No model has answered questions yet</h2>
<p>Can a model tell the more helpful, honest and harmless answer from the other? The paper asks models of each
size (figure 4), and whether they are right as often as they say (figure 9).</p><ol>
<li><b>Bring a file</b> of questions: JSONL rows of <code>prompt</code>, <code>corrects</code> and
<code>incorrects</code>, the answers letters or whole responses.</li>
<li><b>Choose a model</b> below and put them; once more for each model to compare.</li>
<li>Or in a terminal: <code>cai evals --file evals.jsonl --model MODEL --run runs/evals</code>, and bring that
run in on the <a href="runs">Runs</a> page.</li></ol></div>"""


def build(blocks: gr.Blocks, studio: Studio, tab: gr.Tab) -> None:
    """Put the figures and the form on the page's `tab`."""
    empty = gr.HTML(EMPTY, padding=False, elem_id="questions-empty")
    with gr.Column(visible=False) as body:
        gr.HTML(LEAD, padding=False)
        with gr.Row(elem_classes="cai-columns"):
            with gr.Column(min_width=480):
                right = section("hhh", "Right answers", question_figures.ACCURACY, question_figures.accuracy)
            with gr.Column(min_width=480):
                sure = section(
                    "sure", "Calibration", question_figures.CALIBRATION, question_figures.calibration
                )
    with gr.Row(elem_classes="cai-columns"):
        with gr.Column(scale=2, min_width=400, elem_classes="cai-panel"):
            form = _form()
        with gr.Column(scale=3, min_width=480):
            listed = gr.HTML(padding=False, elem_id="evals-runs")
    offered = gr.State(([], ""))
    shown = [empty, body, *right.outputs, *sure.outputs]

    def show() -> list[Any]:
        every = question_figures.measured(studio.store, studio.jobs.folder)
        head = [gr.update(visible=not every), gr.update(visible=bool(every))]
        if not every:
            return [*head, *(gr.skip() for _ in shown[len(head) :])]
        return [*head, *right.render(every), *sure.render(every)]

    def offer(before: tuple[Options, str]) -> list[Any]:
        known, html = speakers(studio), runs_html(studio, EVALS, RUNS)
        return [
            gr.skip() if (known, html) == tuple(before) else (known, html),
            gr.skip() if known == before[0] else gr.update(choices=known),
            gr.skip() if html == before[1] else html,
        ]

    def start(request: gr.Request, file: str | None, model: str | None, name: str) -> tuple[str, Any]:
        with told() as mistake:
            if not file:
                raise UserError("choose a file of questions")
            asked = Measuring(model=str(model or "bundled").strip())
            who = called(asked.model, speakers(studio))
            measuring.prepare(studio.store, studio.jobs.folder, Path(file), asked, who, name, author(request))
            studio.jobs.wake()
            return "", runs_html(studio, EVALS, RUNS)
        return mistake.html, gr.skip()

    drawn_when_seen(blocks, studio, tab, EVALS, show, [], shown)
    blocks.load(offer, offered, [offered, form["model"], listed], **QUIET)
    gr.Timer(REFRESH).tick(offer, offered, [offered, form["model"], listed], **QUIET)
    given = [form["file"], form["model"], form["name"]]
    form["start"].click(start, given, [form["problem"], listed], **QUIET)
    form["model"].change(_command, form["model"], form["command"], **QUIET)


def _form() -> dict[str, Any]:
    gr.HTML('<h2 class="cai-heading">Put questions to a model</h2>', padding=False)
    file = gr.File(label="File of questions", height=140, elem_id="evals-file")
    model = gr.Dropdown(
        [("bundled", "bundled")],
        value="bundled",
        allow_custom_value=True,
        label="Model",
        info="a checkpoint of the session, a hub id or a server's URL#MODEL",
        elem_id="evals-model",
    )
    name = gr.Textbox(label="Name of the run", info="empty: named by file and model", elem_id="evals-name")
    with gr.Row(elem_classes="cai-actions"):
        start = gr.Button("Put them", variant="primary", elem_id="evals-start", min_width=140)
    problem = gr.HTML(padding=False, elem_id="evals-problem")
    command = gr.HTML(_command("bundled"), padding=False, elem_id="evals-command", elem_classes="cai-command")
    return {
        "file": file,
        "model": model,
        "name": name,
        "start": start,
        "problem": problem,
        "command": command,
    }


def _command(model: str | None) -> str:
    """The same in a terminal. A checkpoint's path is this machine's, and long."""
    named = str(model or "bundled")
    said = "MODEL" if named.startswith("/") else named
    line = shlex.join(["cai", "evals", "--file", "FILE", "--model", said, "--run", "DIR"])
    return f'<p class="cai-muted">The same in a terminal: <code>{exact(line)}</code></p>'
