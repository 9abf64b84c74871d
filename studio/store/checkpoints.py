"""The session's checkpoints, as the folders of its runs hold them: results of training, and snapshots of RL.

Nothing of them is in the database: a checkpoint is what lies there, with its card beside the weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline import bounded, events, lineage
from pipeline.bases import CARD
from pipeline.errors import UserError
from pipeline.lineage import Lineage
from studio.store import constitutions, runs
from studio.store.database import Reader
from studio.store.runs import ACTIVE, Run

LARGEST = 4_000_000
"""Bytes of a card, or of ratings: all of a session's are read at once."""
RESULT, SNAPSHOTS = "checkpoint", "snapshots"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint. `id` is its run, and for a snapshot the step too; `name` is what people call it.

    `at_work`: its run goes on, so that it may not be deleted. The card is empty where it can't be read.
    """

    id: str
    run: str
    name: str
    folder: Path
    card: Mapping[str, Any]
    made: datetime
    at_work: bool = False

    @property
    def source(self) -> Path:
        """What `cai` calls it: the run for its result, else the snapshot's folder."""
        return self.folder.parent if self.folder.name == RESULT else self.folder

    @property
    def snapshot(self) -> bool:
        """Whether it was taken on the way, and is no run's result."""
        return self.folder.name != RESULT

    @property
    def weighs(self) -> bool:
        """Whether its weights are here: an export of a session leaves them out, and keeps the card."""
        return any(self.folder.glob("*.safetensors"))

    @property
    def adapter(self) -> bool:
        """Whether its weights need a base."""
        return (self.folder / "adapter_config.json").is_file()


def listed(store: Reader, folder: Path) -> list[Checkpoint]:
    """All checkpoints of the runs in `folder`, the newest run first, each before its snapshots."""
    known = {run.id: run for run in runs.listed(store)}
    found = [(_modified(path), path) for path in _folders(folder)]
    return [
        checkpoint
        for _, path in sorted(found, key=lambda item: (item[0], item[1].name), reverse=True)
        for checkpoint in _of_run(path, known.get(path.name))
    ]


def stamp(folder: Path) -> str:
    """Changes whenever a checkpoint comes or goes."""
    paths = [card for run in _folders(folder) for card in _cards(run)]
    return " ".join(f"{path.parent.relative_to(folder)}@{_modified(path)}" for path in paths)


def load(store: Reader, folder: Path, id: str) -> Checkpoint | None:
    """The checkpoint of this id; None where there is none."""
    return next((checkpoint for checkpoint in listed(store, folder) if checkpoint.id == id), None)


def lineage_of(checkpoint: Checkpoint, session: Path) -> Lineage:
    """What it came from, as far as it lies in the session's folder. Raises UserError for a broken card."""
    return lineage.of(checkpoint.source, within=session)


def under(store: Reader, found: Lineage) -> list[tuple[str, str]]:
    """The constitutions in a lineage: version, and the name that the session or the run knows it by."""
    versions = []
    for node in found.nodes:
        if node.kind == "constitution":
            version = dict(node.facts).get("version", "")
            versions.append((version, constitutions.name_of(store, version) or node.title.rpartition(" ")[0]))
    return versions


def descendants(of: Checkpoint, every: Sequence[Checkpoint], session: Path) -> list[str]:
    """The names of the other runs' checkpoints that came from this one, or from a snapshot of its run."""
    source, names = of.source.resolve(), []
    for other in every:
        if other.run == of.run or other.snapshot or not other.card:
            continue
        folders = [node.folder for node in lineage_of(other, session).nodes if node.folder]
        if any(folder == source or (not of.snapshot and source in folder.parents) for folder in folders):
            names.append(other.name)
    return names


def delete_folder(checkpoint: Checkpoint) -> None:
    """Remove a snapshot, or the folder of a run that the session has no row of. Raises UserError."""
    if checkpoint.at_work or events.held(checkpoint.source / "events.jsonl"):
        raise UserError(f"{checkpoint.name}: its run is at work; stop it first")
    try:
        shutil.rmtree(checkpoint.source)
    except OSError as error:
        raise UserError(f"{checkpoint.name}: can't be deleted: {error.strerror}") from error


def _of_run(path: Path, run: Run | None) -> Iterator[Checkpoint]:
    at_work = run is not None and run.state in ACTIVE
    name = run.name if run else path.name
    for card in _cards(path):
        folder = card.parent
        step = "" if folder.name == RESULT else folder.name
        yield Checkpoint(
            id=f"{path.name}/{step}" if step else path.name,
            run=path.name,
            name=f"{name}, {step.replace('-', ' ')}" if step else name,
            folder=folder,
            card=card_in(card),
            made=datetime.fromtimestamp(_modified(card), UTC),
            at_work=at_work,
        )


def _folders(folder: Path) -> list[Path]:
    """The runs' folders. Links are none: they could lead anywhere."""
    if not folder.is_dir():
        return []
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
    ]


def _cards(run: Path) -> list[Path]:
    """The cards of a run: its result's, then those of its snapshots, the latest first."""
    steps = sorted((run / SNAPSHOTS).glob("step-*"), key=_step, reverse=True)
    paths = [folder / CARD for folder in (run / RESULT, *steps) if not folder.is_symlink()]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def _step(folder: Path) -> int:
    digits = folder.name.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else -1


def card_in(path: Path) -> Mapping[str, Any]:
    """What a checkpoint.json says; nothing where it can't be read."""
    try:
        at = path.stat()
    except OSError:  # deleted meanwhile
        return {}
    try:
        return _card(path, (at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns))
    except ValueError:
        return {}


@lru_cache(maxsize=1024)
def _card(path: Path, version: tuple[int, ...]) -> Mapping[str, Any]:
    """Kept while its file is the same: menus and votes ask for all of a session's cards again and again.

    Raises ValueError where it can't be read, which may be otherwise the next time.
    """
    card = small_json(path)
    if not isinstance(card, dict):
        raise ValueError(path)
    return MappingProxyType(card)


def judges(run: Path) -> bool:
    """Whether a run has made a feedback model: it judges after a principle's question, and is no reward."""
    return card_in(run / RESULT / CARD).get("method") == "feedback"


def small_json(path: Path) -> object:
    """What a JSON file says that a run wrote; None where it can't be read, or is too large to be one."""
    try:
        return bounded.json_of(path, LARGEST)
    except (OSError, ValueError):
        return None


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # deleted meanwhile
        return 0.0
