"""`cai replay RUN`: do a finished run again, from its own directory, and compare what comes of it.

Texts and labels are to be the same where nobody stopped the run, on the same machine with the same engine;
figures of training are to be near.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.configs import not_typed
from pipeline.errors import UserError
from pipeline.events import complete, metrics
from pipeline.growing import say
from pipeline.rundir import read_rows, write_atomically

COMMAND = "command.json"
TIMES = frozenset(("seconds", "time"))
"""What is never the same twice."""
SPEEDS = frozenset(
    [
        *("tokens_per_second", "epoch", "step_time"),
        # Runs of before told these too.
        *("eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "eval_num_tokens"),
    ]
)
INPUTS = {"--prompts": "prompts.*", "--pairs": "pairs.jsonl", "--constitution": "constitution.yaml"}
"""Options whose file is also among the run's inputs, as it was."""


@dataclass(frozen=True)
class Compared:
    """How many rows (or steps) are the same of so many, and how the first that is not differs."""

    name: str
    same: int
    of: int
    first: str = ""


def register(subparsers: Any) -> None:
    """Add `replay` to the command line."""
    parser = subparsers.add_parser(
        "replay",
        help="do a finished run again from its directory, and compare",
        description="Repeats a run's command on its own inputs. Texts and labels should be equal on the same "
        "machine and engine, figures of training within the tolerance. Exit status 1 where they are not.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's directory")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the repeated run is to stay")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-3,
        help="how far figures of training may be apart, as a share of them (default %(default)s)",
    )
    parser.set_defaults(run_command=run)


def keep_command(folder: Path | None, words: Sequence[str]) -> None:
    """Note in a finished run's directory how it was asked for; nothing where a command has made no run."""
    if folder and (folder / "config.yaml").is_file() and not (folder / COMMAND).exists():
        kept = {"words": list(words), "folder": str(Path.cwd())}
        write_atomically(folder / COMMAND, json.dumps(kept, indent=1) + "\n")


def command_of(run: Path) -> tuple[list[str], Path]:
    """The words after `cai` that made a run, and the folder that they were given in. Raises UserError."""
    try:
        kept = json.loads((run / COMMAND).read_text("utf-8"))
        words, folder = [str(word) for word in kept["words"]], Path(kept["folder"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{run}: does not say by which command it was made ({COMMAND}): runs of before can't be repeated"
        ) from error
    # The files of a run may lie beside it; where it was started is only needed for relative names.
    return words, folder if folder.is_dir() else Path.cwd()


def parsed(words: Sequence[str], where: object) -> argparse.Namespace:
    """What a command asks for. Raises UserError for options that its stage does not know."""
    from pipeline.__main__ import parser

    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return parser().parse_args(words)
    except SystemExit as error:
        last = said.getvalue().strip().rpartition("error: ")[2]
        raise UserError(f"{where}: {last}") from error


def run(args: argparse.Namespace) -> int:
    """Repeat and compare. Raises UserError; returns 1 where something differs."""
    if not 0 <= args.tolerance < math.inf:  # written so that NaN fails
        raise UserError(f"--tolerance: {args.tolerance} is no share: give a number from 0, such as 0.001")
    if not complete(args.run / "events.jsonl"):
        raise UserError(f"{args.run}: no finished run: only what has come to its end can be compared")
    words, folder = command_of(args.run)
    with ExitStack() as stack:
        goal = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "again"
        words = [*_elsewhere(words, args.run.absolute(), goal.absolute()), *_as_then(words, args.run)]
        say(f"again: cai {' '.join(words)}")
        done = subprocess.run([sys.executable, "-P", "-m", "pipeline", *words], cwd=folder, check=False)
        if done.returncode:
            raise UserError(f"the repeated run ended with status {done.returncode}, as said above")
        found = list(compare(args.run, goal, args.tolerance))
    for one in found:
        told = f"{one.name}: {one.same:,} of {one.of:,} the same"
        print(f"{told}; first difference: {one.first}" if one.first else told)  # noqa: T201
    return 0 if all(one.same == one.of for one in found) else 1


def compare(run: Path, again: Path, tolerance: float) -> Iterator[Compared]:
    """Each output of rows, and the figures of training step by step."""
    for path in sorted((run / "outputs").glob("*.jsonl")):
        yield _rows(path.name, read_rows(path), read_rows(again / "outputs" / path.name))
    old, new = (dict(metrics(folder / "events.jsonl")) for folder in (run, again))
    if old or new:
        yield _steps(old, new, tolerance)


def _rows(name: str, before: Sequence[Any], after: Sequence[Any]) -> Compared:
    same, first = 0, ""
    for at, (old, new) in enumerate(zip(before, after, strict=False), 1):
        difference = next(_differences(old, new, ""), "")
        same += not difference
        first = first or (f"row {at}, {difference}" if difference else "")
    if len(before) != len(after):
        first = first or f"{len(before):,} rows then, {len(after):,} now"
    return Compared(name, same, max(len(before), len(after)), first)


def _differences(old: Any, new: Any, place: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            if name not in TIMES:
                yield from _differences(old.get(name), new.get(name), f"{place}.{name}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for at, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differences(one, other, f"{place}[{at}]")
    elif old != new:
        yield f"{place}: {_short(old)} then, {_short(new)} now"


def _steps(
    before: Mapping[int, Mapping[str, float]], after: Mapping[int, Mapping[str, float]], tolerance: float
) -> Compared:
    same, first = 0, ""
    steps = sorted(before.keys() | after.keys())
    for step in steps:
        old, new = before.get(step, {}), after.get(step, {})
        apart = [
            f"{name} {old.get(name)} then, {new.get(name)} now"
            for name in sorted(old.keys() | new.keys())
            if name not in SPEEDS and not _near(old.get(name), new.get(name), tolerance)
        ]
        same += not apart
        first = first or (f"step {step}, {apart[0]}" if apart else "")
    return Compared("steps of training", same, len(steps), first)


def _near(old: float | None, new: float | None, tolerance: float) -> bool:
    if old is None or new is None:
        return old is new
    return math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _elsewhere(words: Sequence[str], run: Path, goal: Path) -> list[str]:
    """The same command into another folder, on the inputs that the run has kept."""
    places = {"--run": str(goal)}
    for option, pattern in INPUTS.items():
        if kept := sorted((run / "inputs").glob(pattern)):
            places[option] = str(kept[0])
    found, moved = list(words), False
    for at, word in enumerate(words):
        option, joined, _ = word.partition("=")
        if option not in places or not (joined or at + 1 < len(words)):
            continue
        if joined:
            found[at] = f"{option}={places[option]}"
        else:
            found[at + 1] = places[option]
        moved = moved or option == "--run"
    if not moved:  # it would go on with the run itself
        raise UserError(f"{run}: its command names no --run that could be another: it can't be repeated")
    return found


def _as_then(words: Sequence[str], run: Path) -> Iterator[str]:
    """The options that a run's command left to defaults of then, which may have changed."""
    with suppress(UserError):  # of words that can't be read, the repeated run says why
        asked = parsed(words, run)
        if settings := getattr(asked, "settings", None):
            for name, value in not_typed(settings, asked, run).items():
                if value not in (None, ""):
                    yield f"--{name.replace('_', '-')}={value}"
