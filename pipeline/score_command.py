"""`cai score`: a preference model scores the first response and each revision of chains (figures 5 and 7).

A stopped or killed run goes on where it was when the same command is given again; of a complete one it
prints the figures again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline import revision_scores, scoring
from pipeline.configs import Scoring, add_arguments, from_arguments
from pipeline.errors import UserError
from pipeline.growing import grow, say, unless_complete
from pipeline.records import parse
from pipeline.revision_scores import RevisionScore
from pipeline.rundir import RunDir, read_rows
from pipeline.terminal import shown
from pipeline.verdicts import Scorer

SCORES = "scores.jsonl"


def register(subparsers: Any) -> None:
    """Add `score` to the command line."""
    parser = subparsers.add_parser(
        "score",
        help="score chains by their number of revisions",
        description="A preference model scores each chain's first response and each of its revisions. For "
        "each run of chains: the mean score by number of revisions, the mean of the difference to the first "
        "response, and how often the final revision scores above it; with 95% intervals, clustered by "
        "prompt. The same command again goes on with a stopped run.",
    )
    parser.add_argument(
        "--chains",
        nargs="+",
        type=Path,
        required=True,
        metavar="DIR",
        help="finished runs of `cai critique`, or exported chains.jsonl",
    )
    parser.add_argument("--run", required=True, type=Path, metavar="DIR", help="the run's directory")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    add_arguments(parser, Scoring)
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the stage and print its figures. Raises UserError; returns 0 when whole, 130 when stopped."""
    from pipeline.train.sources import chains_file, chains_in

    pm = from_arguments(Scoring, args).pm
    revision = scoring.require(pm)
    files = {name: chains_file(path) for name, path in scoring.named(args.chains).items()}
    chains = {name: chains_in(path) for name, path in files.items()}
    every = list({one.id: one for one in scoring.answers(chains)}.values())
    if not every:
        raise UserError("--chains: there is no answer in these chains to score")
    for note in scoring.notes(pm, [chain for some in chains.values() for chain in some]):
        say(f"! {note}")
    folder = RunDir.open(
        args.run,
        {"stage": "score", "pm": pm, "pm_revision": revision},
        {f"chains/{name}.jsonl": path for name, path in files.items()},
    )
    status = unless_complete(
        folder,
        args.json,
        lambda: grow(
            folder,
            "score",
            "scores",
            SCORES,
            lambda row: str(row["id"]),
            [one.id for one in every],
            lambda work: scoring.score(work, every, pm, revision, lambda: _load(pm)),
        ),
    )
    if status:
        return status
    _tell([parse(RevisionScore, row) for row in read_rows(folder.outputs / SCORES)], args.json)
    return 0


def _tell(rows: list[RevisionScore], as_json: bool) -> None:
    found = revision_scores.courses(rows)
    if as_json:
        print(json.dumps(revision_scores.as_rows(found), indent=2))  # noqa: T201
        return
    print(shown(f"scored by {found[0].pm}; 95% intervals, clustered by prompt"))  # noqa: T201
    for line in revision_scores.lines(found):
        print(shown(line))  # noqa: T201


def _load(name: str) -> Scorer:
    from pipeline.preference_model import PreferenceModel

    return PreferenceModel(name).score
