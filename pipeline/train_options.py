"""The options of `cai sft`, `pm`, `rl` and `dpo` that name what is learnt from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from pipeline.gate import State
from pipeline.records import Axis
from pipeline.written import SETS, SKILLS


def sft(parser: argparse.ArgumentParser) -> None:
    """Chains, demonstrations and helpful examples."""
    parser.add_argument(
        "--chains", nargs="+", type=Path, default=[], metavar="DIR", help="finished runs of `cai critique`"
    )
    parser.add_argument(
        "--written",
        metavar="CONSTITUTION",
        help="the project's demonstrations of what a critic does, under this constitution",
    )
    parser.add_argument(
        "--skills",
        nargs="+",
        choices=SKILLS,
        default=SKILLS,
        help="of --written only the lessons in these",
    )
    parser.add_argument(
        "--responses",
        type=Path,
        metavar="DIR",
        help="a run of `cai critique --prompts written`: its responses in place of those of --written",
    )
    parser.add_argument(
        "--demos",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="JSONL of `messages` ending in an answer",
    )
    parser.add_argument(
        "--helpful",
        type=Path,
        metavar="PROMPTS",
        help="helpful examples beside the revisions: prompts that are answered first, or demonstrations",
    )


def labels(parser: argparse.ArgumentParser) -> None:
    """AI labels, human comparisons, the project's own pairs, and the gate."""
    parser.add_argument(
        "--labels", nargs="+", type=Path, default=[], metavar="DIR", help="finished runs of `cai label`"
    )
    parser.add_argument(
        "--human",
        nargs="+",
        default=[],
        metavar="[AXIS=]FILE",
        help="files of human comparisons; helpful=FILE and harmless=FILE say what they are about",
    )
    parser.add_argument(
        "--written",
        nargs="+",
        choices=SETS,
        default=[],
        help="the project's own judged pairs, the reserved ones left out: written on an axis, or said by the "
        "bundled model and SL-CAIs of it, and read blind by a language model",
    )
    parser.add_argument(
        "--reserved", action="store_true", help="of --written only the reserved pairs: for a judge"
    )
    parser.add_argument(
        "--axis",
        choices=get_args(Axis),
        default="harmless",
        help="what human choices are about where a file does not say (default %(default)s)",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="FILE",
        help="change the AI labels' probabilities by this calibration: of `cai agreement --calibrate FILE`",
    )
    parser.add_argument(
        "--override-gate",
        default="",
        metavar="REASON",
        help="train on AI labels that people were not shown to agree with; the reason is stored with the run",
    )
    parser.add_argument(
        "--gate",
        choices=get_args(State),
        help="how the gate stands, where the judgments are not in the label runs",
    )


def pm(parser: argparse.ArgumentParser) -> None:
    """The same, what to measure on, and by what principles a feedback model is to read."""
    labels(parser)
    parser.add_argument(
        "--under",
        metavar="CONSTITUTION",
        help="train a feedback model instead: a response is read by a principle drawn for its "
        "pair, or where that is about helpfulness by what evaluations ask; for "
        "`cai label --model`. It wants --tuning head",
    )
    parser.add_argument(
        "--eval",
        nargs="+",
        default=[],
        metavar="[AXIS=]FILE",
        help="judged comparisons to measure the preference model on, none of them learnt from",
    )


def rl(parser: argparse.ArgumentParser) -> None:
    """The policy, the preference models and the prompts."""
    parser.add_argument("--policy", dest="model", default=argparse.SUPPRESS, help="the same as --model")
    parser.add_argument("--pm", required=True, help="the preference model that rewards: a run of `cai pm`")
    parser.add_argument(
        "--judge", default="", help="another preference model that watches, and never rewards"
    )
    parser.add_argument("--prompts", required=True, type=Path, help="a prompt file, or a shipped set")
