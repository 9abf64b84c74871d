"""Recipes: stages that follow one another, as a few lines of YAML (`cai run`, `pipeline/recipes/`).

    name: RL-CAI
    needs: {helpful: human comparisons on helpfulness}
    stages:
      chains: {stage: critique, constitution: harmless, prompts: red-team}
      sl: {stage: sft, chains: $chains}
      pm: {stage: pm, labels: $labels, human: helpful=$helpful}

Each line is a run: the words of a `cai` command, where `$name` is an earlier run's folder or a file that the
recipe needs. A line's `says` is told to people before it runs. `like: tour` takes over what a shipped recipe
says, but for what is given: of a run, the options that differ.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pipeline import plain_yaml
from pipeline.configs import Drawing
from pipeline.constitution_rules import Where, field_path
from pipeline.errors import InputError, UserError
from pipeline.records import well_formed
from pipeline.training_configs import Training

SHIPPED = Path(__file__).parent / "recipes"
STAGES = ("critique", "pairs", "label", "sft", "pm", "rl", "dpo", "evaluate", "score")
_SWITCHES = tuple(f.name for kind in (Drawing, Training) for f in fields(kind) if f.type == "bool")
"""Options that take `true` or `false`; others are flags, which are said or left out."""
_REFERENCE = re.compile(r"\$(\w+)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OPTION = re.compile(r"[a-z][a-z0-9_-]*")
_MINUS = re.compile(r"-(?!\.?\d)")  # begins an option, where no number follows


@dataclass(frozen=True)
class Step:
    """One run of a recipe: its name, its stage, the options as written, and in words what it does."""

    name: str
    stage: str
    options: Mapping[str, Any]
    says: str = ""


@dataclass(frozen=True)
class Recipe:
    """A method as the runs that it takes. `needs` says what each file is that a user brings."""

    name: str
    about: str
    needs: Mapping[str, str]
    deviations: tuple[str, ...]
    steps: tuple[Step, ...]


def shipped() -> dict[str, Path]:
    """The recipes in the package, by the name of their file."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def load(name_or_path: str) -> Recipe:
    """Read a recipe, shipped or a file. Raises UserError, InputError with each fault's place."""
    path = shipped().get(name_or_path, Path(name_or_path))
    if not os.path.exists(path):
        names = ", ".join(shipped())
        raise UserError(f"{name_or_path}: is neither a file nor a shipped recipe ({names})")
    found = _read(path)
    return Recipe(
        str(found.get("name", path.stem)),
        str(found.get("about", "")).strip(),
        {str(k): str(v) for k, v in (found.get("needs") or {}).items()},
        tuple(str(line) for line in found.get("deviations") or ()),
        tuple(
            Step(
                name,
                options["stage"],
                {k: v for k, v in options.items() if k not in ("stage", "says")},
                " ".join(str(options.get("says") or "").split()),
            )
            for name, options in found["stages"].items()
        ),
    )


def arguments(step: Step, places: Mapping[str, str], folder: Path) -> list[str]:
    """The words after `cai` for a step whose run is `folder`; `places` says what `$name` stands for."""
    words = [step.stage, "--run", str(folder)]
    for key, value in step.options.items():
        option = option_of(key)
        if isinstance(value, bool) and key.replace("-", "_") in _SWITCHES:
            words += [option, str(value).lower()]
        elif value is True:
            words.append(option)
        elif isinstance(value, list):
            words += [option, *(_filled(item, places) for item in value)]
        elif value is not False and value is not None:
            words += [option, _filled(value, places)]
    return words


def option_of(key: str) -> str:
    """A recipe's key as the command line has it."""
    return "--" + key.replace("_", "-")


def _read(path: Path) -> dict[str, Any]:
    """A recipe's document, laid over that of the recipe which it is like. Raises as `load` does."""
    document = plain_yaml.read(plain_yaml.read_text(path), str(path), "`stages:`")
    problems = [(line, f"{field_path(where)}: {what}") for line, where, what in document.problems]
    data, faults = document.data, list[tuple[Where, str]]()
    if isinstance(data, dict) and "like" in data:
        faults = list(_unlike(data))
        data = data if faults else _laid_over(_read(shipped()[data["like"]]), data)
    faults = faults or list(_faults(data))
    if problems := sorted(problems + [(document.line(where), what) for where, what in faults]):
        raise InputError([f"{path}:{line}: {what}" for line, what in problems])
    found: dict[str, Any] = data
    return found


def _laid_over(base: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    given = data.get("stages") or {}
    stages = {name: {**options, **given.get(name, {})} for name, options in base["stages"].items()}
    return {**base, **{key: value for key, value in data.items() if key != "like"}, "stages": stages}


def _unlike(data: Mapping[str, Any]) -> Iterator[tuple[Where, str]]:
    """Why a recipe can't be laid over the one that it is like."""
    like, given = data["like"], data.get("stages") or {}
    if not isinstance(like, str) or like not in shipped():
        yield ("like",), f"like: expected a shipped recipe ({', '.join(shipped())})"
        return
    known = _read(shipped()[like])["stages"]
    for name in given if isinstance(given, dict) else {}:
        if name not in known:
            yield ("stages", name), f"{name[:80]}: {like} has no such run ({', '.join(known)})"
    if not isinstance(given, dict) or not all(isinstance(options, dict) for options in given.values()):
        yield ("stages",), f"stages: expected runs of {like}, each with the options that differ"


def _filled(value: Any, places: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: places[match[1]], str(value))


def _faults(found: Any) -> Iterator[tuple[Where, str]]:
    """What is wrong with a recipe's shape, a sentence each, and where that is."""
    if not isinstance(found, dict):
        yield (), "a recipe is a mapping with `stages`"
        return
    for key in found.keys() - {"name", "about", "needs", "deviations", "stages"}:
        what = "is not known here; a recipe has name, about, needs, deviations and stages"
        yield (key,), f"{field_path((key,))}: {what}"
    needs = found.get("needs") or {}
    if not isinstance(needs, dict):
        yield ("needs",), "needs: expected names with what each file is"
        needs = {}
    if not isinstance(found.get("deviations") or [], list):
        yield ("deviations",), "deviations: expected a list of sentences"
    stages = found.get("stages")
    if not isinstance(stages, dict) or not stages:
        yield ("stages",), "stages: expected at least one run, as `name: {stage: critique, ...}`"
        return
    known = set(needs)
    for name, options in stages.items():
        where = ("stages", name)
        if not _NAME.fullmatch(name):
            yield where, f"stages: {name[:80]!r}: a run's name has small letters, digits and _"
        elif name in known:
            yield where, f"{name}: is named twice"
        elif not isinstance(options, dict) or options.get("stage") not in STAGES:
            yield where, f"{name}: stage: expected one of {', '.join(STAGES)}"
        else:
            yield from (
                ((*where, key), f"{name}: {key[:80]}: {what}") for key, what in _unfit(options, known)
            )
        known.add(name)


def _unfit(options: Mapping[str, Any], known: set[str]) -> Iterator[tuple[str, str]]:
    """The options of a run that can't be as they are, and why."""
    for key, value in options.items():
        items = value if isinstance(value, list) else [value]
        if key == "run":
            yield key, "is not for a recipe to say: each run has a folder of its own"
        elif not _OPTION.fullmatch(key):
            yield key, "an option has small letters, digits, - and _"
        elif any(isinstance(item, list | dict) for item in items):
            yield key, "expected a value or a list of values"
        elif any("\0" in text or well_formed(text) != text for text in (key, *map(str, items))):
            yield key, "holds a character that no command line can"
        elif key != "says" and (minus := next(filter(_MINUS.match, map(str, items)), "")):
            yield key, f"{minus[:80]!r} begins with -, and would be an option of its own"
        else:
            for reference in _REFERENCE.findall(" ".join(map(str, items))):
                if reference not in known:
                    yield key, f"${reference[:80]} is no earlier run and no file that the recipe needs"
