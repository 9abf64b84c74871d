"""The command `cai constitution`: check, compare, import, export and list constitutions.

Errors are raised as UserError; the caller prints them. Paper: the constitution is sections 1.2, 3.1, 4.1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from pipeline.constitution import dump, find, load, shipped
from pipeline.constitution_diff import diff_text
from pipeline.errors import UserError
from pipeline.export_files import put, require_free
from pipeline.foreign import Form, export, import_files
from pipeline.records import Constitution
from pipeline.terminal import shown, shown_in_line


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `constitution` and its subcommands; each sets `run_command`, a function from the arguments to 0."""
    parser = subparsers.add_parser("constitution", help="check, compare, import and export constitutions")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    named = "a YAML file, or the name of a shipped constitution"

    check = commands.add_parser("check", help="say every problem in a file, or what it holds")
    check.add_argument("file", metavar="FILE", help=named)
    check.set_defaults(run_command=run_check)

    compare = commands.add_parser("diff", help="show what changed between two constitutions")
    compare.add_argument("a", metavar="A", help=named)
    compare.add_argument("b", metavar="B", help=named)
    compare.set_defaults(run_command=run_diff)

    listing = commands.add_parser("list", help="list the shipped constitutions")
    listing.set_defaults(run_command=run_list)

    reading = commands.add_parser("import", help="make one YAML constitution of the paper's or other files")
    reading.add_argument("files", metavar="FILE", nargs="+", type=Path, help="recognised by its content")
    reading.add_argument("--into", metavar="BASE.yaml", help="add the files to this constitution")
    _add_output(reading, required=True)
    reading.set_defaults(run_command=run_import)

    writing = commands.add_parser("export", help="write a constitution in another tool's form")
    writing.add_argument("file", metavar="FILE", help=named)
    writing.add_argument("--form", required=True, choices=get_args(Form), help="whose form")
    writing.add_argument("--lossy", action="store_true", help="leave out what the form can't hold")
    _add_output(writing, required=False)
    writing.set_defaults(run_command=run_export)


def _add_output(parser: argparse.ArgumentParser, required: bool) -> None:
    default = "" if required else "; without it, the terminal"
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=required, help=f"file{default}")
    parser.add_argument("--force", action="store_true", help="overwrite OUT")


def run_check(args: argparse.Namespace) -> int:
    """Print the summary of a valid constitution. Raises InputError with every problem of another."""
    _say(summary(load(find(args.file))))
    return 0


def run_diff(args: argparse.Namespace) -> int:
    """Print the differences between two constitutions."""
    _say(diff_text(load(find(args.a)), load(find(args.b))))
    return 0


def run_list(args: argparse.Namespace) -> int:
    """Print the summary of each shipped constitution."""
    for path in shipped().values():
        _say(summary(load(path)))
    return 0


def run_import(args: argparse.Namespace) -> int:
    """Read files of any form into one YAML constitution."""
    _refuse_existing(args.output, args.force)
    base = load(find(args.into)) if args.into else None
    imported = import_files(args.files, base)
    put(dump(imported), args.output)
    _say(f"{args.output}: {summary(imported)}")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write a constitution in another form."""
    if args.output:
        _refuse_existing(args.output, args.force)
    text = export(load(find(args.file)), args.form, args.lossy)
    if args.output:
        put(text, args.output)
    else:
        sys.stdout.write(text)
    return 0


def summary(constitution: Constitution) -> str:
    """One line: name, version, and how many principles serve which stage."""
    principles = constitution.principles
    live = [principle for principle in principles if principle.enabled and principle.weight > 0]
    critique = sum(principle.critique_request is not None for principle in live)
    feedback = sum(principle.comparison is not None for principle in live)
    enabled = sum(principle.enabled for principle in principles)
    counted = f"{len(principles)} principle{'s' * (len(principles) != 1)}"
    counts = f"{counted} ({enabled} enabled; {critique} for critique, {feedback} for feedback)"
    return f"{shown_in_line(constitution.name)}  {constitution.version}  {counts}"


def _say(text: str) -> None:
    sys.stdout.write(f"{shown(text)}\n")


def _refuse_existing(path: Path, force: bool) -> None:
    if str(path) == "-":
        raise UserError("-o -: name a file; `cai constitution export` without -o writes to the terminal")
    require_free(path, force)
