"""`cai doctor`: what this machine has, and what to do about what it lacks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from pipeline import doctor
from pipeline.doctor import Finding
from pipeline.terminal import shown


def register(subparsers: Any) -> None:
    """Add `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="look at this machine and the installation",
        description="Machine, versions, device, disk and models, and for each fault what to do. Exit status "
        "1 where something needs doing. `cai-studio doctor` looks at the sessions too.",
    )
    parser.add_argument("--json", action="store_true", help="the same as JSON")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings; returns 1 where something needs doing."""
    return tell(doctor.findings(), args.json)


def tell(findings: Iterable[Finding], as_json: bool) -> int:
    """Print findings, a line each, and below a fault what to do; returns 1 where there is one."""
    found = list(findings)
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))  # noqa: T201
    else:
        for one in found:
            print(shown(f"{'!' if one.todo else ' '} {one.name:15} {one.told}"))  # noqa: T201
            if one.todo:
                print(shown(f"  {'':15} → {one.todo}"))  # noqa: T201
    return int(any(one.todo for one in found))
