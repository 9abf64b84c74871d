"""What a session has to train on, and what of it goes into a run: counts, constitutions, people's share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.gate import State, worst
from pipeline.records import Axis
from studio.context import Studio
from studio.escaping import escape, isolated
from studio.jobs import training
from studio.jobs.stages import CRITIQUE, LABEL, PM, TRAINING
from studio.jobs.training import CHAINS, EVERY, LABELS, Choices
from studio.progress import plural
from studio.store import checkpoints, gates, held_judgments, reading, runs
from studio.store.chains import ChainFilter
from studio.store.runs import Run

Options = list[tuple[str, str]]
"""What a menu offers: what is shown, and its value."""


Goes = tuple[str, int]
"""What goes in, in words, and how many examples that is."""


@dataclass(frozen=True)
class LabelRun:
    """A finished run of labels, and how the audit's gate stands for who labelled."""

    run: Run
    pairs: int
    axis: Axis
    gate: State


def chain_options(studio: Studio) -> Options:
    """The finished runs of chains, and all accepted chains where there are any."""
    many = len(reading.queue(studio.store, ChainFilter(verdict="accepted")).shown)
    every = [(f"every accepted chain, live ones too · {many:,}", EVERY)] if many else []
    return [*every, *chain_runs(studio)]


def chain_runs(studio: Studio) -> Options:
    """The finished runs of chains."""
    return [
        (f"{isolated(run.name)} · {run.created:%b %d %H:%M}", run.id)
        for run in runs.listed(studio.store)
        if run.stage == CRITIQUE.name and (studio.jobs.of(run.id) / CHAINS).is_file()
    ]


def label_options(studio: Studio) -> Options:
    """The finished runs of labels."""
    return [
        (f"{isolated(run.name)} · {run.config.get('axis', 'harmless')} · {run.created:%b %d %H:%M}", run.id)
        for run in runs.listed(studio.store)
        if run.stage == LABEL.name and (studio.jobs.of(run.id) / LABELS).is_file()
    ]


def import_options(studio: Studio) -> Options:
    """The judgments that came with files, by file and axis."""
    return [
        (f"{isolated(a.annotator)} · {a.axis} · {plural(a.pairs, 'pair')}", f"{a.axis}:{a.annotator}")
        for a in held_judgments.annotators(studio.store)
        if a.kind == "imported" and a.pairs
    ]


def model_options(studio: Studio) -> Options:
    """What a policy can start from: the bundled model and the session's trained ones."""
    trained = [run for run in _finished(studio) if run.stage != PM.name]
    return [("bundled", "bundled"), *((_named(run), str(studio.jobs.of(run.id))) for run in trained)]


def pm_options(studio: Studio) -> Options:
    """The trained preference models; feedback models judge, and are none."""
    return [(_named(run), run.id) for run in _preferring(studio, judges=False)]


def feedback_options(studio: Studio) -> Options:
    """What was trained to judge under a constitution."""
    return [(_named(run), str(studio.jobs.of(run.id))) for run in _preferring(studio, judges=True)]


def import_of(value: str) -> tuple[str, Axis]:
    """The file and the axis that a menu's value names."""
    axis, _, name = value.partition(":")
    return name, "helpful" if axis == "helpful" else "harmless"


def label_runs(studio: Studio, ids: Iterable[str]) -> list[LabelRun]:
    """The chosen runs of labels with their gates, as far as they are there."""
    found = []
    for run in filter(None, (runs.load(studio.store, id) for id in ids)):
        labeller, axis = training.labelled_by(run)
        pairs = training.count_choices(studio.store, studio.jobs.folder, Choices(labels=[run.id]))
        found.append(LabelRun(run, pairs, axis, gates.gate_for(studio.store, labeller, axis).state))
    return found


def chains_html(studio: Studio, ids: Sequence[str], accepted_only: bool, files: Sequence[Path]) -> Goes:
    """What goes into SFT."""
    rows: dict[str, Mapping[str, Any]] = {}
    for id in ids:
        some = training.chain_rows(studio.store, studio.jobs.folder, id, accepted_only)
        rows |= {row["id"]: row for row in some}
    judged = sum(row.get("verdict") == "accepted" for row in rows.values())
    facts = [f"<b>{plural(len(rows), 'chain')}</b>"] if rows else []
    facts += [f"{judged:,} of them accepted by a person"] if rows else []
    facts += _constitutions(studio, {str(row["constitution"]) for row in rows.values()})
    facts += [f"<b>{escape(path.name)}</b>" for path in files]
    if not facts:
        return _nothing("Choose chains, or bring a file of examples: nothing goes in yet."), 0
    return _line(facts), len(rows) + sum(map(training.count_rows, files))


def choices_html(studio: Studio, labelled: Sequence[LabelRun], choices: Choices) -> Goes:
    """What goes into a preference model or DPO."""
    ai = sum(one.pairs for one in labelled)
    human = training.count_choices(
        studio.store, studio.jobs.folder, Choices(imports=choices.imports, files=choices.files)
    )
    own = training.count_written(choices)
    if not (ai or human or own or choices.files):
        return _nothing("Choose labels, or comparisons that people made: nothing goes in yet."), 0
    every = ai + human + own
    facts = [f"<b>{plural(every, 'judged pair')}</b>"]
    facts.append(f"human labels {human / every:.0%}" if every else "the file's rows are counted later")
    facts += [f"the project’s own {own / every:.0%}"] if own else []
    facts += _constitutions(studio, {one.run.constitution or "" for one in labelled})
    if labelled:
        facts.append(f"gate: {worst(one.gate for one in labelled)}")
    return _line(facts), every


def reward_html(studio: Studio, pm: str, judge: str) -> str:
    """What the chosen preference models were trained on. Raises UserError where they share pairs."""
    if not pm:
        return _nothing("Train a preference model first: without one there is nothing to earn.")
    if judge:
        apart(studio, pm, judge)
    parts = [_reward(studio, "Reward", pm), *([_reward(studio, "Judge", judge)] if judge else [])]
    return "".join(parts)


def apart(studio: Studio, pm: str, judge: str) -> None:
    """Raise UserError where a judge was trained on pairs of the reward."""
    from pipeline.train.preference import apart as required

    required(str(studio.jobs.of(pm)), str(studio.jobs.of(judge)))


def _reward(studio: Studio, role: str, id: str) -> str:
    run = runs.load(studio.store, id)
    if run is None:
        raise UserError(f"the {role.lower()} model is not here any more: choose another")
    card = checkpoints.card_in(studio.jobs.of(id) / "checkpoint" / "checkpoint.json")
    lineage = card.get("lineage") or {}
    sources = [source for source in lineage.get("sources", ()) if isinstance(source, dict)]
    ai = sum(int(source.get("count", 0)) for source in sources if "labels" in source)
    human = sum(int(source.get("count", 0)) for source in sources if "human" in source)
    every = ai + human + sum(int(source.get("count", 0)) for source in sources if "written" in source)
    facts = [f"{role}: <b>{escape(run.name)}</b>"]
    if every:
        facts += [f"learnt from {plural(every, 'pair')}", f"human labels {human / every:.0%}"]
    facts += _constitutions(studio, {str(s["constitution"]) for s in sources if s.get("constitution")})
    if lineage.get("gate"):
        facts.append(f"gate: {escape(str(lineage['gate']))}")
    if reason := lineage.get("override_gate"):
        facts.append(f"trained anyway: “{escape(str(reason))}”")
    return _line(facts)


def _constitutions(studio: Studio, versions: set[str]) -> list[str]:
    names: dict[str, str] = dict(
        studio.store.query("SELECT version, any_value(name) FROM constitution_versions GROUP BY version")
    )
    return [
        f"{escape(names.get(version, 'constitution'))} <code>{escape(version[:8])}</code>"
        for version in sorted(versions - {""})
    ]


def _finished(studio: Studio) -> list[Run]:
    stages = [stage.name for stage in TRAINING]
    return [run for run in runs.listed(studio.store) if run.stage in stages and run.state == "done"]


def _preferring(studio: Studio, judges: bool) -> list[Run]:
    """The finished runs of preference models, or those of feedback models."""
    every = [run for run in _finished(studio) if run.stage == PM.name]
    return [run for run in every if checkpoints.judges(studio.jobs.of(run.id)) == judges]


def _named(run: Run) -> str:
    return f"{isolated(run.name)} · {run.stage} · {run.created:%b %d %H:%M}"


def _line(facts: Sequence[str]) -> str:
    return f'<p class="cai-goes" role="status"><span class="cai-muted">Goes in</span> {" · ".join(facts)}</p>'


def _nothing(text: str) -> str:
    return f'<p class="cai-goes cai-muted" role="status">{text}</p>'
