"""`cai export`: a checkpoint as a folder that others can load, and on the hub where a token is set."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.growing import say
from pipeline.models import HUB_ID

TOKEN = "HF_TOKEN"  # noqa: S105 - the variable's name


def register(subparsers: Any) -> None:
    """Add `export` to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="write a checkpoint as a folder for others",
        description="The adapter as it is or, merged, a whole model that plain transformers loads; with "
        "tokenizer, chat template and a model card that says what it came from.",
    )
    parser.add_argument("checkpoint", type=Path, help="a training run's directory, or a checkpoint in it")
    parser.add_argument("--to", required=True, type=Path, metavar="FOLDER", help="a new or empty folder")
    parser.add_argument(
        "--merged", action="store_true", help="the whole model, the adapter added to its base"
    )
    parser.add_argument(
        "--push",
        metavar="REPO",
        help=f"also to this repository of the hub (org/name), private, with {TOKEN}; without local paths",
    )
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Export, then push. Raises UserError."""
    from pipeline.train import exporting

    token = _token(args.push) if args.push else ""
    exporting.export(args.checkpoint, args.to, args.merged, portable=bool(args.push))
    print(args.to)  # noqa: T201
    if args.push:
        _push(args.to, args.push, token)
    return 0


def _token(repository: str) -> str:
    """The hub's token. Raises UserError before any work where it can't be pushed."""
    if not HUB_ID.fullmatch(repository) or "/" not in repository or "@" in repository:
        raise UserError(f"--push {repository}: expected a repository of the hub as org/name")
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise UserError(
            f"--push needs a token of the hub that may write: set {TOKEN} (made at "
            "huggingface.co/settings/tokens), or leave --push out and upload the folder yourself"
        )
    return token


def _push(folder: Path, repository: str, token: str) -> None:
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    say(f"uploading to {repository}")
    try:
        hub = HfApi(token=token)
        hub.create_repo(repository, private=True, exist_ok=True)
        if not hub.model_info(repository).private:  # it was there before, and stayed as it was
            raise UserError(
                f"{repository}: is public on the hub, and --push uploads to private repositories alone: make "
                f"it private in its settings, or push to another; {folder} holds what was to be uploaded"
            )
        hub.upload_folder(repo_id=repository, folder_path=folder, commit_message="Exported by CAI Studio")
    except (HfHubHTTPError, OfflineModeIsEnabled, HTTPError, OSError, ValueError) as error:
        said = str(error).replace(token, "…")
        raise UserError(f"{repository}: not uploaded; {folder} holds what was to be: {said}") from None
    say(f"uploaded: https://huggingface.co/{repository}")
