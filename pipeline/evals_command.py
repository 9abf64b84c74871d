"""`cai evals`: how often a model finds the right answer of a multiple-choice file."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from pipeline import evals, models
from pipeline.engines import Engine, Form
from pipeline.engines.opening import open_engine
from pipeline.errors import UserError
from pipeline.growing import Stop, say
from pipeline.intervals import Figure

KINDS = {
    "letters": "with lettered options, asked as they are",
    "responses": "pairs of responses, put as a choice of the most helpful, honest and harmless, both orders",
}


def register(subparsers: Any) -> None:
    """Add `evals` to the command line."""
    parser = subparsers.add_parser(
        "evals",
        help="measure a model on multiple-choice questions",
        description="Reads rows of `prompt`, `corrects` and `incorrects`, whose answers are letters or "
        "responses, and prints the accuracy with its 95%% interval, clustered by prompt.",
    )
    parser.add_argument("--file", required=True, type=Path, help="JSONL or a JSON array")
    parser.add_argument(
        "--model",
        default="bundled",
        help="bundled, a hub id, a folder, an adapter, a run or a server's URL#MODEL (%(default)s)",
    )
    parser.add_argument("--form", choices=get_args(Form), help="chat template or plain; else the model's own")
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Print the figures. Raises UserError; returns 0, or 130 when stopped before the last question."""
    found = evals.read(args.file)
    for line in found.report():
        say(line)
    models.resolve(args.model)  # a mistyped name fails at once
    with Stop.on_signals() as stop:
        engine = _load(args.model)
        bar = _Bar(len(found.questions))
        answers = evals.answer(
            found.questions,
            engine,
            args.form,
            bar.one_more,
            lambda question, why: say(f"{args.file}:{question.line}: is left out: {why}"),
            stop.is_set,
        )
        bar.end()
        stopped = stop.is_set() and len(answers) < len(found.questions)
    if stopped:
        say(f"stopped: the figures are of the first {len(answers)} of {len(found.questions)} questions")
    if not answers:
        if stopped:
            return 130
        raise UserError(f"{args.file}: no question was answered: each was left out, as said above")
    report = evals.report(answers)
    left_out = len(found.problems) + (0 if stopped else len(found.questions) - len(answers))
    if args.json:
        print(json.dumps(_plain(args, engine, report, left_out), indent=2))  # noqa: T201
    else:
        for line in _lines(engine, report, left_out):
            print(line)  # noqa: T201
    return 130 if stopped else 0


def _load(name: str) -> Engine:
    say(f"loading {name}")
    return open_engine(name)


def _lines(engine: Engine, report: evals.Report, left_out: int) -> list[str]:
    lines = [f"{count:,} {KINDS[kind]}" for kind, count in report.kinds.items()]
    lines += [
        _line("accuracy", report.accuracy),
        _line("first option wins", report.first),
        f"{'exact ties':20} {report.ties:,}, each counted as half right",
    ]
    return [
        f"{engine.info.name} ({engine.info.revision})",
        *lines,
        *([f"left out: {left_out:,}"] * bool(left_out)),
    ]


def _line(name: str, f: Figure) -> str:
    return f"{name:20} {f.value:.3f}  [{f.low:.3f}, {f.high:.3f}]  n = {f.n:,} of {f.clusters:,} prompts"


def _plain(args: argparse.Namespace, engine: Engine, report: evals.Report, left_out: int) -> dict[str, Any]:
    plain = asdict(report)
    for name in ("accuracy", "first"):
        plain[name] = {k: None if math.isnan(v) else v for k, v in plain[name].items()}
    model = {"model": args.model, "revision": engine.info.revision, "form": args.form or engine.info.form}
    return {"file": str(args.file), **model, **plain, "left_out": left_out}


class _Bar:
    """How far it is, on a terminal."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.right = total, 0, 0.0

    def one_more(self, answer: evals.Answer) -> None:
        """Another question is answered."""
        self.done += 1
        self.right += answer.right
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{self.done}/{self.total} questions · {self.right / self.done:.0%} right ")
            sys.stderr.flush()

    def end(self) -> None:
        """Take the line away."""
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
