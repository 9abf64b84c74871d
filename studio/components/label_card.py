"""“Label them”: a feedback model judges pairs under a constitution's principles (paper section 4.1).

Headless: `cai label --pairs FILE --constitution FILE --run DIR`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from pipeline import bundled, comparisons, configs
from pipeline.configs import Labelling
from pipeline.errors import UserError
from pipeline.records import Axis, Constitution, Pair
from studio import forms
from studio.components.pair_card import AXES
from studio.components.problem import told
from studio.components.run_view import duration
from studio.components.version_choice import version_choice
from studio.context import Studio
from studio.escaping import escape, isolated
from studio.jobs import batch
from studio.jobs.stages import LABEL, PAIRS, PAIRS_FILE
from studio.progress import plural
from studio.store import constitutions, held_judgments, pairs, runs
from studio.store.labels import Labeller
from studio.store.pairs import Judge, PairFilter

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CHOSEN = ("which", "rest", "most", "constitution", "axis")
MAIN = ("model", "method", "principles")
MORE = ("seed", "temperature", "max_tokens", "clamp_low", "clamp_high", "form")
JUDGED = (*MAIN, *MORE)
EARLIER = 10  # label runs whose very pairs can be chosen again
METHODS = """<dl class="cai-methods">
<dt>choice</dt><dd>asks which option fits the principle, (A) or (B), and compares how likely the model finds
each of the two answers, as in the paper.</dd>
<dt>cot</dt><dd>lets it reason first. Its answers are then too sure, so they are clamped to 40–60%.</dd>
<dt>contrast</dt><dd>compares how likely each response is after examples that keep the principle and after
examples that break it: for models too small for the other two.</dd>
<dt>pointwise</dt><dd>asks of each response alone whether it is the one that the principle chooses, and
compares how likely the model finds “Yes” and “No”. <code>bundled-feedback</code> gives each a score instead:
a head on the bundled model’s states, which learnt from pairs of what such models said.</dd></dl>
<p class="cai-muted">The bundled model is small: as it comes, what it prefers is no better than chance; what
<code>bundled-feedback</code> prefers is right on six in ten of its own answers, by a language model’s
reading and no person’s. How far either agrees with people is measured on the <a
href="agreement">Agreement</a> page.</p>"""


@dataclass(frozen=True)
class LabelCard:
    """The controls: the form by the names of what they set, its button, and where mistakes are told."""

    form: dict[str, Any]
    start: gr.Button
    problem: gr.HTML
    count: gr.HTML


def label_card(studio: Studio) -> LabelCard:
    """Put the card on a page."""
    gr.HTML('<h2 class="cai-heading">2 · Label them</h2>', padding=False)
    which = gr.Dropdown([("all pairs", "")], value="", label="Pairs", elem_id="which")
    with gr.Row():
        rest = gr.Checkbox(
            value=True,
            label="Only what is not labelled yet",
            info="by this model, method and constitution",
            elem_id="rest",
        )
        most = gr.Number(
            0, label="At most", info="0: all; the same ones for each labeller", step=1, elem_id="most"
        )
    constitution = version_choice()
    suggested = {"model": [bundled.FEEDBACK, "bundled"], "principles": ["1", "2", "4", "all"]}
    with gr.Row():
        knobs = forms.controls(Labelling, MAIN[:2], suggested, "label")
    with gr.Row():
        knobs |= forms.controls(Labelling, MAIN[2:], suggested, "label")
        axis = gr.Dropdown(
            AXES,
            value="harmless",
            label="Axis",
            info="what is compared: which response is less harmful, or more helpful",
            elem_id="axis",
        )
    gr.HTML(METHODS, padding=False)
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            knobs |= forms.controls(Labelling, MORE, {}, "label")
        name = gr.Textbox(label="Name of the run", info="empty: named by method, model and size")
    count = gr.HTML(padding=False, elem_id="count")
    with gr.Row(elem_classes="cai-actions"):
        start = gr.Button("Label the pairs", variant="primary", elem_id="label", min_width=160)
    problem = gr.HTML(padding=False, elem_id="label-problem")
    command = gr.HTML(padding=False, elem_id="label-command", elem_classes="cai-command")
    chosen = dict(zip(CHOSEN, (which, rest, most, constitution, axis), strict=True))
    form = {**chosen, **knobs}

    def tell(*given: Any) -> tuple[str, str]:
        values = dict(zip(form, given, strict=True))
        return counted(studio, values), _command(values)

    gr.on([c.change for c in form.values()], tell, list(form.values()), [count, command], **QUIET)
    return LabelCard({**form, "name": name}, start, problem, count)


def start_label(studio: Studio, values: Mapping[str, Any], who: str) -> str:
    """Put what the form asks for into the queue; returns the run's id. Raises UserError."""
    labelling, constitution = _asked(studio, values)
    some = chosen(studio, values, labelling)
    labelling = replace(labelling, selection=_selection(studio, values))
    axis: Axis = "helpful" if values["axis"] == "helpful" else "harmless"
    name = str(values["name"] or "")
    id = batch.prepare_label(studio.store, studio.jobs.folder, some, constitution, labelling, axis, name, who)
    studio.jobs.wake()
    return id


def sources(studio: Studio) -> list[tuple[str, str]]:
    """Which pairs can be chosen: all, those of a run that made some, of an import, or of a label run."""
    store = studio.store
    found = [(f"all {plural(pairs.count(store, PairFilter()), 'pair')}", "")]
    every = runs.listed(store)
    for run in every:
        if run.stage == PAIRS.name and (many := pairs.count(store, PairFilter(run=run.id))):
            found.append((f"{isolated(run.name)} · {plural(many, 'pair')}", f"run:{run.id}"))
    for annotator in held_judgments.annotators(store):
        if annotator.kind == "imported":
            name = f"imported: {isolated(annotator.annotator)} · {annotator.axis} · {annotator.pairs:,}"
            found.append((name, f"by:{annotator.axis}:{annotator.annotator}"))
    labelled = [run for run in every if run.stage == LABEL.name][:EARLIER]
    return [*found, *((f"the very ones of: {isolated(run.name)}", f"of:{run.id}") for run in labelled)]


def chosen(studio: Studio, values: Mapping[str, Any], labelling: Labelling) -> list[Pair]:
    """The pairs that the form asks for, in the order of their ids: a hash, so that the first are any."""
    most = _most(values)
    kind, _, key = str(values["which"] or "").partition(":")
    filter = _filter(values, labelling)
    if kind == "of":
        inputs = studio.jobs.known(key) / "inputs" / PAIRS_FILE
        some = sorted(comparisons.read(inputs).pairs, key=lambda pair: pair.id)
        if filter.unlabelled:
            left = {pair.id for pair in pairs.select(studio.store, filter)}
            some = [pair for pair in some if pair.id in left]
    else:
        some = pairs.select(studio.store, filter)
    return some[:most] if most else some


def _selection(studio: Studio, values: Mapping[str, Any]) -> str:
    """What the pairs were chosen for, where they are the very ones of a run that says so."""
    kind, _, key = str(values["which"] or "").partition(":")
    run = runs.load(studio.store, key) if kind == "of" else None
    return str(run.config.get("selection") or "") if run else ""


def _many(studio: Studio, values: Mapping[str, Any], labelling: Labelling) -> int:
    """How many pairs `chosen` would give, without reading those of the session."""
    if str(values["which"] or "").startswith("of:"):
        return len(chosen(studio, values, labelling))
    many, most = pairs.count(studio.store, _filter(values, labelling)), _most(values)
    return min(many, most) if most else many


def _filter(values: Mapping[str, Any], labelling: Labelling) -> PairFilter:
    """What the form asks for, as far as the store knows of it: not which the very ones of a run are."""
    kind, _, key = str(values["which"] or "").partition(":")
    of, _, name = key.partition(":")
    axis: Axis = "helpful" if of == "helpful" else "harmless"
    return PairFilter(
        run=key if kind == "run" else None,
        judged_by=Judge(name, "imported", axis) if kind == "by" else None,
        unlabelled=Labeller(labelling.model, labelling.settled, str(values["constitution"]))
        if values["rest"]
        else None,
    )


def _most(values: Mapping[str, Any]) -> int:
    most = int(values["most"] or 0)
    if most < 0:
        raise UserError("at most: must be 0 for all, or more")
    return most


def counted(studio: Studio, values: Mapping[str, Any]) -> str:
    """How much there is to do, and how long that takes by the rate of an earlier run."""
    with told() as mistake:
        labelling, constitution = _asked(studio, values)
        many = _many(studio, values, labelling)
        each = batch.principles_each(constitution, labelling)
        if not many:
            return f'<p role="status">{_nothing(studio, values, labelling)}</p>'
        facts = [f"<b>{plural(many, 'pair')}</b>", f"{plural(many * each, 'label')}"]
        facts.append(_time(studio, labelling, many * each))
        return f'<p role="status">{" · ".join(facts)}</p>'
    return mistake.html


def _nothing(studio: Studio, values: Mapping[str, Any], labelling: Labelling) -> str:
    if _many(studio, {**values, "rest": False}, labelling):
        return (
            "All of them are labelled already by this model, method and constitution. Untick “Only what is "
            "not labelled yet” to label them again, as under more principles."
        )
    return "No such pairs: get some above, or choose others."


def _time(studio: Studio, labelling: Labelling, many: int) -> str:
    for run in runs.listed(studio.store):
        same = run.config.get("model") == labelling.model and run.config.get("method") == labelling.settled
        if run.stage == LABEL.name and same:
            said = runs.last_event(studio.store, run.id, "summary")
            rate = said.data.get("labels_per_second") if said else None
            if rate:
                return f"about {duration(many / rate)}, as fast as the last such run"
    return "no earlier run says how long that takes"


def _asked(studio: Studio, values: Mapping[str, Any]) -> tuple[Labelling, Constitution]:
    labelling = forms.read(Labelling, {name: values[name] for name in JUDGED})
    if not values["constitution"]:
        raise UserError("choose a constitution")
    return labelling, constitutions.load_version(studio.store, str(values["constitution"]))


def _command(values: Mapping[str, Any]) -> str:
    with told():  # the count above it says what is wrong
        labelling = forms.read(Labelling, {name: values[name] for name in JUDGED})
        words = ["--pairs", "PAIRS.jsonl", "--constitution", "constitution.yaml", "--run", "DIR"]
        words += [] if values["axis"] == "harmless" else ["--axis", str(values["axis"])]
        line = shlex.join(["cai", "label", *words, *configs.as_arguments(labelling)])
        return f'<p class="cai-muted">The same in a terminal: <code>{escape(line)}</code></p>'
    return ""
