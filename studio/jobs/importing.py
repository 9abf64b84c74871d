"""A run that was drawn headless, taken into the session: its folder, its events and its chains, once."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline import constitution as constitutions
from pipeline import events
from pipeline.errors import UserError
from pipeline.records import Constitution, as_json
from studio.jobs import stages
from studio.jobs.ingest import CHAINS, EVENTS, ingest
from studio.store import runs
from studio.store.chains import ChainFilter, count_chains
from studio.store.constitutions import keep_version
from studio.store.database import Store
from studio.store.runs import NewRun, State

RUNS = "runs"


@dataclass(frozen=True)
class Imported:
    """What came in. `new` is False where this very run was here already; `chains` are those it brought."""

    id: str
    name: str
    chains: int
    new: bool


def import_run(store: Store, folder: Path, author: str = "local") -> Imported:
    """Copy a run's directory into the session and read it, once, however often it is tried.

    Raises UserError where the folder is no run that can be imported, and says why.
    """
    folder = folder.expanduser().absolute()
    config, constitution = _read(store, folder)
    content = content_of(folder)
    known = runs.of_content(store, content)
    if known:
        return Imported(known.id, known.name, _chains(store, known.id), new=False)
    name = f"{folder.name} (imported)"
    # From the content: an import that was killed half way is done over by the next.
    id = f"imported-{content}" if not runs.exists(store, f"imported-{content}") else runs.new_id(store)
    run = NewRun(
        id=id,
        stage=stages.CRITIQUE.name,
        name=name,
        config=as_json(stages.CRITIQUE.settings(config)),
        constitution=constitution.version,
        constitution_name=constitution.name,
        total=_total(folder),
        author=author,
        origin="imported",
        content=content,
    )
    _copy(folder, store.folder / RUNS / id)
    keep_version(store, constitution, f"Imported with the run {folder.name}", author)
    ingest(store, run, store.folder / RUNS / id)
    with store.tx() as tx:
        runs.add(tx, run, _state(store, run))
    return Imported(id, name, _chains(store, id), new=True)


def content_of(folder: Path) -> str:
    """Identity of a run: its config and what it has written."""
    digest = hashlib.sha256()
    for name in ("config.yaml", *CHAINS):
        path = folder / name
        if path.is_file():
            digest.update(f"{name}:{path.stat().st_size}:".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _read(store: Store, folder: Path) -> tuple[dict[str, Any], Constitution]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    if folder.is_relative_to(store.folder):
        raise UserError(f"{folder}: is in this session already")
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder}: not a run: it has no config.yaml (name the folder that --run named)")
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
        if not isinstance(config, dict):
            raise ValueError("not the config of a run")
        if config.get("stage") != stages.CRITIQUE.name:
            raise ValueError(f"a run of the stage {config.get('stage')!r}, which can't be imported yet")
        stages.CRITIQUE.settings(config)
    except (OSError, ValueError, TypeError, yaml.YAMLError, UserError) as error:
        raise UserError(f"{folder}/config.yaml: {error}") from error
    if not any((folder / name).is_file() for name in CHAINS):
        raise UserError(f"{folder}: this run has written no chains yet")
    if events.held(folder / EVENTS):
        raise UserError(f"{folder}: a process is at work on this run; wait for it, or stop it")
    constitution = constitutions.load(folder / "inputs" / stages.CONSTITUTION)
    if constitution.version != config.get("constitution"):
        raise UserError(
            f"{folder}: inputs/{stages.CONSTITUTION} is not the constitution that it was drawn by"
        )
    return config, constitution


def _total(folder: Path) -> int:
    from pipeline import prompts

    return len(prompts.read(stages.prompts_in(folder)).prompts)


def _copy(source: Path, target: Path) -> None:
    """The whole folder, aside and then renamed. Links are left out: they could lead anywhere."""
    aside = target.with_name(f".{target.name}.part")
    try:
        for leftover in (aside, target):
            shutil.rmtree(leftover, ignore_errors=True)
        shutil.copytree(
            source, aside, ignore=lambda at, names: [n for n in names if (Path(at) / n).is_symlink()]
        )
        os.replace(aside, target)
    except OSError as error:  # shutil's own error is one too
        raise UserError(f"{source}: can't be copied: {error}") from error


def _state(store: Store, run: NewRun) -> State:
    last = runs.last_event(store, run.id)
    if last and last.kind == "finished" and last.data.get("status") == "done":
        return "done"
    return "failed" if last and last.kind == "failed" else "stopped"


def _chains(store: Store, id: str) -> int:
    return count_chains(store, ChainFilter(run=id))
