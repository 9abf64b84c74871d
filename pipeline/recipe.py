"""Recipes: stages that follow one another, as a few lines of YAML (`cai run`, `pipeline/recipes/`).

    name: RL-CAI
    needs: {helpful: human comparisons on helpfulness}
    stages:
      chains: {stage: critique, constitution: harmless, prompts: red-team}
      sl: {stage: sft, chains: $chains}
      pm: {stage: pm, labels: $labels, human: helpful=$helpful}

Each line is a run: the words of a `cai` command, where `$name` is an earlier run's folder or a file that the
recipe needs. A line's `says` is told to people before it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import InputError, UserError

SHIPPED = Path(__file__).parent / "recipes"
STAGES = ("critique", "pairs", "label", "sft", "pm", "rl", "dpo", "evaluate")
_REFERENCE = re.compile(r"\$(\w+)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


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
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        names = ", ".join(shipped())
        raise UserError(f"{name_or_path}: is neither a file nor a shipped recipe ({names})") from error
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError([f"{where}: is not YAML: {getattr(error, 'problem', None) or error}"]) from error
    except RecursionError as error:
        raise UserError(f"{path}: is nested too deeply") from error
    problems = list(_problems(found))
    if problems:
        raise InputError([f"{path}: {problem}" for problem in problems])
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
        option = "--" + str(key).replace("_", "-")
        if value is True:
            words.append(option)
        elif isinstance(value, list):
            words += [option, *(_filled(item, places) for item in value)]
        elif value is not False and value is not None:
            words += [option, _filled(value, places)]
    return words


def _filled(value: Any, places: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: places[match[1]], str(value))


def _problems(found: Any) -> Iterator[str]:
    """What is wrong with a recipe's shape, a sentence each."""
    if not isinstance(found, dict):
        yield "a recipe is a mapping with `stages`"
        return
    for key in found.keys() - {"name", "about", "needs", "deviations", "stages"}:
        yield f"{key}: is not known here; a recipe has name, about, needs, deviations and stages"
    needs = found.get("needs") or {}
    if not isinstance(needs, dict):
        yield "needs: expected names with what each file is"
        needs = {}
    if not isinstance(found.get("deviations") or [], list):
        yield "deviations: expected a list of sentences"
    stages = found.get("stages")
    if not isinstance(stages, dict) or not stages:
        yield "stages: expected at least one run, as `name: {stage: critique, ...}`"
        return
    known = {str(name) for name in needs}
    for name, options in stages.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield f"stages: {name!r}: a run's name has small letters, digits and _"
        elif name in known:
            yield f"{name}: is named twice"
        elif not isinstance(options, dict) or options.get("stage") not in STAGES:
            yield f"{name}: stage: expected one of {', '.join(STAGES)}"
        else:
            yield from _unknown(name, options, known)
        known.add(str(name))


def _unknown(name: str, options: Mapping[Any, Any], known: set[str]) -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, dict):
            yield f"{name}: {key}: expected a value or a list of values"
        for item in value if isinstance(value, list) else [value]:
            for reference in _REFERENCE.findall(str(item)):
                if reference not in known:
                    yield f"{name}: {key}: ${reference} is no earlier run and no file that the recipe needs"
