"""What an adapter or a head stands on: its name and revision, and the folders in which it may lie."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import bounded, bundled
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.models import ModelFiles

CARD = "checkpoint.json"
"""Beside the weights of a model that was trained here: what it came from."""
COMMIT = re.compile(r"[0-9a-f]{40}")
"""How the hub names a revision; a folder's is shorter."""
DEEPEST = 16
"""Folders above each other that a base's name may end in, where it is looked for elsewhere."""


@dataclass(frozen=True)
class Base:
    """A base as a config names it. `revision` is what the card beside it says, or empty."""

    name: str
    revision: str

    @property
    def of_hub(self) -> bool:
        return COMMIT.fullmatch(self.revision) is not None

    @property
    def local(self) -> bool:
        """Whether it is a folder for certain: where it is missing, the hub has none of it."""
        return self.name.startswith((".", "~", os.sep)) or bool(self.revision and not self.of_hub)

    @property
    def pinned(self) -> str:
        """Its name, at the revision that it had where that is a hub's."""
        return f"{self.name.partition('@')[0]}@{self.revision}" if self.of_hub else self.name

    def places(self, folder: Path) -> list[Path]:
        """Where it may lie: as named, and beside the run of the `folder` that names it.

        Where its revision is known, below that run's ancestors and here too: a project may have moved.
        """
        path = Path(self.name).expanduser()
        places = [path]
        if self.local:
            places.append(run_of(folder).parent / path.relative_to(run_of(path).parent))
        if self.local and self.revision:
            parts = path.relative_to(path.anchor).parts[-DEEPEST:]
            tails = [Path(*parts[at:]) for at in range(len(parts))]
            above = [Path.cwd(), *run_of(folder.absolute()).parents]
            places += [place / tail for tail in tails for place in above]
        return [place for place in dict.fromkeys(places) if self.name and os.path.isdir(place)]


def read(config: Path) -> Base:
    """The base that an adapter's or a head's config names. Raises ValueError where it names none."""
    try:
        name = bounded.json_of(config)["base_model_name_or_path"]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{config.name} does not name its base model (`base_model_name_or_path`)") from error
    if not isinstance(name, str):
        raise ValueError(f"the base model {name!r} in {config.name} is not a model name")
    return Base(name.strip(), _revision(config.with_name(CARD), name))


def find(base: Base, config: Path, resolve: Callable[[str], ModelFiles]) -> ModelFiles:
    """The base that a config names, of the revision that its card knows; `resolve` finds a model by name.

    Raises UserError where it isn't there: on other weights an adapter says something else.
    """
    refusal = ""
    if base.name not in bundled.NAMES:
        for place in base.places(config.parent):
            try:
                return _checked(resolve(os.path.abspath(place)), base)
            except UserError as error:
                refusal = refusal or str(error)
        if base.local:
            where = f"put it there or beside its run, or write where it is into {config}"
            raise UserError(refusal or f"{base.name}: no such folder: {where}")
        if refusal and not base.of_hub:
            raise UserError(refusal)
    return _checked(replace(resolve(base.pinned), name=base.name), base)


def same_revision(one: object, other: object) -> bool:
    """Whether two revisions, or two lists of them, are of the same weights.

    A hub's adapter once had its own commit alone, and now has its base's revision in front.
    """
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_revision, one, other))
    if one == other or not (isinstance(one, str) and isinstance(other, str)):
        return one == other
    return any(COMMIT.fullmatch(a) and b.rpartition("+")[2] == a for a, b in ((one, other), (other, one)))


def run_of(folder: Path) -> Path:
    """The run's folder that a checkpoint or snapshot lies in; its own where it lies in none."""
    if folder.name == "checkpoint":
        return folder.parent
    return folder.parent.parent if folder.parent.name == "snapshots" else folder


def _checked(found: ModelFiles, base: Base) -> ModelFiles:
    if base.revision not in ("", found.revision):
        raise UserError(
            f"{found.name}: is another model than the one that this was trained on (revision "
            f"{found.revision}, and it was {base.revision}): bring that one back to this place"
        )
    return found


def _revision(card: Path, name: str) -> str:
    try:
        said = bounded.json_of(card)
        start, revision = said.get("base"), said.get("base_revision")
    except (OSError, ValueError, AttributeError):
        return ""
    if not isinstance(revision, str):
        return ""
    # Training that goes on from an adapter has that one on its card: the base's revision is its first half.
    whole, adapter, _ = revision.partition("+")
    # A hub's adapter once had its own commit alone.
    return "" if not adapter and start != name and COMMIT.fullmatch(whole) else whole
