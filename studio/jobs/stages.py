"""What the studio knows of a stage that it runs: its settings, its inputs, and the words of its command.

A stage of the pipeline is here one value. What a run holds is told by the stage's name, which is the
command's (`cai critique`) and stands in the run's config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipeline import recipe
from pipeline.configs import (
    Answering,
    Drawing,
    Evaluating,
    Labelling,
    Measuring,
    Scoring,
    as_arguments,
    unnamed,
)
from pipeline.errors import UserError
from pipeline.recipe import Step
from pipeline.records import Axis, parse
from pipeline.row_problems import reason
from pipeline.training_configs import Direct, Preferring, Reinforcing, Supervised, Training
from studio.store.runs import NewRun

C = TypeVar(
    "C",
    Drawing,
    Answering,
    Labelling,
    Evaluating,
    Scoring,
    Measuring,
    Supervised,
    Preferring,
    Reinforcing,
    Direct,
)

CONSTITUTION = "constitution.yaml"
PROMPTS = "prompts.*"
PAIRS_FILE = "pairs.jsonl"
CALIBRATION = "calibration.json"


@dataclass(frozen=True)
class Stage(Generic[C]):
    """One stage. `noun` is what is counted, in the singular; `page` is where its runs are started.

    `files` are the options that name an input, with the name of the file below `inputs/`; `several` those
    that take all that are there, or none; what lies two folders deep is given as `FOLDER=PATH`. `extra` are
    the entries of a run's config that are options besides the settings, left out where they are empty.
    `grace` is how many seconds it may take to save and end.
    """

    name: str
    config: type[C]
    noun: str
    page: str
    files: Mapping[str, str]
    extra: tuple[str, ...] = ()
    several: Mapping[str, str] = field(default_factory=dict)
    grace: float = 30.0

    @property
    def trains(self) -> bool:
        """Whether its runs end in a checkpoint, and their figures are curves over steps."""
        return issubclass(self.config, Training)

    @property
    def kept(self) -> str:
        """What is left of a run that died, in words."""
        if self.trains:
            return "Its newest checkpoint is here; Resume goes on from there"
        return f"The {self.noun}s that it had finished are here; Resume goes on with the others"

    def settings(self, config: Mapping[str, Any]) -> C:
        """The settings in a run's config. Raises UserError for what is no config."""
        given = {f.name: config[f.name] for f in fields(self.config) if f.name in config}
        settings: C = _read(self.config, given)
        return settings

    def extras(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The options in a run's config besides the settings. Raises UserError for one that is none."""
        # `null` is what a headless run has for an option that it was not given.
        given = {name: config[name] for name in self.extra if config.get(name) is not None}
        return {name: _read(EXTRAS[name], value, name) for name, value in given.items()}


CRITIQUE = Stage("critique", Drawing, "chain", "runs", {"--constitution": CONSTITUTION, "--prompts": PROMPTS})
PAIRS = Stage("pairs", Answering, "prompt", "labels", {"--prompts": PROMPTS})
LABEL = Stage(
    "label",
    Labelling,
    "label",
    "labels",
    {"--pairs": PAIRS_FILE, "--constitution": CONSTITUTION},
    extra=("axis",),
)
EVALUATE = Stage(
    "evaluate",
    Evaluating,
    "matchup",
    "elo",
    {"--prompts": PROMPTS},
    extra=("models", "judge", "axis"),
    several={"--constitution": CONSTITUTION},  # a preference model judges without
)
SCORE = Stage("score", Scoring, "score", "runs", {}, several={"--chains": "chains/*"})
EVALS = Stage("evals", Measuring, "answer", "runs", {"--file": "questions.*"})
# A step of training, and the checkpoint after it, may take a processor minutes.
SAVES = 600.0
LABELLED = {"--labels": "labels/*", "--human": "human/*/*", "--calibration": CALIBRATION}
GATED = ("written", "reserved", "gate", "override_gate")
SFT = Stage(
    "sft",
    Supervised,
    "step",
    "training",
    {},
    several={"--chains": "chains/*", "--demos": "demos.*", "--helpful": "helpful.*"},
    grace=SAVES,
)
PM = Stage("pm", Preferring, "step", "training", {}, GATED, {**LABELLED, "--eval": "eval/*/*"}, SAVES)
RL = Stage("rl", Reinforcing, "step", "training", {"--prompts": PROMPTS}, extra=("pm", "judge"), grace=SAVES)
DPO = Stage("dpo", Direct, "step", "training", {}, GATED, LABELLED, SAVES)
TRAINING: tuple[Stage[Any], ...] = (SFT, PM, RL, DPO)
STAGES: tuple[Stage[Any], ...] = (CRITIQUE, PAIRS, LABEL, EVALUATE, SCORE, EVALS, *TRAINING)


EXTRAS: Mapping[str, Any] = {
    "axis": Axis,
    "models": list[str],
    "judge": str,
    "written": list[str],
    "reserved": bool,
    "gate": str,
    "override_gate": str,
    "pm": str,
}


def of(name: str) -> Stage[Any]:
    """The stage of this name. Raises UserError where the studio knows none."""
    for stage in STAGES:
        if stage.name == name:
            return stage
    raise UserError(f"a run of the stage {name!r}, which this studio does not know")


def _read(kind: Any, data: object, name: str = "") -> Any:
    """What is of this kind in plain data. Raises UserError."""
    try:
        return parse(kind, data)
    except ValueError as error:
        why = reason(error)
        raise UserError(f"{name}: {why.removeprefix(': ')}" if name else why) from error


def prompts_in(folder: Path) -> Path:
    """The prompts of a run. Raises UserError where they are gone."""
    return _input(folder, PROMPTS)


def words(run: NewRun, folder: Path) -> list[str]:
    """What follows `cai` in the command that does (or goes on with) a run. Raises UserError."""
    stage = of(run.stage)
    if known := run.config.get("recipe"):
        places = {name: str(folder.parent / id) for name, id in known["places"].items()}
        return recipe.arguments(_step(known, stage), places, folder)
    files = [word for option, name in stage.files.items() for word in (option, str(_input(folder, name)))]
    for option, name in stage.several.items():
        if found := sorted((folder / "inputs").glob(name)):
            deep = "*/*" in name
            files += [option, *(f"{path.parent.name}={path}" if deep else str(path) for path in found)]
    extra = [word for name in stage.extra for word in _option(name, run.config.get(name))]
    return [stage.name, *files, "--run", str(folder), *extra, *as_arguments(stage.settings(run.config))]


def _step(known: Mapping[str, Any], stage: Stage[Any]) -> Step:
    """The step that a run says it is of. Raises UserError where no shipped recipe has it so.

    The run may have come with an archive, and its options could name any file or server: those are the
    shipped ones. Numbers, switches and choices are its own, as the recipe may have changed since.
    """
    step = next((one for one in _steps(str(known["name"])) if one.name == known["step"]), None)
    if step is None or step.stage != stage.name:
        raise UserError(f"“{known['step']}” of the recipe “{known['name']}” is in no recipe of this studio")
    options = dict(known["options"])
    free = {key for key in (*options, *step.options) if key.replace("-", "_") in unnamed(stage.config)}
    if any(options.get(key) != step.options.get(key) for key in {*options, *step.options} - free):
        raise UserError(
            f"“{step.name}” of the recipe “{known['name']}” is not as this studio has it: start it anew"
        )
    # Read by their types: a list in place of a number would be several words of the command.
    stage.settings({k.replace("-", "_"): v if k in free else str(v) for k, v in options.items()})
    return replace(step, options=options)


@cache
def _steps(name: str) -> tuple[Step, ...]:
    return recipe.load(name).steps if name in recipe.shipped() else ()


def _option(name: str, value: object) -> list[str]:
    """An option and its value, or values; alone where it is a flag. Raises UserError for one in disguise."""
    if value in (None, "", False, []):
        return []
    values = [] if value is True else [*map(str, value)] if isinstance(value, list) else [str(value)]
    if bad := next((one for one in values if one.startswith("--")), None):
        raise UserError(f"{name}: {bad[:80]!r} looks like an option")
    return [f"--{name.replace('_', '-')}", *values]


def _input(folder: Path, name: str) -> Path:
    found = sorted((folder / "inputs").glob(name))
    if not found:
        raise UserError(f"{folder / 'inputs'}: the run's {name.partition('.')[0]} can't be found there")
    return found[0]
