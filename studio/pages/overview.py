"""The overview: the loop with what the session holds, what to do next, the tour, and the newest runs.

Headless: `cai tour --run DIR`.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from pipeline import bundled
from pipeline.errors import UserError
from studio import example
from studio.components import run_view, tour_view
from studio.components.leaving import GO, LEAVE, MOVING, leave_for
from studio.components.loop_view import loop_html, where
from studio.components.problem import shown_or_why, told
from studio.context import Studio, author
from studio.jobs import recipes
from studio.jobs.recipes import Queued
from studio.progress import Progress, next_action, progress
from studio.store import runs
from studio.store.database import Reader

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
REFRESH = 2.0  # seconds
RECENT = 6
LEAD = """<h2 class="cai-title">Constitutional AI, by hand and eye</h2>
<p class="cai-lead">A model answers a prompt written to draw out harm, criticises its own answer by a
principle, and revises it. It learns the revisions; then a model trained on AI feedback rewards it. You write
the principles, watch each step, and judge what came of it.</p>"""
FIRST_VISIT = """<section class="cai-empty cai-start" aria-labelledby="cai-start">
<h3 id="cai-start">Start here</h3>
<ol>
<li><b>Watch one chain.</b> Pick a prompt and see the response, the critique and the revision as the model
writes them. The bundled model is small and often wrong: good to criticise.</li>
<li><b>Change a principle.</b> Reword what the critiques look for. Each saved change is a version, and each
chain names the version it was made under.</li>
<li><b>Watch again.</b> The same prompt under your words: compare the two. Or let the tour below go once round
the whole loop.</li>
</ol>
<p class="cai-muted">Chains start from red-team prompts, so that page can show offensive text. It asks once
before it does.</p>
$todo
</section>"""
TOUR = """<h2 class="cai-heading">The tour</h2>
<p>Once round the loop on the bundled model: ten stages, each explained while it works. What they make goes
into this session, so its pages fill as the tour goes. Labels of helpfulness, and the judge's, are a
language model's and not people's: it read, blind, what such models said.</p>"""
SURVIVES = """<p class="cai-muted">Each stage has a process of its own, and goes on when you close the
tab. While the studio is closed the stage at work goes on too; the next begins when the studio is open again.
In a terminal: <code>cai tour --run DIR</code>, with <code>--quick</code> for the short one.</p>"""
LENGTHS = [
    ("Quick: a handful of prompts and of steps. It took about 6 minutes on 2 cores.", "tour-quick"),
    ("Full: tens of prompts and of steps. It took about half an hour on 2 cores.", "tour"),
]
NO_RUNS = """<p class="cai-muted">No runs yet. What works in the background is listed here: batches of chains,
pairs, labels, training and the tour.</p>"""
EXAMPLE = """<p><b>The example</b> is a full tour that was recorded, with a language model's judgments of its
pairs: each page has something in it at once. It opens read-only in the place of
this session, which stays as it is; one click leads back. What is written live stops, and is kept.</p>"""
LOOK = """<section class="cai-card cai-next-card" aria-label="Next">
<p><b>Look around.</b> Read the <a href="reading">chains</a>, see how far the labels
<a href="agreement">agree</a> with judgments, and what became of the models under <a href="elo">Elo</a>.</p>
</section>"""
METHOD = """<p class="cai-muted cai-foot">The method is that of Bai et al. (2022), “Constitutional AI:
Harmlessness from AI Feedback”, arXiv 2212.08073: the supervised stage of section 3, the AI feedback and RL of
section 4.</p>"""


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the route."""
    gr.HTML(LEAD, padding=False, elem_classes="cai-overview")
    _example(studio)
    # The page is built once for everybody; what it counts is read again at each load.
    now = gr.HTML(now_html(progress(studio.store), studio.store.read_only), padding=False, elem_id="now")
    with gr.Row(elem_classes="cai-columns"):
        with gr.Column(scale=3, min_width=480, elem_classes="cai-panel cai-tour"):
            gr.HTML(TOUR, padding=False)
            length = gr.Radio(
                LENGTHS, value="tour-quick", show_label=False, container=False, elem_id="length"
            )
            with gr.Row(elem_classes="cai-actions"):
                start = gr.Button("Start the tour", variant="primary", elem_id="tour-start", min_width=150)
                stop = gr.Button("Stop", size="sm", elem_id="tour-stop", min_width=90)
                resume = gr.Button("Resume", size="sm", elem_id="tour-resume", min_width=90)
            problem = gr.HTML(padding=False, elem_id="problem")
            stages = gr.HTML(padding=False, elem_id="tour")
            gr.HTML(SURVIVES, padding=False)
        with gr.Column(scale=2, min_width=320, elem_classes="cai-side"):
            gr.HTML('<h2 class="cai-heading">Recent runs</h2>', padding=False)
            recent = gr.HTML(padding=False, elem_id="recent")
    gr.HTML(METHOD, padding=False)
    seen = gr.State([])
    shown = {"fn": lambda before: _look(studio, before), "inputs": seen}
    outputs = [seen, now, stages, recent, start, stop, resume]

    def begin(name: str, request: gr.Request) -> str:
        with told() as mistake:
            start_tour(studio, name, author(request))
        return mistake.html

    start.click(begin, length, problem, **QUIET).then(outputs=outputs, **shown, **QUIET)
    for button, act in ((stop, stop_tour), (resume, resume_tour)):
        button.click(_acting(studio, act), **QUIET).then(outputs=outputs, **shown, **QUIET)
    gr.Timer(REFRESH).tick(outputs=outputs, **shown, **QUIET)
    blocks.load(outputs=outputs, **shown, **QUIET)


def _example(studio: Studio) -> None:
    """The button that opens the example; in the example, how it was made."""
    there = studio.store.read_only
    with gr.Accordion("How this example was made", open=False, visible=there, elem_id="card"):
        gr.Markdown(example.card())
    with gr.Row(visible=not there, elem_classes="cai-example-bar"):
        gr.HTML(EXAMPLE, padding=False)
        open_ = gr.Button("Open the example", size="sm", elem_id="example-open", scale=0, min_width=180)
    problem, going = gr.HTML(padding=False), gr.Textbox(visible=False)

    def leave() -> list[str]:
        with told() as mistake:
            example.unpack(studio.folder.parent)
            leave_for(studio, example.NAME)
            return ["", MOVING]
        return [mistake.html, ""]

    open_.click(leave, None, [problem, going], **LEAVE).then(None, going, js=GO)


def now_html(now: Progress, read_only: bool = False) -> str:
    """The loop with the session's counts, and what to do next, or where nothing can be done, to look at."""
    if read_only:
        return loop_html(now, example=True) + LOOK
    action = next_action(now)
    button = f'<a class="cai-button" href="{action.path}">{action.label}</a>'
    if now.chains == 0 and now.pairs == 0:
        todo = FIRST_VISIT.replace("$todo", button)
    else:
        todo = (
            '<section class="cai-card cai-next-card" aria-label="Next">'
            f"<p><b>Next.</b> {action.why}</p>{button}</section>"
            f'<p class="cai-muted cai-where">{where(now)}</p>'
        )
    return loop_html(now) + todo


def start_tour(studio: Studio, name: str, who: str) -> None:
    """Put a tour in the queue. Raises UserError where one is on its way, or its model is not here."""
    if name not in [value for _, value in LENGTHS]:
        raise UserError(f"{name}: there is no such tour")
    _require_none(studio.store)
    if not bundled.available():
        raise UserError(f"{bundled.MISSING}; the Chains page has a button for it, under Model")
    recipes.enqueue(studio.store, studio.jobs.folder, name, who, _require_none)
    studio.jobs.wake()


def _require_none(store: Reader) -> None:
    """Raises UserError where the newest tour is at work, or waits."""
    if (tour := _newest(store)) and tour.at_work:
        raise UserError("a tour is on its way: stop it before you start another")


def stop_tour(studio: Studio) -> None:
    """End the stage that the newest tour is at; what is whole stays, and the next stages don't begin."""
    if (tour := newest(studio)) and tour.at:
        studio.jobs.stop(tour.at.id)


def resume_tour(studio: Studio) -> None:
    """Go on with the stage at which the newest tour ended early, and with what was taken from the queue."""
    if (tour := newest(studio)) and tour.at:
        for run in tour.runs[tour.runs.index(tour.at) :]:
            if run is tour.at or run.state == "cancelled":
                studio.jobs.resume(run.id)


def newest(studio: Studio) -> Queued | None:
    """The newest tour of the session."""
    return _newest(studio.store)


def _newest(store: Reader) -> Queued | None:
    names = [value for _, value in LENGTHS]
    return next((found for found in recipes.queued(store) if found.recipe in names), None)


def _acting(studio: Studio, act: Any) -> Any:
    return lambda: act(studio)


def _look(studio: Studio, before: list[Any]) -> list[Any]:
    """The parts that have changed since `before`, which begins with a stamp of what they are made from."""
    now = progress(studio.store)
    stamp = f"{runs.stamp(studio.store)} {now}"
    if before and before[0] == stamp:
        return [gr.skip()] * 7
    tour = newest(studio)
    at = tour.at if tour and tour.at_work else None
    parts = [
        now_html(now, studio.store.read_only),
        shown_or_why(lambda: tour_view.tour_html(studio.store, tour, studio.jobs.folder)) if tour else "",
        _recent(studio),
    ]
    changed = [
        new if place >= len(before) or before[place] != new else gr.skip()
        for place, new in enumerate(parts, 1)
    ]
    return [
        [stamp, *parts],
        *changed,
        gr.update(interactive=not studio.store.read_only and (tour is None or not tour.at_work)),
        gr.update(interactive=at is not None and at.state != "stopping"),
        gr.update(interactive=tour is not None and tour.resumable and not tour.lacks),
    ]


def _recent(studio: Studio) -> str:
    every = [run for run in runs.listed(studio.store) if run.state != "waiting" or "recipe" not in run.config]
    if not every:
        return NO_RUNS
    more = (
        f'<p class="cai-links"><a href="runs">All {len(every):,} runs</a></p>' if len(every) > RECENT else ""
    )
    return run_view.run_list(every[:RECENT], studio.store, "") + more
