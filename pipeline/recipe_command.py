"""`cai run`: a recipe's stages, each in a process and a run folder of its own, one after another.

The same command again skips what is complete and goes on with the stage that was stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline import recipe
from pipeline.errors import UserError
from pipeline.events import complete
from pipeline.growing import Stop, say
from pipeline.recipe import Recipe
from pipeline.rundir import write_atomically


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
    return follow(found, plan(found, args.files, args.run), args.run, args.dry_run)


def follow(found: Recipe, commands: Mapping[str, list[str]], folder: Path, dry_run: bool = False) -> int:
    """Run a recipe's commands below a folder. Raises UserError; returns as `run` does."""
    _require_known(commands)
    for line in found.deviations:
        say(f"differs from the paper: {line}")
    if dry_run:
        for words in commands.values():
            print("cai", *words)  # noqa: T201
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "commands.txt", "".join(f"cai {' '.join(w)}\n" for w in commands.values()))
    says = {step.name: step.says for step in found.steps}
    with Stop.on_signals() as stop:
        for number, (name, words) in enumerate(commands.items(), 1):
            if stop.is_set():
                return 130
            say(f"[{number} of {len(commands)}] {name}: {says[name]}".rstrip(": "))
            say(f"  cai {' '.join(words)}")
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
        if not Path(path).exists():
            raise UserError(f"--with {item}: {path}: no such file")
        given[name] = path
    lacking = [f"{name} ({what})" for name, what in found.needs.items() if name not in given]
    if lacking:
        raise UserError(f"{found.name} needs files of yours, as --with NAME=FILE: {'; '.join(lacking)}")
    places = {**given, **{step.name: str(folder / step.name) for step in found.steps}}
    return {step.name: recipe.arguments(step, places, folder / step.name) for step in found.steps}


def _require_known(commands: Mapping[str, list[str]]) -> None:
    """Raise UserError where a stage does not know its options: before the first one has run for hours."""
    from pipeline.__main__ import parser

    reading = parser()
    for name, words in commands.items():
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                reading.parse_args(words)
        except SystemExit as error:
            last = said.getvalue().strip().rpartition("error: ")[2]
            raise UserError(f"{name}: {last}") from error


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
