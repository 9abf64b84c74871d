"""`cai tour`: the whole loop on the bundled model, with a word on each stage, and what came of it.

It is a shipped recipe (`recipes/tour.yaml`), so that `cai run` can do the same, and a reader can change it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import recipe, recipe_command
from pipeline.growing import say

OUTCOME = ("harmless", "helpful")
"""The runs of the recipe that rate, by what they rate."""


def register(subparsers: Any) -> None:
    """Add `tour` to the command line."""
    parser = subparsers.add_parser(
        "tour",
        help="see the whole loop on the bundled model, each stage explained",
        description="Critique, SL-CAI, AI labels, a preference model, RL and Elo, one after another, each "
        "explained. The same command again goes on where it was.",
    )
    parser.add_argument("--run", required=True, type=Path, metavar="DIR", help="a folder for the runs")
    parser.add_argument("--quick", action="store_true", help="a short version, too short to learn much")
    parser.add_argument("--seed", type=int, default=0, help="of all draws and samples (default %(default)s)")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Run the stages and tell the outcome. Raises UserError; returns as `cai run` does."""
    found = recipe.load("tour-quick" if args.quick else "tour")

    def planned(folder: Path) -> dict[str, list[str]]:
        commands = recipe_command.plan(found, [], folder)
        return {name: [*words, "--seed", str(args.seed)] for name, words in commands.items()}

    say(found.about)
    status = recipe_command.follow(found, planned, args.run)
    if status == 0:
        for line in outcome(args.run):
            print(line)  # noqa: T201
    return status


def outcome(folder: Path) -> Iterator[str]:
    """What became of the models on both axes, a line each, from the tour's ratings."""
    for axis in OUTCOME:
        rows = json.loads((folder / axis / "outputs" / "ratings.json").read_text("utf-8"))
        judge = next((row["judge_heldout"] for row in rows if row.get("judge_heldout")), None)
        trust = f", which agrees with {judge['value']:.0%} of {judge['n']} held-out pairs" if judge else ""
        trust += ", which no person judged" if judge else ""
        yield f"{axis}: Elo against the plain model, by a judge{trust}"
        for row in rows:
            name = Path(row["model"]).name
            name = f"rl at {name}" if name.startswith("step-") else name
            if row["elo"] is None:
                yield f"  {name:12} {row['standing']} the plain model in all {row['n']} matchups: no number"
            elif row["low"] is None or row["high"] is None:
                yield f"  {name:12} {row['elo']:+5.0f}, its interval has no end (n={row['n']})"
            else:
                yield f"  {name:12} {row['elo']:+5.0f} [{row['low']:+.0f}, {row['high']:+.0f}] (n={row['n']})"
    yield "Where an interval holds 0, no difference to the plain model was shown."
