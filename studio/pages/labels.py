"""Labels: pairs of responses, and which of the two a feedback model prefers (paper section 4.1).

Headless: `cai pairs --prompts FILE --run DIR`, then `cai label --pairs DIR --constitution FILE --run DIR`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from studio.components.label_card import JUDGED, LabelCard, counted, label_card, sources, start_label
from studio.components.labeller_list import imports_list, labeller_list
from studio.components.notice import content_notice
from studio.components.pair_card import ANSWERED, PairCard, bring, pair_card, start_pairs
from studio.components.problem import told
from studio.components.run_controls import LINK, REFRESH, Shelf, run_controls
from studio.components.version_choice import choices
from studio.context import Studio, author
from studio.jobs.stages import LABEL, PAIRS
from studio.store import runs, settings

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
FORM = "labels.form"
EMPTY = """<div class="cai-empty"><h2>No labels yet</h2>
<p>In the paper's second stage people no longer say which of two responses does less harm: a model does, under
a principle drawn from the constitution (section 4.1). Those labels then train a preference model.</p><ol>
<li><b>Get pairs.</b> Let a model answer each prompt twice, or import comparisons that people have made.</li>
<li><b>Label them.</b> The feedback model sees each pair in both orders, or each response alone, and gives
the probability that one response is better. Which one is not shown here: whoever judges a pair does so
blind.</li>
<li><b>Judge some yourself</b>, blind, on the Audit page. Only then is it known what the labels are worth: the
Agreement page says so, with its interval.</li>
</ol></div>"""
# Whoever starts something has read what was wrong before, with whatever they started then.
CLEARED = """(said) => ["", "", said?.includes("cai-error") ? "" : said]"""
# The run stands in the other column, often above what is on the screen: whoever starts it is taken there.
# Its place is hidden while there is none, so it is waited for.
SHOW = """async (id, problem) => {
  const run = document.querySelector("#run");
  if (!id || problem || !run) return;
  for (let tries = 0; tries < 50 && !run.querySelector(".cai-run"); tries++)
    await new Promise((go) => setTimeout(go, 100));
  run.tabIndex = -1;
  run.scrollIntoView({ block: "start" });
  run.focus({ preventScroll: true });
}"""
SHELF = Shelf("labels", (PAIRS, LABEL), EMPTY, shows=(PAIRS, LABEL))


def build(blocks: gr.Blocks, studio: Studio) -> None:
    """Fill the page."""
    content_notice()
    with gr.Row(elem_classes="cai-behind-notice cai-columns"):
        with gr.Column(scale=2, min_width=400):
            with gr.Column(elem_classes="cai-panel"):
                getting = pair_card(studio)
            with gr.Column(elem_classes="cai-panel"):
                labelling = label_card(studio)
        with gr.Column(scale=3, min_width=480):
            current = gr.Textbox(visible=False)
            labellers = gr.HTML(padding=False, elem_id="labellers")
            again = run_controls(blocks, studio, current, SHELF)
    _starting(studio, getting, labelling, current)
    _filling(blocks, studio, getting, labelling, again, current)
    _refreshing(blocks, studio, getting, labelling, labellers)


def _starting(studio: Studio, getting: PairCard, labelling: LabelCard, current: gr.Textbox) -> None:
    def sample(request: gr.Request, *given: Any) -> tuple[Any, str]:
        values = dict(zip(getting.form, given, strict=True))
        with told() as mistake:
            id = start_pairs(studio, values, author(request))
            _keep(studio, "pairs", {name: values[name] for name in ANSWERED})
            return id, ""
        return gr.skip(), mistake.html

    def label(request: gr.Request, *given: Any) -> tuple[Any, str]:
        values = dict(zip(labelling.form, given, strict=True))
        with told() as mistake:
            id = start_label(studio, values, author(request))
            _keep(studio, "label", {name: values[name] for name in ("constitution", "axis", *JUDGED)})
            return id, ""
        return gr.skip(), mistake.html

    # Before the actions, so that it never wipes off what these have to say.
    problems = [getting.problem, labelling.problem, getting.said]
    for button in (getting.start, labelling.start, getting.bring):
        button.click(None, getting.said, problems, js=CLEARED, **QUIET)

    for button, act, form, problem in (
        (getting.start, sample, getting.form, getting.problem),
        (labelling.start, label, labelling.form, labelling.problem),
    ):
        started = button.click(act, list(form.values()), [current, problem], **QUIET)
        started.then(None, current, js=LINK).then(None, [current, problem], js=SHOW)

    def take(file: str | None, axis: Any) -> Iterator[str]:
        yield from bring(studio, file, axis)

    getting.bring.click(
        take,
        [getting.file, getting.axis],
        getting.said,
        show_progress="hidden",
        api_visibility="private",
        concurrency_id="import",
    )


def _filling(
    blocks: gr.Blocks,
    studio: Studio,
    getting: PairCard,
    labelling: LabelCard,
    again: gr.Button,
    current: gr.Textbox,
) -> None:
    """The forms as they were last used, or as the run was started that is to be repeated."""
    both = [*getting.form.values(), *labelling.form.values()]

    def remembered() -> list[Any]:
        kept = json.loads(settings.get(studio.store, FORM) or "{}")
        return [
            *_filled(studio, getting.form, kept.get("pairs", {})),
            *_filled(studio, labelling.form, {**kept.get("label", {}), "which": ""}),
        ]

    def fill(id: str) -> list[Any]:
        run = runs.load(studio.store, id)
        saved = {name: "" if value is None else value for name, value in (run.config if run else {}).items()}
        pairs, label = {}, {}
        if run and run.stage == PAIRS.name:
            pairs = {**saved, "again": id, "file": None, "typed": "", "shipped": ""}
        elif run and run.stage == LABEL.name:
            label = {
                **saved,
                "constitution": run.constitution,
                "which": f"of:{id}",
                "rest": False,
                "most": 0,
            }
        return [
            *(_filled(studio, getting.form, pairs)),
            *(_filled(studio, labelling.form, label) if label else [gr.skip()] * len(labelling.form)),
        ]

    again.click(fill, current, both, **QUIET)
    blocks.load(remembered, None, both, **QUIET)


def _refreshing(
    blocks: gr.Blocks, studio: Studio, getting: PairCard, labelling: LabelCard, labellers: gr.HTML
) -> None:
    """What follows from the session: the labellers, the pairs to choose from, and how many those are."""
    seen = gr.State([])
    form = {name: control for name, control in labelling.form.items() if name != "name"}
    inputs = [seen, *form.values()]

    def look(before: list[Any], *given: Any) -> list[Any]:
        values = dict(zip(form, given, strict=True))
        fresh = [labeller_list(studio.store) + imports_list(studio.store), sources(studio)]
        if before == fresh:
            return [gr.skip()] * 4
        known = [value for _, value in fresh[1]]
        which = values["which"] if values["which"] in known else ""
        return [
            fresh,
            fresh[0],
            gr.update(choices=fresh[1], value=which),
            counted(studio, {**values, "which": which}),
        ]

    outputs = [seen, labellers, labelling.form["which"], labelling.count]
    gr.on([gr.Timer(REFRESH).tick, getting.said.change], look, inputs, outputs, **QUIET)
    blocks.load(look, inputs, outputs, **QUIET)


def _keep(studio: Studio, part: str, values: Mapping[str, Any]) -> None:
    kept = json.loads(settings.get(studio.store, FORM) or "{}")
    settings.put(studio.store, FORM, json.dumps({**kept, part: dict(values)}))


def _filled(studio: Studio, form: Mapping[str, Any], saved: Mapping[str, Any]) -> list[Any]:
    updates = {name: gr.update(value=saved[name]) if name in saved else gr.skip() for name in form}
    if "constitution" in form:
        updates["constitution"] = choices(studio, saved.get("constitution"))
    if "which" in saved:
        updates["which"] = gr.update(choices=sources(studio), value=saved["which"])
    return list(updates.values())
