"""`cai lineage`: what a checkpoint came from, as an indented tree or as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pipeline import bundled, lineage


def register(subparsers: Any) -> None:
    """Add `lineage` to the command line."""
    parser = subparsers.add_parser(
        "lineage",
        help="what a checkpoint came from",
        description="The constitutions, chains, labels, files and models that went into a checkpoint.",
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="a training run's directory, a checkpoint in it, or what this package has on the bundled model",
    )
    parser.add_argument("--json", action="store_true", help="the graph as JSON: nodes and edges")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Print the lineage. Raises UserError where there is no checkpoint."""
    known = bundled.TAUGHT.get(str(args.checkpoint))
    found = lineage.of(known[0] if known else args.checkpoint)
    print(json.dumps(as_json(found), indent=2) if args.json else lineage.tree(found))  # noqa: T201
    return 0


def as_json(found: lineage.Lineage) -> dict[str, Any]:
    """The graph as plain data."""
    return {
        "nodes": [
            {
                "id": node.id,
                "kind": node.kind,
                "title": node.title,
                "facts": dict(node.facts),
                "missing": node.missing,
            }
            for node in found.nodes
        ],
        "edges": [list(edge) for edge in found.edges],
    }
