"""“Get pairs”: sampled from a model, or from a file of comparisons that people made (paper section 4.1).

Headless: `cai pairs --prompts FILE --run DIR`; `cai label --pairs FILE` reads the same files as the import.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import gradio as gr

from pipeline import configs
from pipeline.configs import Answering
from pipeline.records import Axis
from studio import forms
from studio.components import run_view
from studio.components.problem import as_html, told
from studio.components.prompt_source import SOURCES, asked, prompt_source
from studio.context import Studio
from studio.escaping import escape
from studio.jobs import batch
from studio.jobs.human import Brought, import_comparisons
from studio.progress import plural

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
MAIN = ("model", "model_b", "samples", "max_tokens")
MORE = ("seed", "temperature", "top_p", "form")
ANSWERED = (*MAIN, *MORE)
LOOK = 0.2  # seconds between two looks at an import
AXES: list[str] = list(get_args(Axis))
FORMS = """<p class="cai-muted">A file of hh-rlhf (also .gz), of TRL (<code>prompt</code>,
<code>chosen</code>, <code>rejected</code>), ShareGPT pairs, an arena or ICAI table (CSV), or our own
<code>pairs.jsonl</code>. The choices in it are kept as imported, under the file's name, and never counted as
yours.</p>"""


@dataclass(frozen=True)
class PairCard:
    """The controls: the sampling form with its button, and those of the import."""

    form: dict[str, Any]
    start: gr.Button
    problem: gr.HTML
    file: gr.File
    axis: gr.Dropdown
    bring: gr.Button
    said: gr.HTML


def pair_card(studio: Studio) -> PairCard:
    """Put the card on a page."""
    gr.HTML('<h2 class="cai-heading">1 · Get pairs</h2>', padding=False)
    with gr.Tabs():
        with gr.Tab("Sample from a model"):
            form, start, problem = _sampling(studio)
        with gr.Tab("Import human comparisons"):
            gr.HTML(FORMS, padding=False)
            file = gr.File(label="File of comparisons", height=140, elem_id="comparisons")
            axis = gr.Dropdown(
                AXES,
                value="harmless",
                label="What was asked",
                info="which response is the more harmless one, or the more helpful one",
                elem_id="import-axis",
            )
            with gr.Row(elem_classes="cai-actions"):
                bring = gr.Button("Import the comparisons", variant="primary", elem_id="bring", min_width=200)
            said = gr.HTML(padding=False, elem_id="brought")
    return PairCard(form, start, problem, file, axis, bring, said)


def _sampling(studio: Studio) -> tuple[dict[str, Any], gr.Button, gr.HTML]:
    sources = prompt_source(studio)
    knobs: dict[str, Any] = {}
    for two in (MAIN[:2], MAIN[2:]):
        with gr.Row():
            knobs |= forms.controls(
                Answering, two, {"model": ["bundled"], "model_b": ["", "bundled"]}, "sample"
            )
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            knobs |= forms.controls(Answering, MORE, {}, "sample")
        name = gr.Textbox(label="Name of the run", info="empty: named by its size and model")
    with gr.Row(elem_classes="cai-actions"):
        start = gr.Button("Sample the pairs", variant="primary", elem_id="sample", min_width=160)
    problem = gr.HTML(padding=False, elem_id="sample-problem")
    line = _command(*(control.value for control in knobs.values()))
    command = gr.HTML(line, padding=False, elem_id="sample-command", elem_classes="cai-command")
    gr.on([c.change for c in knobs.values()], _command, list(knobs.values()), command, **QUIET)
    return {**sources, **knobs, "name": name}, start, problem


def start_pairs(studio: Studio, values: Mapping[str, Any], who: str) -> str:
    """Put what the form asks for into the queue; returns the run's id. Raises UserError."""
    answering = forms.read(Answering, {name: values[name] for name in ANSWERED})
    found = asked(studio, *(values[name] for name in SOURCES)).prompts
    folder = studio.jobs.folder
    id = batch.prepare_pairs(studio.store, folder, found, answering, str(values["name"] or ""), who)
    studio.jobs.wake()
    return id


def bring(studio: Studio, file: str | None, axis: Axis) -> Iterator[str]:
    """Import a file, and tell how far that is; at last what came in, or why nothing did.

    The import goes on where the tab is closed: it is in the session whole, or not at all.
    """
    if not file:
        yield as_html("choose a file")
        return
    path = Path(file)
    read = [0, 0.0]

    def tell(rows: int, share: float) -> None:
        read[:] = rows, share

    with told() as mistake, ThreadPoolExecutor(1) as pool:
        done = pool.submit(import_comparisons, studio.store, path, axis, tell)
        while not done.done():
            yield _far(int(read[0]), float(read[1]))
            time.sleep(LOOK)
        yield _brought(done.result(), path)
    if mistake.html:
        yield mistake.html.replace(escape(f"{path.parent}/"), "")


def _far(rows: int, share: float) -> str:
    what = "Storing the pairs" if share >= 1 else f"Reading: {plural(rows, 'row')}"
    percent = round(100 * share)
    return (
        f'<p role="status">{what}…</p><div class="cai-meter" role="progressbar" aria-label="File read" '
        f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}">'
        f'<span style="width:{percent}%"></span></div>'
    )


def _brought(done: Brought, path: Path) -> str:
    facts = [f"<b>{plural(done.pairs, 'pair')}</b> in {escape(path.name)}"]
    facts += [f"{done.pairs - done.new:,} here already"] if done.new < done.pairs else []
    facts += [f"{plural(done.judgments, 'choice')} by people"] if done.judgments else ["no choices in it"]
    facts += [f"{done.duplicates:,} repeated, merged"] if done.duplicates else []
    problems, conflicts = (
        [row.replace(f"{path.parent}/", "") for row in rows] for rows in (done.problems, done.conflicts)
    )
    return (
        f'<p role="status">{" · ".join(facts)}</p>{run_view.left_out(problems)}'
        f"{run_view.left_out(conflicts, 'with another choice than before: a tie')}"
    )


def _command(*given: Any) -> str:
    with told() as mistake:
        answering = forms.read(Answering, dict(zip(ANSWERED, given, strict=True)))
        line = shlex.join(
            ["cai", "pairs", "--prompts", "PROMPTS.jsonl", "--run", "DIR", *configs.as_arguments(answering)]
        )
        return f'<p class="cai-muted">The same in a terminal: <code>{escape(line)}</code></p>'
    return mistake.html
