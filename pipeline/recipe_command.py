"""`cai run`: a recipe's stages, each in a process and a run folder of its own, one after another.

The same command again skips what is complete and goes on with the stage that was stopped. What is complete
was made by the same words, or the command is refused: it would take another recipe's runs for its own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import constitution as constitutions
from pipeline import prompts, recipe
from pipeline.configs import from_arguments, not_typed
from pipeline.errors import UserError
from pipeline.events import complete
from pipeline.growing import Stop, say
from pipeline.recipe import Recipe
from pipeline.replay_command import command_of, parsed
from pipeline.rundir import write_atomically
from pipeline.terminal import shown
from pipeline.train_command import choices_in

COMMANDS = "commands.txt"
QUOTED = "# Each line can be typed as it stands."
"""The first line of the file; without it the words of the others are not quoted."""
Plan = Callable[[Path], Mapping[str, list[str]]]
"""The words of each stage's command, by run name, were the runs below this folder."""


def register(subparsers: Any) -> None:
    """Add `run` to the command line."""
    parser = subparsers.add_parser(
        "run",
        help="run a recipe: several stages, one after another",
        description="Stages that follow one another, from a YAML file or a shipped recipe: "
        f"{', '.join(recipe.shipped())}. The same command again goes on where it was.",
    )
    parser.add_argument("recipe", help="a recipe's file, or a shipped one")
    parser.add_argument("--run", required=True, type=Path, metavar="DIR", help="a folder for the runs")
    parser.add_argument(
        "--with",
        dest="files",
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help="the files that the recipe needs",
    )
    parser.add_argument("--dry-run", action="store_true", help="only show the commands")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the stages. Raises UserError; returns 0 when all are whole, else what the last one returned."""
    found = recipe.load(args.recipe)
    return follow(found, partial(plan, found, args.files), args.run, args.dry_run)


def follow(found: Recipe, planned: Plan, folder: Path, dry_run: bool = False) -> int:
    """Run a recipe's commands below a folder. Raises UserError; returns as `run` does."""
    commands = planned(folder)
    _require_known(found, commands)
    for line in found.deviations:
        say(f"differs from the paper: {line}")
    if dry_run:
        for words in commands.values():
            print(_line(words))  # noqa: T201
        return 0
    _require_same(planned, folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; --run names a folder for the runs")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [QUOTED, *(f"cai {shlex.join(words)}" for words in commands.values()), ""]
    write_atomically(folder / COMMANDS, "\n".join(lines))
    says = {step.name: step.says for step in found.steps}
    with Stop.on_signals() as stop:
        for number, (name, words) in enumerate(commands.items(), 1):
            if stop.is_set():
                return 130
            say(f"[{number} of {len(commands)}] {name}: {says[name]}".rstrip(": "))
            say(f"  {_line(words)}")
            status = _run(words, folder / name, stop)
            if status:
                say(f"{name}: stopped" if status == 130 else f"{name}: failed; mend it and run this again")
                return status
    print(folder / list(commands)[-1])  # noqa: T201
    return 0


def plan(found: Recipe, files: list[str], folder: Path) -> dict[str, list[str]]:
    """The words of each stage's command, by run name. Raises UserError for files that lack or are unknown."""
    given = {}
    for item in files:
        name, equals, path = item.partition("=")
        if not equals or name not in found.needs:
            needs = ", ".join(found.needs) or "no files"
            raise UserError(f"--with {item}: expected NAME=FILE; this recipe needs {needs}")
        if not path or not _may_be_given(Path(path)):
            what = "is neither a file nor the folder of a run or a model"
            raise UserError(f"--with {item}: {path or 'an empty name'}: {what}")
        given[name] = path
    lacking = [f"{name} ({what})" for name, what in found.needs.items() if name not in given]
    if lacking:
        raise UserError(f"{found.name} needs files of yours, as --with NAME=FILE: {'; '.join(lacking)}")
    places = {**given, **{step.name: str(folder / step.name) for step in found.steps}}
    return {step.name: recipe.arguments(step, places, folder / step.name) for step in found.steps}


def _may_be_given(path: Path) -> bool:
    """Whether this is a file, or a folder that an option may name: a run's, or a model's."""
    return path.is_file() or any(any(path.glob(part)) for part in ("inputs", "outputs", "*config.json"))


def _require_known(found: Recipe, commands: Mapping[str, list[str]]) -> None:
    """Raise UserError for options that a stage does not know, values that can't be, and files that lack.

    Else a mistake in the last stage is told when the first ones have run for hours.
    """
    from pipeline.__main__ import options

    known = options()
    runs = list[Path]()
    for step in found.steps:
        asked = parsed(commands[step.name], step.name)
        if not complete(asked.run / "events.jsonl"):  # what it was made of may be gone since
            try:
                from_arguments(asked.settings, asked)
                _require_inputs(asked, runs)
            except UserError as error:
                raise UserError(f"{step.name}: {error}") from error
        runs.append(asked.run)
        # What is false or empty is no word of the command, and so argparse has not seen it.
        for option in map(recipe.option_of, step.options):
            if option not in known[step.stage]:
                raise UserError(f"{step.name}: {option}: {step.stage} has no such option")


def _require_inputs(asked: argparse.Namespace, runs: Sequence[Path]) -> None:
    """Raise UserError where a stage names a file that is not there, and comes of none of these runs."""
    for option, value in vars(asked).items():
        for item in value if isinstance(value, list) else [value]:
            path = item
            if option in ("human", "eval"):
                path, _ = choices_in(item, "harmless")
            elif item and option in ("constitution", "under"):
                path = Path(item)
            if not item or option == "run" or (isinstance(path, Path) and {path, *path.parents} & set(runs)):
                continue
            if option in ("constitution", "under"):
                constitutions.find(item)
            elif option in ("prompts", "helpful"):
                with prompts.find(item) as file:
                    _require_there(file)
            elif isinstance(path, Path):
                _require_there(path)


def _require_there(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: is not there")


def _require_same(planned: Plan, folder: Path) -> None:
    """Raise UserError where a stage that is complete was asked for otherwise."""
    changed = [
        f"{name}: {difference}"
        for name in planned(folder)
        if complete(folder / name / "events.jsonl")
        for difference in _differences(planned, folder, name)
    ]
    if changed:
        raise UserError(
            f"{folder}: holds other runs; choose another --run folder, or repeat them as they were:\n  "
            + "\n  ".join(changed)
        )


def _differences(planned: Plan, folder: Path, name: str) -> Iterator[str]:
    known = _words_of(folder, name)
    if known is None:
        say(f"{name}: {COMMANDS} is of a version before, which quoted no words: is taken for this recipe's")
        return
    words, place = known
    asked = parsed(words, folder / name)
    # As if in the folder of then, which its words name: it may have been moved since.
    now = planned((place / (getattr(asked, "run", None) or folder / name)).parent)[name]
    if words[0] != now[0]:
        yield f"stage: {words[0]} there, {now[0]} now"
        return
    # What neither names is as it was, though a default has changed since.
    kept = not_typed(asked.settings, asked, folder / name)
    old, new = _whole(asked, kept), _whole(parsed(now, name), kept)
    for key in new:
        if not _same(old[key], new[key], place):
            yield f"{key.replace('_', '-')}: {_told(old[key])} there, {_told(new[key])} now"


def _whole(asked: argparse.Namespace, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What a command asks for, by option, with what it leaves out: as kept, else the default."""
    defaults = {f.name: f.default for f in fields(asked.settings)}
    typed = {name: value for name, value in vars(asked).items() if name != "run_command"}
    return {**defaults, **kept, **typed}


def _same(old: Any, new: Any, place: Path) -> bool:
    """Whether a value of a command that was given in this place is one of now; a file by its path."""
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_same(*pair, place) for pair in zip(old, new, strict=True))
    if old == new or not (isinstance(old, Path | str) and isinstance(new, Path | str)):
        return bool(old == new)
    (kind, _, then), (other, _, now) = str(old).rpartition("="), str(new).rpartition("=")  # helpful=FILE
    return kind == other and os.path.abspath(place / then) == os.path.abspath(now)


def _words_of(folder: Path, name: str) -> tuple[list[str], Path] | None:
    """The words that made a stage, and where they were given; None where they can't be told apart.

    Raises UserError where nothing says them.
    """
    try:
        return command_of(folder / name)
    except UserError:
        # A kill may have come after a stage's end, and before it had kept its words.
        with contextlib.suppress(OSError, ValueError):
            head, *lines = (folder / COMMANDS).read_text("utf-8").split("\n")
            if head != QUOTED:
                return None
            for line in lines:
                words = shlex.split(line)[1:]
                if Path(*words[2:3]).name == name:
                    return words, Path.cwd()
        raise


def _told(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _line(words: list[str]) -> str:
    """A command as a line to read, and to type; of a word with a line end, none becomes a line of its own."""
    return shown(f"cai {shlex.join(words)}").replace("\n", "\N{REPLACEMENT CHARACTER}")


def _run(words: list[str], folder: Path, stop: Stop) -> int:
    if complete(folder / "events.jsonl"):
        say("  is complete")
        return 0
    process = subprocess.Popen([sys.executable, "-P", "-m", "pipeline", *words], start_new_session=True)
    asked = False
    while True:
        try:
            return process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if stop.is_set() and not asked:
                process.send_signal(signal.SIGTERM)
                asked = True
