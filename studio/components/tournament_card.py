"""“Start a tournament”: which models, prompts and judge, and what it comes to (figures 2 and 3).

Headless: `cai evaluate --models ... --prompts FILE --judge MODEL --axis AXIS --run DIR`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline import bundled, prompts
from pipeline.configs import Evaluating, as_arguments
from pipeline.errors import UserError
from pipeline.evaluate import PEOPLE, Tournament
from pipeline.prompts import PromptFile
from pipeline.records import Axis, Constitution, Prompt
from studio import forms
from studio.components.chat_models import called, speakers
from studio.components.pair_card import AXES
from studio.components.problem import as_html, told
from studio.components.run_view import duration, found_html
from studio.components.training_sources import Options, feedback_options, pm_options
from studio.components.version_choice import version_choice
from studio.context import Studio
from studio.escaping import FIRST_STRONG, escape
from studio.jobs import stages, tournaments
from studio.jobs.stages import EVALUATE
from studio.progress import plural
from studio.store import constitutions, runs
from studio.store.audit import KIND
from studio.store.runs import Run

# A file of many thousand prompts takes seconds to read and to look up.
READING = {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}
PM, FEEDBACK, BY_PEOPLE = "a preference model", "a feedback model", "people"
SETTINGS = ("samples", "budget", "max_tokens", "temperature", "top_p", "seed", "form", "method", "principles")
UPLOADS = ("file", "again")
ABOUT = """<p class="cai-muted">Every model answers every prompt, and a judge says of each two answers which
is better, in both orders. Each verdict is a matchup; the ratings follow from all of them. The first model is
the base, whose Elo is 0.</p>"""
SHIPPED = """<p class="cai-muted">Prompts: the shipped held-out ones, <code>red-team</code> for harmless and
<code>helpful</code> for helpful, which no model may have been trained on; or a file.</p>"""
SETS = {kind: name for name, kind in prompts.SETS.items()}

TOO_FEW = "choose two models or more: checkpoints come from the Training page"

Values = Mapping[str, Any]


@dataclass(frozen=True)
class TournamentCard:
    """The form's controls by what they set, its button, and where it says what goes in and what is wrong."""

    form: dict[str, Any]
    start: gr.Button
    goes: gr.HTML
    problem: gr.HTML


def tournament_card(studio: Studio) -> TournamentCard:
    """Put the card on a page."""
    gr.HTML('<h2 class="cai-heading">Start a tournament</h2>' + ABOUT, padding=False)
    again = gr.Textbox(visible=False)
    models = gr.Dropdown(
        [],
        multiselect=True,
        allow_custom_value=True,
        label="Models",
        info="two or more, the base first: checkpoints of the session, a hub id or a server's URL#MODEL",
        elem_id="evaluate-models",
    )
    with gr.Row():
        axis = gr.Dropdown(
            AXES, value="harmless", label="Axis", info="what is judged", elem_id="evaluate-axis"
        )
        most = gr.Number(
            0, label="Prompts at most", info="0: all; else spread evenly", step=1, elem_id="evaluate-most"
        )
    gr.HTML(SHIPPED, padding=False)
    file = gr.File(label="Prompt file", height=140, elem_id="evaluate-file")
    # Which of the two is shown, the style sheet says by the button that is pressed.
    with gr.Column(elem_classes="cai-judge-choice"):
        judge = gr.Radio(
            [PM, FEEDBACK, BY_PEOPLE],
            value=PM,
            label="Judge",
            info="a preference model scores each answer; a feedback model compares two under a constitution; "
            "people vote in the arena, blind",
            elem_id="evaluate-judge",
        )
        with gr.Column(elem_classes="cai-by-pm"):
            pm = gr.Dropdown(
                [],
                label="Preference model",
                info="one that no competing model was rewarded by, trained on other pairs",
                elem_id="evaluate-pm",
            )
        with gr.Column(elem_classes="cai-by-feedback"):
            feedback = gr.Dropdown(
                [],
                allow_custom_value=True,
                value=bundled.FEEDBACK,
                label="Feedback model",
                elem_id="evaluate-feedback",
            )
            constitution = version_choice()
            with gr.Row():
                principles = {"principles": ["1", "2", "4", "all"]}
                judging = forms.controls(Evaluating, SETTINGS[-2:], principles, "evaluate")
    with gr.Row():
        main = forms.controls(Evaluating, SETTINGS[:2], {}, "evaluate")
    with gr.Accordion("More settings", open=False):
        with gr.Row():
            more = forms.controls(Evaluating, SETTINGS[2:-2], {}, "evaluate")
        name = gr.Textbox(
            label="Name of the run", info="empty: named by its size and axis", elem_id="evaluate-name"
        )
    goes = gr.HTML(padding=False, elem_id="evaluate-goes")
    with gr.Row(elem_classes="cai-actions"):
        start = gr.Button("Start the tournament", variant="primary", elem_id="evaluate-start", min_width=180)
    problem = gr.HTML(padding=False, elem_id="evaluate-problem")
    command = gr.HTML(padding=False, elem_id="evaluate-command", elem_classes="cai-command")
    asked = {"again": again, "models": models, "axis": axis, "most": most, "file": file, "judge": judge}
    form = {**asked, "pm": pm, "feedback": feedback, "constitution": constitution, **main, **judging, **more}

    def tell(*given: Any) -> list[str]:
        values = dict(zip(form, given, strict=True))
        return [goes_html(studio, values), command_html(studio, values)]

    every = list(form.values())
    gr.on([c.change for c in every], tell, every, [goes, command], trigger_mode="always_last", **READING)
    return TournamentCard({**form, "name": name}, start, goes, problem)


def start(studio: Studio, values: Values, who: str) -> str:
    """Put what the form asks for into the queue; returns the run's id. Raises UserError."""
    play, constitution = asked(studio, values)
    kept = {name: value for name, value in values.items() if name not in UPLOADS}
    kept["uploaded"] = any(values[name] for name in UPLOADS)
    try:
        id = tournaments.prepare(
            studio.store, studio.jobs.folder, play, constitution, kept, str(values["name"] or ""), who
        )
    except UserError as error:
        raise UserError(named(studio, str(error))) from error
    studio.jobs.wake()
    return id


def filled(run: Run) -> dict[str, Any]:
    """The form's values of an earlier run. Prompts that were uploaded are those that lie in the run."""
    kept = run.config.get("chosen")
    known = kept if isinstance(kept, dict) else {}
    return {**known, "again": run.id if known.get("uploaded") else "", "file": None, "name": ""}


def offers(studio: Studio) -> dict[str, Options]:
    """The menus' options as the session has them now."""
    found = speakers(studio)
    judges = [(bundled.FEEDBACK, bundled.FEEDBACK), *feedback_options(studio), *found]
    return {"models": found, "feedback": judges, "pm": pm_options(studio)}


def asked(studio: Studio, values: Values) -> tuple[Tournament, Constitution | None]:
    """The tournament that the form asks for, and what its feedback model judges by. Raises UserError."""
    axis: Axis = "helpful" if values["axis"] == "helpful" else "harmless"
    settings = forms.read(Evaluating, {name: values[name] for name in SETTINGS})
    models = tuple(_model(studio, str(model).strip()) for model in values["models"] or ())
    if len(models) < 2:
        raise UserError(TOO_FEW)
    judge, constitution = _judge(studio, values)
    return Tournament(models, tuple(_prompts(studio, values, axis)), axis, judge, settings), constitution


def _model(studio: Studio, said: str) -> str:
    """The checkpoint that begins with what was typed, where it is one alone; else the name itself."""
    known = speakers(studio)
    # A label may begin with the isolate that its name stands in, which nobody types.
    labels = [(label.removeprefix(FIRST_STRONG).casefold(), value) for label, value in known]
    begun = [value for label, value in labels if label.startswith(said.casefold())]
    return begun[0] if len(begun) == 1 and said not in [value for _, value in known] else said


def _judge(studio: Studio, values: Values) -> tuple[str, Constitution | None]:
    if values["judge"] == PM:
        if not values["pm"]:
            raise UserError("choose a preference model: train one first, or let a feedback model judge")
        return str(studio.jobs.known(str(values["pm"]))), None
    if values["judge"] == BY_PEOPLE:
        return PEOPLE, None
    if not str(values["feedback"] or "").strip():
        raise UserError("choose a feedback model")
    if not values["constitution"]:
        raise UserError("choose a constitution")
    version = constitutions.load_version(studio.store, str(values["constitution"]))
    return _model(studio, str(values["feedback"]).strip()), version


def _prompts(studio: Studio, values: Values, axis: Axis) -> Sequence[Prompt]:
    most = values["most"] or 0
    if most < 0 or most != most // 1:
        raise UserError("prompts at most: must be 0 for all, or a whole number")
    if not values["file"] and values["again"]:
        return _file(str(stages.prompts_in(studio.jobs.known(str(values["again"]))))).prompts
    heldout = [prompt for prompt in prompts.starter(KIND[axis]) if prompt.split == "heldout"]
    found = _file(str(values["file"])).prompts if values["file"] else heldout
    many = min(int(most) or len(found), len(found))
    return [found[i * len(found) // many] for i in range(many)]


@lru_cache(maxsize=1)
def _file(path: str) -> PromptFile:
    """Kept, for a form asks at each of its changes; Gradio names an upload by its content."""
    return prompts.read(Path(path))


def goes_html(studio: Studio, values: Values) -> str:
    """What the form comes to, and what speaks against it."""
    if len(values["models"] or ()) < 2:
        return f'<p class="cai-goes cai-muted" role="status">{TOO_FEW.capitalize()}.</p>'
    folder = f"{Path(values['file']).parent}/" if values["file"] else ""
    with told() as mistake:
        play, constitution = asked(studio, values)
        html = _source(values, folder) + _line(studio, play, constitution)
        try:
            notes = tournaments.require(play, constitution)
        except UserError as error:
            return html + as_html(named(studio, str(error)))
        return html + "".join(f'<p class="cai-muted">{escape(named(studio, note))}.</p>' for note in notes)
    return mistake.html.replace(escape(folder), "") if folder else mistake.html


def _source(values: Values, folder: str) -> str:
    """What an uploaded file held, or whose prompts these are."""
    if not values["file"]:
        reused = "Its prompts are those of the run that you chose; a file brings others."
        return f'<p class="cai-muted">{reused}</p>' if values["again"] else ""
    read = _file(str(values["file"]))
    return found_html(read.prompts, read.duplicates, [row.replace(folder, "") for row in read.problems])


def _line(studio: Studio, play: Tournament, constitution: Constitution | None) -> str:
    size = tournaments.size(play, constitution)
    known = speakers(studio)
    facts = [f"<b>{plural(len(play.models), 'model')}</b>, base {escape(called(play.models[0], known))}"]
    facts += [plural(len(play.prompts), "prompt"), f"<b>{plural(size.answers, 'answer')}</b>"]
    facts += [f"<b>{plural(size.matchups, 'matchup')}</b>", _verdicts(size, play, constitution)]
    facts += [f"at most {size.answers * play.settings.max_tokens:,} tokens of answers"]
    facts += [_time(studio, play, size)]
    return f'<p class="cai-goes" role="status">{" · ".join(facts)}</p>'


def _verdicts(size: tournaments.Size, play: Tournament, constitution: Constitution | None) -> str:
    most = "" if play.settings.budget == 0 else "at most "
    if play.judge == PEOPLE:
        return f'{plural(size.matchups, "vote")} by people, in the <a href="arena">arena</a>'
    if constitution is None:
        return f"{most}{plural(size.verdicts, 'score')} by the judge"
    return f"{plural(size.verdicts, 'label')} by the judge"


def _time(studio: Studio, play: Tournament, size: tournaments.Size) -> str:
    """By the last whole tournament with this judge."""
    for run in runs.listed(studio.store):
        if run.stage == EVALUATE.name and run.state == "done" and run.config.get("judge") == play.judge:
            seconds = tournaments.took(studio.store, run)
            if seconds and run.total:
                return f"about {duration(size.matchups * seconds / run.total)}, as fast as {escape(run.name)}"
    return "no earlier tournament with this judge says how long that takes"


def named(studio: Studio, text: str) -> str:
    """A message of the pipeline, in which the session's checkpoints go by their names, not their folders."""
    known = [*speakers(studio), *((label, str(studio.jobs.of(id))) for label, id in pm_options(studio))]
    for label, path in sorted(known, key=lambda option: -len(option[1])):
        if path.startswith("/"):
            text = text.replace(path, label)
    for run in runs.listed(studio.store):
        text = text.replace(run.id, run.name)
    return text


def command_html(studio: Studio, values: Values) -> str:
    """The same in a terminal; what is wrong is said above it."""
    with told():
        settings = forms.read(Evaluating, {name: values[name] for name in SETTINGS})
        names = [_model(studio, str(model)) for model in values["models"] or ()] or ["MODEL", "MODEL"]
        words = ["--models", *names, "--prompts", _prompt_words(values)]
        words += _judge_words(values)
        words += ["--axis", str(values["axis"]), "--run", "DIR", *as_arguments(settings)]
        line = shlex.join(["cai", "evaluate", *words])
        return f'<p class="cai-muted">The same in a terminal: <code>{escape(line)}</code></p>'
    return ""


def _judge_words(values: Values) -> list[str]:
    if values["judge"] != FEEDBACK:
        return ["--judge", PEOPLE if values["judge"] == BY_PEOPLE else "JUDGE"]
    return ["--judge", str(values["feedback"] or "MODEL"), "--constitution", "constitution.yaml"]


def _prompt_words(values: Values) -> str:
    if values["file"] or values["again"]:
        return "PROMPTS.jsonl"
    some = f":{int(values['most'])}" if values["most"] and values["most"] > 0 else ""
    return f"{SETS[KIND['helpful' if values['axis'] == 'helpful' else 'harmless']]}:heldout{some}"
