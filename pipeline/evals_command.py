"""`cai evals`: how often a model finds the right answer of a multiple-choice file (figure 4).

With `--run DIR` each answer is kept, and a stopped or killed run goes on where it was when the same command
is given again; of a complete one it prints the figures again.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import evals, models
from pipeline.configs import Measuring, add_arguments, from_arguments
from pipeline.engines import Engine
from pipeline.engines.opening import loaded
from pipeline.errors import UserError
from pipeline.evals import Answer, EvalFile, Question
from pipeline.growing import EXCERPT, Stop, Work, grow, say, unless_complete
from pipeline.intervals import Figure
from pipeline.records import as_json, parse
from pipeline.rundir import RunDir, read_rows
from pipeline.stage_inputs import revisions

ANSWERS = "answers.jsonl"
KINDS = {
    "letters": "with lettered options, asked as they are",
    "responses": "pairs of responses, put as a choice of the most helpful, honest and harmless, both orders",
}
SCORED = "questions, answered by the scores of their responses, each read alone"


def register(subparsers: Any) -> None:
    """Add `evals` to the command line."""
    parser = subparsers.add_parser(
        "evals",
        help="measure a model on multiple-choice questions",
        description="Reads rows of `prompt`, `corrects` and `incorrects`, whose answers are letters or "
        "responses, and prints the accuracy with its 95% interval, clustered by prompt. With --run each "
        "answer is kept, and the same command again goes on with a stopped run.",
    )
    parser.add_argument("--file", required=True, type=Path, help="JSONL or a JSON array")
    parser.add_argument("--run", type=Path, metavar="DIR", help="keep the answers in this run's directory")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    add_arguments(parser, Measuring)
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Print the figures. Raises UserError; returns 0, or 130 when stopped before the last question."""
    measuring = from_arguments(Measuring, args)
    found = evals.read(args.file)
    for line in found.report():
        say(line)
    models.resolve(measuring.model)  # a mistyped name fails at once
    if args.run:
        answers, status = _kept(args, measuring, found)
    else:
        answers, status = _told(args, measuring, found)
    if status == 130:
        say(f"stopped: the figures are of the first {len(answers)} of {len(found.questions)} questions")
    if not answers:
        if status == 130:
            return status
        raise UserError(f"{args.file}: no question was answered: each was left out, as said above")
    report = evals.report(answers)
    left_out = len(found.problems) + (0 if status else len(found.questions) - len(answers))
    if args.json:
        print(json.dumps(_plain(args.file, measuring.model, answers[0], report, left_out), indent=2))  # noqa: T201
    else:
        for line in _lines(answers[0], report, left_out):
            print(line)  # noqa: T201
    return status


def _told(args: argparse.Namespace, measuring: Measuring, found: EvalFile) -> tuple[list[Answer], int]:
    """The answers of one sitting, kept nowhere; and 130 where it was stopped."""
    with Stop.on_signals() as stop:
        bar = _Bar(len(found.questions))
        answers = evals.answer(
            found.questions,
            _load(measuring.model),
            measuring.form,
            bar.one_more,
            lambda question, why: say(f"{args.file}:{question.line}: is left out: {why}"),
            stop.is_set,
        )
        bar.end()
        stopped = stop.is_set() and len(answers) < len(found.questions)
    return answers, 130 if stopped else 0


def _kept(args: argparse.Namespace, measuring: Measuring, found: EvalFile) -> tuple[list[Answer], int]:
    """All answers of the run, those of earlier attempts too; and 130 where it was stopped."""
    folder = RunDir.open(
        args.run,
        {"stage": "evals", **as_json(measuring), **revisions(model=measuring.model)},
        {f"questions{args.file.suffix}": args.file},
    )
    status = unless_complete(
        folder,
        args.json,
        lambda: grow(
            folder,
            "evals",
            "answers",
            ANSWERS,
            lambda row: str(row["id"]),
            [question.id for question in found.questions],
            lambda work: _answer(work, measuring, found.questions),
        ),
    )
    path = folder.outputs / ANSWERS
    return [parse(Answer, row) for row in read_rows(path if path.exists() else folder.part(ANSWERS))], status


def _answer(work: Work, measuring: Measuring, questions: Sequence[Question]) -> None:
    asked = {question.id: question.prompt for question in questions}

    def keep(answer: Answer) -> None:
        work.keep(as_json(answer), 0, lambda: {"prompt": asked[answer.id][-EXCERPT:], "p": answer.p})

    evals.answer(
        [question for question in questions if work.lacks(question.id)],
        _load(measuring.model),
        measuring.form,
        keep,
        lambda question, why: work.skip(f"line {question.line}", why),
        work.stop.is_set,
    )


def _load(name: str) -> Engine:
    return loaded(name)


def _lines(of: Answer, report: evals.Report, left_out: int) -> list[str]:
    kinds = [f"{count:,} {KINDS[kind]}" for kind, count in report.kinds.items()]
    if models.scores(of.model):
        kinds = [f"{report.accuracy.n:,} {SCORED}"]
    return [
        f"{of.model} ({of.revision}), asked in the {of.form} form",
        *kinds,
        _line("accuracy", report.accuracy),
        *([] if math.isnan(report.first.value) else [_line("first option wins", report.first)]),
        f"{'exact ties':20} {report.ties:,}, each counted as half right",
        *([f"left out: {left_out:,}"] * bool(left_out)),
    ]


def _line(name: str, f: Figure) -> str:
    return f"{name:20} {f.value:.3f}  [{f.low:.3f}, {f.high:.3f}]  n = {f.n:,} of {f.clusters:,} prompts"


def _plain(file: Path, model: str, of: Answer, report: evals.Report, left_out: int) -> dict[str, Any]:
    plain = asdict(report)
    for name in ("accuracy", "first"):
        plain[name] = {k: None if math.isnan(v) else v for k, v in plain[name].items()}
    named = {"model": model, "revision": of.revision, "form": of.form}
    return {"file": str(file), **named, **plain, "left_out": left_out}


class _Bar:
    """How far it is, on a terminal."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.right = total, 0, 0.0

    def one_more(self, answer: Answer) -> None:
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
