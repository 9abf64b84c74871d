"""`cai elo`: ratings of the models in a file of matchups, as a table or as JSON rows."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pipeline import elo, matchups
from pipeline.elo import Group, Rating, Table
from pipeline.errors import UserError
from pipeline.growing import say
from pipeline.matchups import Question
from pipeline.terminal import shown

_KINDS = {"person": "people", "imported": "imported judgments", "model": "a model"}
_STANDING = {"above": "above any number", "below": "below any number", "apart": "not compared"}


def register(subparsers: Any) -> None:
    """Add `elo` to the command line."""
    parser = subparsers.add_parser(
        "elo",
        help="rate models by their matchups",
        description="Bradley-Terry ratings on the Elo scale, with 95% intervals of the difference to the "
        "base model, which is 0: prompts are resampled, not votes. One table for each axis and judge: "
        "people, imports and models are never in one. Only differences within a table mean anything.",
    )
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="matchups.jsonl, a run of `cai evaluate`, or an arena file of `model_a`, `model_b` and `winner`",
    )
    parser.add_argument(
        "--axis",
        choices=get_args(Question),
        help="only judgments of this; rows that do not say what they judge are of it",
    )
    parser.add_argument(
        "--base",
        default="",
        metavar="MODEL",
        help="which model is 0; else `bundled`, or the one with the most votes",
    )
    parser.add_argument(
        "--soft",
        action="store_true",
        help="count the judge's probability, not the majority of both orders (whose disagreement is a tie)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (default 0)")
    parser.add_argument("--json", action="store_true", help="the ratings as JSON rows")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Print the ratings. Raises UserError; returns 0."""
    if args.seed < 0:
        raise UserError(f"--seed: {args.seed} is below 0")
    found = matchups.read(args.file, args.axis or "overall")
    for line in found.report():
        say(line)
    kept = [m for m in found.matchups if args.axis in (None, m.axis)]
    if not kept:
        raise UserError(f"{args.file}: no matchup is on the axis {args.axis}")
    groups = elo.grouped(kept)
    if args.base and not any(args.base in (m.model_a, m.model_b) for m in kept):
        names = ", ".join(sorted({name for m in kept for name in (m.model_a, m.model_b)}))
        raise UserError(f"--base {args.base}: has no vote here; the models are {names}")
    tables = {group: _rated(group, some, args) for group, some in groups.items()}
    if args.json:
        rows = [row for group, table in tables.items() for row in elo.as_rows(group, table)]
        print(json.dumps(rows, indent=2))  # noqa: T201
        return 0
    for group, table in tables.items():
        for line in lines(group, table):
            print(shown(line))  # noqa: T201
    print("Only differences within a table mean anything.")  # noqa: T201
    return 0


def _rated(group: Group, some: list[matchups.Matchup], args: argparse.Namespace) -> Table:
    rule: elo.Rule = "soft" if args.soft else "majority"
    votes = elo.votes(some, rule)
    base = args.base
    if base and base not in votes.models:
        base = elo.usual_base(votes)
        say(f"{group}: {args.base} has no vote there; {base} is 0 instead")
    return elo.rate(votes, base, rule, args.seed)


def lines(group: Group, table: Table) -> Iterator[str]:
    """A group's ratings for people: what they are of, a model a line, and what they can't bear."""
    under = f" under {group.constitution}" if group.constitution else ""
    yield f"{group.axis}, judged by {group.judge} ({_KINDS[group.kind]}){under}"
    rule = "probabilities" if table.rule == "soft" else "majorities of both orders"
    yield f"  {table.n:,} votes of {table.prompts:,} prompts, {rule}; {table.base} = 0"
    wide = max(len(r.model) for r in table.ratings)
    for rating in table.ratings:
        yield f"  {rating.model:{wide}}  {_figure(rating, table.base)}  n = {rating.n:,}"
    for warning in table.warnings:
        yield f"  ! {warning}"


def _figure(rating: Rating, base: str) -> str:
    if rating.elo is None:
        return f"{_STANDING[rating.standing]:>24}"
    if rating.model == base:
        return f"{0:>6}{'':18}"
    low = "-∞" if rating.low is None else f"{rating.low:+.0f}"
    high = "∞" if rating.high is None else f"{rating.high:+.0f}"
    return f"{rating.elo:>+6.0f}  {f'[{low}, {high}]':16}"
