"""`cai models`: what is on this machine, what a name means, and fetching the bundled model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from pipeline import bundled, models
from pipeline.errors import UserError
from pipeline.servers import ServerModel


def register(subparsers: Any) -> None:
    """Add `models` to the command line."""
    parser = subparsers.add_parser("models", help="the bundled model, and what a model name means")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    get = actions.add_parser("get", help="fetch and convert the bundled model, or a hub model")
    get.add_argument("name", help="`bundled` or a hub id")
    get.set_defaults(run_command=_get)
    show = actions.add_parser("show", help="where a model's weights are, and their revision")
    show.add_argument("name", nargs="?", default="bundled", help="as --model takes it (default %(default)s)")
    show.set_defaults(run_command=_show)


def _get(args: argparse.Namespace) -> int:
    if models.bare(args.name) in bundled.NAMES:
        bundled.get()
    return _describe(models.resolve(args.name))


def _show(args: argparse.Namespace) -> int:
    if models.bare(args.name) in bundled.NAMES and not bundled.available():
        raise UserError(bundled.MISSING)
    return _describe(models.resolve(args.name, download=False))


def _describe(files: models.ModelFiles | ServerModel) -> int:
    if isinstance(files, ServerModel):
        return _print(
            {"model": files.model, "kind": files.kind, "url": files.url, "revision": files.revision}
        )
    rows: dict[str, object] = {
        "model": files.name,
        "kind": files.kind,
        "folder": files.folder,
        "revision": files.revision,
    }
    if files.adapter:
        rows["adapter"] = files.adapter
    if files.head:
        rows["head"] = files.head
    if files.note:
        rows["note"] = files.note
    return _print(rows)


def _print(rows: Mapping[str, object]) -> int:
    for name, value in rows.items():
        print(f"{name:9} {value}")  # noqa: T201
    return 0
