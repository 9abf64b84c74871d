"""A recipe as runs of the session, in the queue: each begins once the one before it is whole.

So what a recipe makes is in the session from its first row on, and each of its runs is stopped, resumed and
looked into like any other. A run that ends early holds back those after it, and no other run.
Headless: `cai run`, `cai tour`.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import constitution as constitutions
from pipeline import recipe
from pipeline.__main__ import parser
from pipeline.configs import from_arguments
from pipeline.errors import UserError
from pipeline.recipe import Recipe, Step
from pipeline.records import Constitution, as_json
from studio.jobs import queue, stages
from studio.jobs.stages import Stage
from studio.store import runs
from studio.store.constitutions import keep_version
from studio.store.database import Reader, Store
from studio.store.runs import RESUMABLE, NewRun, Run


@dataclass(frozen=True)
class Queued:
    """A recipe that was put in the queue: the name of its file, and its runs in their order.

    `steps` are the names of all its steps, those too whose run was deleted since.
    """

    id: str
    recipe: str
    steps: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def at(self) -> Run | None:
        """The run that it is at: the first that is not whole; None where all are."""
        return next((run for run in self.runs if run.state != "done"), None)

    @property
    def lacks(self) -> list[str]:
        """The steps whose run was deleted."""
        there = {step_of(run) for run in self.runs}
        return [step for step in self.steps if step not in there]

    @property
    def whole(self) -> bool:
        """Whether each of its runs has come to its end."""
        return self.at is None and not self.lacks

    @property
    def resumable(self) -> bool:
        """Whether it ended early and can go on."""
        return self.at is not None and self.at.state in RESUMABLE

    @property
    def at_work(self) -> bool:
        """Whether a run of it works, or waits for nothing but its turn."""
        return self.at is not None and not self.resumable and not self.lacks


def enqueue(
    store: Store, folder: Path, name: str, author: str, require: Callable[[Reader], None] = lambda _: None
) -> str:
    """Put the runs of a shipped recipe that needs no files in the queue; returns its id. Raises UserError.

    `require` raises where they may not be put there. It sees the queue as it is then: two who start one at
    once would both have found it empty before.
    """
    found = recipe.load(name)
    if found.needs:
        raise UserError(f"{found.name} needs files of yours: run it with `cai run {name}`")
    ids = {step.name: runs.new_id(store) for step in found.steps}
    reading = parser()
    every: list[NewRun] = []
    before, of = "", runs.new_id(store)
    for step in found.steps:
        place = folder / ids[step.name]
        words = recipe.arguments(step, {name: str(folder / id) for name, id in ids.items()}, place)
        more = {"of": of, "name": name, "after": before, "places": ids, **_plain(step)}
        args = reading.parse_args(words)
        under = _constitution(args)
        if under:
            keep_version(store, under, f"Of the recipe {name}", author)
        every.append(_run(found, step, args, under, more, author))
        before = ids[step.name]
    with store.tx() as tx:
        require(tx)
        for run in every:
            runs.add(tx, run, "waiting")
            queue.enqueue(tx, run.id)
    return of


def queued(store: Reader) -> list[Queued]:
    """The recipes of the session, the newest first."""
    of: dict[str, list[Run]] = {}
    for run in runs.listed(store):
        if known := run.config.get("recipe"):
            of.setdefault(known["of"], []).append(run)
    return [
        Queued(
            id, some[0].config["recipe"]["name"], tuple(some[0].config["recipe"]["places"]), tuple(some[::-1])
        )
        for id, some in of.items()
    ]


def step_of(run: Run) -> str:
    """The name of a run's step in its recipe."""
    return str(run.config["recipe"]["step"])


def _plain(step: Step) -> dict[str, Any]:
    return {"step": step.name, "says": step.says, "options": dict(step.options)}


def _constitution(args: Namespace) -> Constitution | None:
    named = getattr(args, "constitution", None)
    return constitutions.load(constitutions.find(named)) if named else None


def _run(
    found: Recipe, step: Step, args: Namespace, under: Constitution | None, more: dict[str, Any], author: str
) -> NewRun:
    """The run of a step, with the settings that its command has."""
    stage: Stage[Any] = stages.of(step.stage)
    given = vars(args)
    extra = {name: given[name] for name in stage.extra if given.get(name) is not None}
    return NewRun(
        id=more["places"][step.name],
        stage=stage.name,
        name=f"{found.name}: {step.name}",
        config={**as_json(from_arguments(stage.config, args)), **extra, "recipe": more},
        constitution=under.version if under else None,
        constitution_name=under.name if under else None,
        total=0,  # its process counts what the run before it leaves
        author=author,
    )
