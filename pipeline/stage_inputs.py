"""What the stages that ask a model about prompts read before they begin: `cai critique`, `cai pairs`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import models, prompts
from pipeline.errors import UserError
from pipeline.growing import say
from pipeline.prompts import PromptFile


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """The options `--prompts` and `--run`."""
    parser.add_argument(
        "--prompts",
        required=True,
        type=Path,
        help="a prompt file (text, JSONL, JSON, CSV, Parquet), or a set: red-team, helpful:heldout, written",
    )
    parser.add_argument("--run", required=True, type=Path, metavar="DIR", help="the run's directory")


def read_prompts(path: Path) -> tuple[PromptFile, dict[str, Path]]:
    """The prompts of a file, whose faults are told, and the run's input that it becomes: name to file.

    Raises InputError where nothing in it is a prompt.
    """
    found = prompts.read(path)
    for line in found.report():
        say(line)
    suffixes = path.suffixes[-2:] if path.suffix == ".gz" else [path.suffix]
    return found, {f"prompts{''.join(suffixes)}": path}


def revisions(**named: str) -> dict[str, str]:
    """Which weights, as `NAME_revision`: a folder's may change under its name, and a run has one model."""
    return {f"{role}_revision": models.resolve(name).revision for role, name in named.items()}


def writers(**named: str) -> dict[str, str]:
    """The same of models that are to write. Raises UserError for one that can't, before a folder is made."""
    for name in named.values():
        if models.scores(name):
            raise UserError(f"{name}: scores answers and writes none: name another model, such as `bundled`")
    return revisions(**named)
