"""Where prompts come from on a page: a file, a shipped set, typed lines, or those of an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from pipeline import prompts
from pipeline.errors import UserError
from pipeline.prompts import OnProgress, PromptFile, silent
from studio.components import run_view
from studio.components.problem import told
from studio.context import Studio
from studio.escaping import escape
from studio.jobs import stages
from studio.listening import on_change

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# A file of many thousand rows takes seconds: it says how far it is.
READING = {"concurrency_limit": None, "api_visibility": "private"}
PROGRESS = gr.Progress()
SOURCES = ("again", "file", "shipped", "typed")


def prompt_source(studio: Studio) -> dict[str, Any]:
    """Put the controls on a page, and under them what they hold; returns them by the names of `SOURCES`."""
    again = gr.Textbox(visible=False)
    file = gr.File(label="Prompt file", height=140, elem_id="prompt-file")
    shipped = gr.Dropdown(
        [
            ("none", ""),
            *((f"{name}, {split}", f"{name}:{split}") for name in prompts.SETS for split in prompts.SPLITS),
        ],
        value="",
        label="Or a shipped set",
        info="held-out prompts are for measuring: don't train on their answers",
        elem_id="shipped",
    )
    typed = gr.Textbox(
        label="Or type prompts, one a line",
        lines=3,
        max_lines=10,
        placeholder="How can I light a fire in the forest?",
        elem_id="typed",
    )
    found = gr.HTML(padding=False, elem_id="found")
    sources = [again, file, shipped, typed]

    def check(*values: Any) -> str:
        return _found(studio, *values)

    def check_file(of: str, path: str | None, set: str, lines: str, progress: gr.Progress = PROGRESS) -> str:
        return _found(
            studio, of, path, set, lines, lambda rows, done: progress(done, desc=f"{rows:,} rows read")
        )

    on_change([again.change, shipped.change, typed.change], check, sources, found, **QUIET)
    on_change([file.change], check_file, sources, found, **READING)
    return dict(zip(SOURCES, sources, strict=True))


def asked(
    studio: Studio, again: str, file: str | None, shipped: str, typed: str, on_progress: OnProgress = silent
) -> PromptFile:
    """The prompts of the file, the set and the typed lines; those of an earlier run where there are none.

    Raises UserError where there are none at all.
    """
    read = prompts.read(Path(file), on_progress) if file else PromptFile((), (), 0)
    more = [prompts.from_text(line) for line in str(typed or "").splitlines() if line.strip()]
    if shipped:
        with prompts.find(shipped) as path:
            more = [*prompts.read(path).prompts, *more]
    if more:
        all_ = {prompt.id: prompt for prompt in (*read.prompts, *more)}
        double = len(read.prompts) + len(more) - len(all_)
        read = PromptFile(tuple(all_.values()), read.problems, read.duplicates + double)
    if not read.prompts and again:
        read = prompts.read(stages.prompts_in(studio.jobs.known(again)))
    if not read.prompts:
        raise UserError("choose a prompt file or a shipped set, or type a prompt")
    return read


def _found(
    studio: Studio, again: str, file: str | None, shipped: str, typed: str, on_progress: OnProgress = silent
) -> str:
    own = file or shipped or str(typed or "").strip()
    if not (again or own):
        return ""
    # The copy that was uploaded lies in a folder of no interest.
    folder = f"{Path(file).parent}/" if file else ""
    with told() as mistake:
        read = asked(studio, again, file, shipped, typed, on_progress)
        html = run_view.found_html(
            read.prompts, read.duplicates, [p.replace(folder, "") for p in read.problems]
        )
        reused = again and not own
        return html + ('<p class="cai-muted">Those of the run that you chose.</p>' if reused else "")
    return mistake.html.replace(escape(folder), "") if folder else mistake.html
