"""`cai preferences`: judged pairs as a file to train on or to look into elsewhere."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from pipeline import compared_run, comparisons, export_files, gate, preferences
from pipeline import constitution as constitutions
from pipeline.errors import UserError
from pipeline.growing import say
from pipeline.preferences import P_AND_MARGIN, By, Judged
from pipeline.records import Axis, Constitution, Judgment, Label, parse
from pipeline.rundir import load_yaml, read_rows

FORMS = {"trl": (".jsonl", ".parquet"), "icai": (".json", ".csv"), "rows": export_files.SUFFIXES}
"""What each form can be written as."""


@dataclass(frozen=True)
class Found:
    """What there is to export. `model` names the AI judge; empty without labels."""

    judged: list[Judged]
    constitution: Constitution | None = None
    model: str = ""


def register(subparsers: Any) -> None:
    """Add `preferences` to the command line."""
    parser = subparsers.add_parser(
        "preferences",
        help="export judged pairs: TRL's preferences, ICAI's annotated pairs, or rows",
        description="trl: prompt, chosen, rejected, margin and p (.jsonl, .parquet). icai: annotated pairs "
        "(.json), or the data set that icai-exp takes (.csv). rows: a row a pair (.jsonl, .csv, .parquet). "
        "A CSV's texts that a spreadsheet would run as formulas get a leading apostrophe.",
    )
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--labels", type=Path, metavar="DIR", help="a finished run of `cai label`")
    given.add_argument(
        "--pairs", type=Path, help="pairs without AI labels: a file of human comparisons, or a run"
    )
    parser.add_argument("--human", type=Path, metavar="FILE", help="more judgments: a human.jsonl")
    parser.add_argument("--form", choices=list(FORMS), required=True, help="how it is written: see above")
    parser.add_argument(
        "--by",
        choices=get_args(By),
        help="who chooses in trl and icai .csv: ai, human, or both: people where they did, else the AI "
        "(default ai; with --pairs human)",
    )
    parser.add_argument(
        "--axis", choices=get_args(Axis), help="what people chose by (default: the run's, else harmless)"
    )
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT", help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace OUT where it is there")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Write the file. Raises UserError."""
    output: Path = args.output
    if output.suffix not in FORMS[args.form]:
        raise UserError(f"{output}: the form {args.form} is written as {' or '.join(FORMS[args.form])}")
    export_files.require_free(output, args.force)
    args.axis = args.axis or _axis(args.labels)
    found = _found(args)
    by: By = args.by or ("ai" if args.labels else "human")
    if output.suffix == ".json":
        _write_annotated(found, output)
    else:
        rows = _rows(found.judged, args.form, by)
        if not rows:
            raise UserError(
                f"{output}: no pair has a choice by {by} that is not a tie on the axis {args.axis}"
            )
        if changed := export_files.write(rows, output):
            say(f"texts that start like a formula and got a leading apostrophe: {changed:,}")
        if left := len(found.judged) - len(rows):
            say(f"pairs left out, tied or not judged: {left:,}")
        say(f"pairs written: {len(rows):,}")
    _explain(args, by)
    print(output)  # noqa: T201
    return 0


def _explain(args: argparse.Namespace, by: By) -> None:
    """What the numbers are, and whether people were shown to agree with the AI whose they are."""
    if args.form == "trl":
        say(P_AND_MARGIN)
    if args.labels and by != "human":
        say(f"gate: {_gate(args)}")


def _gate(args: argparse.Namespace) -> str:
    """What people's judgments say of the labels, in words."""
    try:
        held = compared_run.read(args.labels, args.human, args.axis)
    except UserError:  # as where nobody has judged, or the pairs were chosen for what an AI said
        return f"{gate.NOT_SHOWN}: no judgments here can tell"
    return " ".join(held.gate("person").words())


def _rows(items: Sequence[Judged], form: str, by: By) -> list[dict[str, Any]]:
    if form == "trl":
        return preferences.trl(items, by)
    return preferences.icai_rows(items, by) if form == "icai" else preferences.flat(items)


def _write_annotated(found: Found, output: Path) -> None:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    data = preferences.icai(found.judged, found.constitution, found.model, output.stem, time)
    export_files.put(json.dumps(data, indent=1) + "\n", output)
    say(f"pairs written: {len(found.judged):,}, with {len(data['annotators']):,} annotators")


def _axis(run: Path | None) -> Axis:
    """What the run says that its people chose by."""
    try:
        config = load_yaml(run / "config.yaml") if run else None
    except (OSError, ValueError) as error:
        raise UserError(f"{run}: not a run of `cai label`: config.yaml can't be read") from error
    return "helpful" if isinstance(config, dict) and config.get("axis") == "helpful" else "harmless"


def _found(args: argparse.Namespace) -> Found:
    held = comparisons.read(args.labels or args.pairs, args.axis)
    judgments = list(held.judgments)
    problems = held.report()
    if args.human:
        more, wrong = comparisons.read_judgments(args.human)
        judgments += more
        problems += wrong
    for line in problems:
        say(line)
    if not args.labels:
        return Found(preferences.judged(held.pairs, judgments=judgments, axis=args.axis))
    return _labelled(args.labels, held, judgments, args.axis)


def _labelled(folder: Path, held: comparisons.PairFile, judgments: Sequence[Judgment], axis: Axis) -> Found:
    file = folder / "outputs" / "labels.jsonl"
    if not file.is_file():
        raise UserError(f"{folder}: no outputs/labels.jsonl: not a finished run of `cai label`")
    try:
        labels = [parse(Label, row) for row in read_rows(file)]
    except ValueError as error:
        raise UserError(f"{file}: is not as `cai label` writes it: {error}") from error
    constitution = constitutions.load(folder / "inputs" / "constitution.yaml")
    weights = preferences.weights_of(constitution)
    items = preferences.judged(held.pairs, labels, weights, judgments, axis)
    return Found(items, constitution, labels[0].model if labels else "")
