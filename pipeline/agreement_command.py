"""`cai agreement`: how far a label run agrees with human choices, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from pipeline import agreement, annotators, bias, export_files, gate
from pipeline.agreement import Figure
from pipeline.baselines import baselines
from pipeline.calibration import calibrate
from pipeline.compared_run import Judged, read
from pipeline.errors import UserError
from pipeline.growing import say
from pipeline.records import Axis, as_json
from pipeline.terminal import shown

NAMES = {"person": "People", "imported": "Imported judgments", "model": "Judgments by a model"}


def register(subparsers: Any) -> None:
    """Add `agreement` to the command line."""
    parser = subparsers.add_parser(
        "agreement",
        help="compare a run's AI labels with human choices",
        description="Accuracy, kappa, calibration, trivial baselines, bias and the gate, each with its n and "
        "a 95% interval clustered by prompt. Pairs that were picked for what the AI said are left out.",
    )
    parser.add_argument("--labels", required=True, type=Path, metavar="RUN", help="a run of `cai label`")
    parser.add_argument("--human", type=Path, metavar="FILE", help="judgments; else the run's human.jsonl")
    parser.add_argument("--axis", choices=get_args(Axis), help="which question; else the one that is judged")
    parser.add_argument(
        "--threshold", type=float, default=gate.THRESHOLD, help="what the gate asks for (%(default)s)"
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="FILE",
        help="also learn a calibration from the judgments, for `cai pm --calibration FILE`",
    )
    parser.add_argument("--force", action="store_true", help="replace --calibrate's FILE where it is there")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Print the figures of each kind of annotator. Raises UserError; returns 0."""
    if args.calibrate:
        export_files.require_free(args.calibrate, args.force)
    judged = read(args.labels, args.human, args.axis)
    for note in judged.notes:
        say(note)
    if args.calibrate:
        _calibrate(judged, args.calibrate)
    tables = {kind: figures(judged, kind, args.threshold) for kind in judged.kinds}
    if args.json:
        found = {"labels": str(args.labels), "axis": judged.axis, "kinds": tables}
        print(json.dumps(_plain(found), indent=2))  # noqa: T201
        return 0
    for kind, table in tables.items():
        names = ", ".join(sorted(set(judged.annotators(kind))))
        print(shown(f"{NAMES[kind]} ({names}), {judged.axis}"))  # noqa: T201
        for line in _lines(table):
            print(f"  {line}".rstrip())  # noqa: T201
    return 0


def _calibrate(judged: Judged, path: Path) -> None:
    """Learn from people where any judged, else from imported judgments; never from a model's."""
    kind = next((kind for kind in ("person", "imported") if kind in judged.kinds), None)
    if kind is None:
        raise UserError("calibration: no person's or imported judgments to learn from")
    c = judged.compared(kind)
    made = calibrate(c.p_a, c.choice, c.cluster)
    export_files.put(json.dumps(as_json(made), indent=2) + "\n", path)
    error = f"calibration error {made.before.ece.value:.3f} before, {made.after.ece.value:.3f} after"
    say(f"{path}: {made.kind} of {made.n:,} judgments ({kind}): {error}, cross-validated")


def figures(judged: Judged, kind: str, threshold: float) -> dict[str, Any]:
    """All figures of the judgments by one kind of annotator, as records and numbers."""
    c, ratings = judged.compared(kind), judged.ratings(kind)
    ties = agreement.with_ties(c)
    table: dict[str, Any] = {
        "judgments": len(c),
        "human_ties": c.human_ties,
        "accuracy": agreement.accuracy(c),
        "kappa": agreement.kappa(c),
        "confusion": agreement.confusion(c),
        "baselines": baselines(c),
        "brier": agreement.brier(c),
        "ece": agreement.ece(c),
        "letter_share": bias.letter_share(c),
        "exact_ties": bias.exact_ties(c),
        "order_flips": bias.order_flips(c),
        "judged_alone": c.alone,
        "length": bias.length_bias(c),
        "with_ties": ties,
        "gate": judged.gate(kind, threshold),
    }
    if len(ratings.table) > 1:
        table["alpha"] = annotators.alpha(ratings.table, ratings.cluster)
        table["pairwise"] = annotators.pairwise(ratings.table, ratings.cluster)
    return table


def _lines(table: dict[str, Any]) -> Iterator[str]:
    """The table for people: a figure a line, then the gate in words."""
    yield _line("accuracy", table["accuracy"])
    yield _line("Cohen's kappa", table["kappa"])
    for rule in table["baselines"]:
        yield _line(f"  {rule.name}", rule.accuracy)
        yield _line("    AI less that", rule.difference, sign="+")
    rows = table["confusion"].tolist()
    for side, row in zip("ab", rows, strict=True):
        yield f"human {side}: AI a {row[0]:,}, exact tie {row[1]:,}, b {row[2]:,}"
    yield _line("Brier score", table["brier"])
    yield _line("calibration error", table["ece"])
    if not table["judged_alone"]:
        yield _line("option (A) wins", table["letter_share"], "orders")
        yield _line("winner turns with order", table["order_flips"], "pairs")
    else:
        yield f"{'bias by order':30} none: each response was judged alone"
    yield _line("exact ties", table["exact_ties"], "orders")
    yield _line("AI prefers the longer", table["length"].ai)
    yield _line("  humans do", table["length"].human)
    yield _line("  AI less humans", table["length"].difference, sign="+")
    yield f"human ties, left out above: {table['human_ties']:,}"
    if table["human_ties"]:
        yield _line("accuracy with ties", table["with_ties"].accuracy)
        yield _line("kappa with ties", table["with_ties"].kappa)
    if "alpha" in table:
        yield _line("Krippendorff's alpha", table["alpha"], "pairs")
        yield _line("annotators agree", table["pairwise"], "twos")
    for sentence in ("gate", *table["gate"].words()):
        yield sentence if sentence == "gate" else f"  {sentence}"


def _line(name: str, f: Figure, noun: str = "judgments", sign: str = "") -> str:
    if not f.defined:
        return f"{name:30} undefined, n = {f.n:,}"
    value, low, high = (f"{x:{sign}.3f}" for x in (f.value, f.low, f.high))
    of = f"n = {f.n:,} {noun} of {f.clusters:,} prompts"
    return f"{name:30} {value:>6}  [{low}, {high}]  {of}"


def _plain(value: Any) -> Any:
    """Records, arrays and NaN as what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({**asdict(value), **({"words": value.words()} if isinstance(value, gate.Gate) else {})})
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
