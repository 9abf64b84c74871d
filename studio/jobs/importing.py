"""A run that was made headless, taken into the session: its folder, its events and its rows, once."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline import constitution as constitutions
from pipeline import events
from pipeline.errors import UserError
from pipeline.records import Constitution, as_json
from pipeline.rundir import load_yaml
from studio.jobs import stages
from studio.jobs.ingest import EVENTS, files, ingest, outputs, read
from studio.jobs.stages import Stage
from studio.progress import plural
from studio.store import runs
from studio.store.constitutions import keep_version
from studio.store.database import Store
from studio.store.runs import Figures, NewRun, State

RUNS = "runs"
LINE = 64 << 20
"""The most bytes of a line: rows are taken in whole lines."""
ONE = threading.Lock()
"""One import at a time: a second press of the button would take the same run in, over the first's folder."""


@dataclass(frozen=True)
class Imported:
    """What came in. `new` is False where this very run was here already; `made` of `noun` are there of it."""

    id: str
    name: str
    made: int
    noun: str
    new: bool

    @property
    def told(self) -> str:
        """The same in words."""
        what = f"imported, {plural(self.made, self.noun)}" if self.new else "this run is here already"
        return f"{self.name}: {what}."


def import_run(store: Store, folder: Path, author: str = "local") -> Imported:
    """Copy a run's directory into the session and read it, once, however often it is tried.

    Raises UserError where the folder is no run that can be imported, and says why.
    """
    store.require_writable()
    folder = folder.expanduser().absolute()
    stage, config, constitution = _read(store, folder)
    content = content_of(folder, stage.name)
    with ONE:
        known = runs.of_content(store, content)
        if known and known.detail != runs.BEGUN:
            return Imported(known.id, known.name, _made(store, known.id, stage), stage.noun, new=False)
        # From the content: an import that was killed half way is done over by the next.
        id = f"imported-{content}"
        run = NewRun(
            id=id,
            stage=stage.name,
            name=f"{folder.name} (imported)",
            config=config,
            constitution=constitution.version if constitution else None,
            constitution_name=constitution.name if constitution else None,
            total=0,
            author=author,
            origin="imported",
            content=content,
        )
        _copy(folder, store.folder / RUNS / id)
        if constitution:
            keep_version(store, constitution, f"Imported with the run {folder.name}", author)
        read(store, run, store.folder / RUNS / id, EVENTS)  # that say how many rows it was to make
        with store.tx() as tx:
            # Before its rows: those of an import that is killed would count, and be of no run.
            # One that was deleted comes back as itself: what it has made stayed, and says that it is its own.
            if not runs.set_state(tx, id, "stopped", ["deleted", "stopped"], runs.BEGUN):
                runs.add(tx, replace(run, total=_total(store, id)), "stopped", runs.BEGUN)
        ingest(store, run, store.folder / RUNS / id)
        with store.tx() as tx:
            if not runs.set_state(tx, id, _state(store, run), ["stopped"]):
                raise UserError(f"{run.name}: it was deleted while it came in: import it again")
        back = runs.load(store, id)
        return Imported(id, back.name if back else run.name, _made(store, id, stage), stage.noun, new=True)


def content_of(folder: Path, stage: str) -> str:
    """Identity of a run: its config and what it has written."""
    digest = hashlib.sha256()
    trains = stages.of(stage).trains
    # Two trainings of the same config differ in what they have said: when, at least.
    for name in ("config.yaml", EVENTS, *made_of(stage)) if trains else ("config.yaml", *made_of(stage)):
        path = folder / name
        if path.is_file():
            digest.update(f"{name}:{path.stat().st_size}:".encode())
            with path.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()[:16]


def made_of(stage: str) -> tuple[str, ...]:
    """The files that say that a run of this stage has made something."""
    return ("checkpoint/checkpoint.json",) if stages.of(stage).trains else outputs(stage)


def _read(store: Store, folder: Path) -> tuple[Stage[Any], dict[str, Any], Constitution | None]:
    """The run's stage, its settings, and the constitution that it was made by."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    if folder.is_relative_to(store.folder):
        raise UserError(f"{folder}: is in this session already")
    if not (folder / "config.yaml").is_file():
        raise UserError(f"{folder}: not a run: it has no config.yaml (name the folder that --run named)")
    try:
        config = load_yaml(folder / "config.yaml")
        if not isinstance(config, dict):
            raise ValueError("not the config of a run")
        stage = stages.of(str(config.get("stage")))
        settings = {**as_json(stage.settings(config)), **stage.extras(config)}
    except (OSError, ValueError, UserError) as error:
        raise UserError(f"{folder}/config.yaml: {error}") from error
    if not any((folder / name).is_file() for name in made_of(stage.name)):
        what = "finished no checkpoint" if stage.trains else f"written no {stage.noun}s"
        raise UserError(f"{folder}: this run has {what} yet")
    if events.held(folder / EVENTS):
        raise UserError(f"{folder}: a process is at work on this run; wait for it, or stop it")
    whole = (folder / "outputs" / name for name in ("matchups.jsonl", "waiting.jsonl"))
    if stage is stages.EVALUATE and not any(map(Path.is_file, whole)):
        # Finished it would be another run, with these matchups again.
        raise UserError(f"{folder}: this tournament is not finished: give its command again, then import it")
    for name in files(stage.name):
        _require_lines(folder / name)
    optional = "--constitution" in stage.several
    if "--constitution" not in stage.files and not (optional and config.get("constitution")):
        return stage, settings, None
    constitution = constitutions.load(folder / "inputs" / stages.CONSTITUTION)
    if constitution.version != config.get("constitution"):
        raise UserError(f"{folder}: inputs/{stages.CONSTITUTION} is not the constitution that it was made by")
    return stage, settings, constitution


def _require_lines(path: Path) -> None:
    """Raise UserError for a line that is too long to hold."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(LINE + 1), b""), 1):
            if len(line) > LINE:
                raise UserError(f"{path}:{number}: a line of more than {LINE >> 20} MB")


def _total(store: Store, id: str) -> int:
    """How many rows the run was to make, as it said when it started; 0 where it did not."""
    said = runs.last_event(store, id, "started")
    total = said.data.get("total") if said else None
    return total if isinstance(total, int) else 0


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
    finally:
        shutil.rmtree(aside, ignore_errors=True)  # on a full disk, half a copy is what fills it


def _state(store: Store, run: NewRun) -> State:
    last = runs.last_event(store, run.id)
    if last and last.kind == "finished" and last.data.get("status") == "done":
        return "done"
    return "failed" if last and last.kind == "failed" else "stopped"


def _made(store: Store, id: str, stage: Stage[Any]) -> int:
    """How much of it is here: rows, or the steps that were trained."""
    if stage.trains:
        return runs.figures(store).get(id, Figures()).done
    return runs.kept(store).get(id, 0)
