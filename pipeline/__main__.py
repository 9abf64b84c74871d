"""The command `cai`: the pipeline's stages, headless. Loads torch only where a stage runs a model."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import sysconfig
from collections.abc import Collection, Sequence
from itertools import filterfalse
from typing import Any

from pipeline import (
    agreement_command,
    constitution_command,
    critique_command,
    doctor_command,
    elo_command,
    evals_command,
    evaluate_command,
    export_command,
    label_command,
    lineage_command,
    models_command,
    pairs_command,
    preferences_command,
    prompts_command,
    recipe_command,
    replay_command,
    score_command,
    tour_command,
    train_command,
)
from pipeline.errors import UserError
from pipeline.terminal import hang_up, say_all, shown

MACHINE = frozenset(
    getattr(errno, name)
    for name in (
        "ENOSPC",
        "EDQUOT",
        "EROFS",
        "EIO",
        "EFBIG",
        "EMFILE",
        "ENFILE",
        "ENOMEM",
        "ENODEV",
        "ESTALE",
    )
    if hasattr(errno, name)  # Windows lacks some
)
"""Errors of the disk, and limits: they come without a path where they come of a write."""
PROGRAM = (os.path.dirname(os.path.abspath(__file__)), sysconfig.get_path("purelib"))

COMMANDS = (
    constitution_command,
    prompts_command,
    models_command,
    critique_command,
    pairs_command,
    label_command,
    agreement_command,
    preferences_command,
    evals_command,
    train_command,
    evaluate_command,
    elo_command,
    score_command,
    recipe_command,
    lineage_command,
    export_command,
    replay_command,
    tour_command,
    doctor_command,
)


class Parser(argparse.ArgumentParser):
    """Knows options by their whole names: an abbreviation turns into another one as options are added."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **how})


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    return _parsers()[0]


def options() -> dict[str, Collection[str]]:
    """The options of each command, as they are typed."""
    return {name: made._option_string_actions for name, made in _parsers()[1].choices.items()}


def _parsers() -> tuple[Parser, argparse._SubParsersAction[Parser]]:
    made = Parser(prog="cai", description="Constitutional AI, stage by stage.")
    commands = made.add_subparsers(required=True, metavar="STAGE")
    for command in COMMANDS:
        command.register(commands)
    return made, commands


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0 done, 2 a mistake that the message explains, 130 stopped."""
    say_all()
    words = sys.argv[1:] if argv is None else argv
    if broken := next(filterfalse(_encodable, words), None):
        print(f"cai: {broken!a}: holds half a character: type it again", file=sys.stderr)  # noqa: T201
        return 2
    args = parser().parse_args(words)
    try:
        status: int = args.run_command(args)
        if status == 0 and args.run_command is not replay_command.run:
            replay_command.keep_command(getattr(args, "run", None), words)
        sys.stdout.flush()
    except UserError as error:
        print(shown(f"cai: {error}"), file=sys.stderr)  # noqa: T201
        return 2
    except BrokenPipeError:
        return hang_up()
    except OSError as error:
        if not _mendable(error):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(shown(f"cai: {where}{error.strerror or error}"), file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def _encodable(word: str) -> bool:
    """Whether the system could take it for a name: on Windows a command line may hold half a character."""
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return False
    return True


def _mendable(error: OSError) -> bool:
    """Whether a person can mend it: the disk or a limit of the machine, or a path that is not of the program.

    Anything else is a bug and keeps its traceback: a closed file, a lost connection that nobody took for one,
    a file that should have come with the program. A path that *we* got wrong looks like one that somebody
    else took away, so the message names it.
    """
    if error.errno in MACHINE:
        return True
    if not isinstance(error.filename, str | bytes):
        return False
    path = os.path.abspath(os.fsdecode(error.filename))
    return not any(path.startswith(folder + os.sep) for folder in PROGRAM)


if __name__ == "__main__":
    sys.exit(main())
