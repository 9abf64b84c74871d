"""`cai prompts`: bring prompt files of any form into ours, and look at the shipped sets."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline import export_files, prompts
from pipeline.errors import UserError
from pipeline.records import Prompt
from pipeline.terminal import shown


def register(subparsers: Any) -> None:
    """Add `prompts` to the command line."""
    parser = subparsers.add_parser("prompts", help="import prompt files, and see the shipped sets")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    bring = actions.add_parser(
        "import",
        help="read prompts in any form and write them as JSONL",
        description="Reads text, JSONL, JSON arrays, CSV, TSV (also .gz) and Parquet: chat messages, TRL, "
        "hh-rlhf, Alpaca, ShareGPT, MT-bench. Bad rows are told and left out, equal prompts merged.",
    )
    bring.add_argument("file", help="a prompt file, or the name of a shipped set")
    bring.add_argument(
        "-o", "--output", required=True, type=Path, metavar="OUT.jsonl", help="the file to write"
    )
    bring.add_argument("--kind", choices=list(prompts.SETS.values()), help="the kind of all of them")
    bring.add_argument("--split", choices=prompts.SPLITS, help="the split of all of them")
    bring.add_argument("--tag", action="append", default=[], help="a tag for all of them; may be repeated")
    bring.add_argument("--force", action="store_true", help="replace OUT.jsonl where it is there")
    bring.set_defaults(run_command=_import)
    actions.add_parser("list", help="the shipped sets").set_defaults(run_command=_list)
    show = actions.add_parser("show", help="print the prompts of a shipped set or a file")
    show.add_argument(
        "name",
        help="a file, or one of the names that --prompts takes too: "
        "red-team, red-team:heldout, red-team:train:20 (twenty of these, spread evenly), helpful …, written",
    )
    show.add_argument("--split", choices=prompts.SPLITS, help="of a set: train if not given; of a file: all")
    show.set_defaults(run_command=_show)


def _import(args: argparse.Namespace) -> int:
    output: Path = args.output
    if output.suffix != ".jsonl":
        raise UserError(f"{output}: a prompt file's name must end with .jsonl")
    export_files.require_free(output, args.force)
    with prompts.find(args.file) as path:
        found = prompts.read(path, _progress)
    for line in found.report():
        _say(line)
    try:
        prompts.write(prompts.mark(found.prompts, args.kind, args.split, args.tag), output)
    except OSError as error:
        raise UserError(f"{output}: can't be written: {error.strerror}") from error
    _say(f"prompts imported: {len(found.prompts):,}, bad rows left out: {len(found.problems):,}")
    print(output)  # noqa: T201
    return 0


def _list(args: argparse.Namespace) -> int:
    for name, kind in prompts.SETS.items():
        every = prompts.starter(kind)
        for split in prompts.SPLITS:
            print(f"{name}:{split:8} {sum(p.split == split for p in every)} prompts")  # noqa: T201
        tags = sorted(Counter(tag for prompt in every for tag in prompt.tags).items())
        print("  " + ", ".join(f"{tag} {count}" for tag, count in tags))  # noqa: T201
    return 0


def _show(args: argparse.Namespace) -> int:
    named = args.name in prompts.SETS
    with prompts.find(f"{args.name}:{args.split}" if named and args.split else args.name) as path:
        found = prompts.read(path, _progress)
    every = [prompt for prompt in found.prompts if args.split in (None, prompt.split)]
    if not every:
        raise UserError(f"{args.name}: no prompt of the split {args.split}")
    for line in found.report():
        _say(line)
    for prompt in every:
        print(_described(prompt))  # noqa: T201
    return 0


def _described(prompt: Prompt) -> str:
    """A prompt on a line of its own, the turns before it and further lines indented."""
    head = f"{prompt.id}  {prompt.kind}:{prompt.split}  {', '.join(prompt.tags)}".rstrip()
    turns = [m.content if len(prompt.messages) == 1 else f"{m.role}: {m.content}" for m in prompt.messages]
    text = "\n".join(turns).replace("\n", "\n    ")
    return shown(f"{head}\n    {text}")


def _progress(rows: int, done: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{rows:,} rows · {done:.0%} " if done < 1 else "\r\x1b[K")
        sys.stderr.flush()


def _say(text: str) -> None:
    print(shown(text), file=sys.stderr)  # noqa: T201
