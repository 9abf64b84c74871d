"""Who the competitors of matchups are: checkpoints of the session, known by path or weights, and others.

The same weights may compete under several names: a folder for the terminal, another in the session. They are
one model here. Other weights under the same name are another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from pipeline import models
from pipeline.bases import same_revision
from pipeline.errors import UserError
from pipeline.models import ModelFiles
from studio.components.checkpoint_view import METHODS
from studio.escaping import isolated
from studio.store.checkpoints import Checkpoint
from studio.store.matchups import Competitor

UNTRAINED = "not trained here"
REINFORCED = ("rloo", "grpo")
IMPORTED = " (imported)"
"""What the session adds to the name of a run's folder that was brought in."""


@dataclass(frozen=True)
class Model:
    """One competitor as the Elo page knows it. `code` is the lowest of its numbers.

    `line` is the RL run whose course it is on, and `start` the name of the model that this run began from.
    What no card says is None.
    """

    code: int
    name: str
    checkpoint: Checkpoint | None = None
    parameters: int | None = None
    start: str | None = None

    @property
    def method(self) -> str:
        """What it was last trained by, in words."""
        method = str(self.checkpoint.card.get("method") or "") if self.checkpoint else ""
        return METHODS.get(method, method[:40]) or UNTRAINED

    @property
    def step(self) -> int | None:
        """The trainer's step that it was saved at."""
        step = self.checkpoint.card.get("step") if self.checkpoint else None
        return step if isinstance(step, int) and not isinstance(step, bool) and step >= 0 else None

    @property
    def line(self) -> str | None:
        """The RL run that it is of."""
        reinforced = self.checkpoint is not None and self.checkpoint.card.get("method") in REINFORCED
        return self.checkpoint.run if self.checkpoint is not None and reinforced else None

    @property
    def whole(self) -> bool:
        """Whether it is a run's result, or no checkpoint at all, and not on the way."""
        return self.checkpoint is None or not self.checkpoint.snapshot


def known(competitors: Sequence[Competitor], checkpoints: Sequence[Checkpoint]) -> dict[int, Model]:
    """The model behind each number; equal for those that are one."""
    found = {one.code: find(one.name, checkpoints) for one in competitors}
    lost = {one.revision for one in competitors if one.revision and not found[one.code]}
    weights = _by_revision(checkpoints) if lost else {}
    of: dict[object, list[int]] = {}
    held: dict[object, Checkpoint | None] = {}
    only = _only_revision(competitors)
    for one in competitors:
        revision = one.revision or only.get(one.name)
        checkpoint = found[one.code] or weights.get(revision or "")
        key: object = (
            ("checkpoint", checkpoint.id, revision) if checkpoint else revision or ("name", one.name)
        )
        of.setdefault(key, []).append(one.code)
        held[key] = checkpoint
    by_code = {one.code: one for one in competitors}
    made = []
    for key, codes in of.items():
        checkpoint = held[key]
        name = checkpoint.name if checkpoint else called(by_code[codes[0]].name)
        # Isolated once: it stands in warnings, labels, titles and cells, beside others.
        made.append((codes, Model(min(codes), isolated(name), checkpoint)))
    named = _apart(made, by_code)
    revisions = {model.code: by_code[code].revision for codes, model in named for code in codes}
    every = [model for _, model in named]
    whole = {model.code: _completed(model, every, revisions, by_code) for model in every}
    return {code: whole[model.code] for codes, model in named for code in codes}


def find(name: str, checkpoints: Iterable[Checkpoint]) -> Checkpoint | None:
    """The session's checkpoint that a model's name means: its path, or the run of a folder of that name."""
    parts = PurePath(name).parts
    imported = []
    for one in checkpoints:
        if name in (str(one.source), str(one.folder)):
            return one
        tail = PurePath(one.id.replace("/", "/snapshots/", 1)).parts
        if parts[-len(tail) :] == tail or parts == (*tail, "checkpoint"):
            return one
        below = tuple(part for part in tail[1:])
        run = one.name.partition(", step")[0].removesuffix(IMPORTED)
        if one.run.startswith("imported-") and parts[-1 - len(below) :] == (run, *below):
            imported.append(one)
    return imported[0] if len(imported) == 1 else None  # two of one name: which, nobody knows


def called(name: str) -> str:
    """A model's name for people: of a path its last part, and of a snapshot the run's too."""
    if "://" in name or (not name.startswith(("/", "~", ".")) and name.count("/") < 2):
        return name
    parts = [part for part in PurePath(name).parts if part not in ("checkpoint", "snapshots")]
    snapshot = len(parts) > 1 and parts[-1].startswith("step-")
    return f"{parts[-2]}, {parts[-1].replace('-', ' ')}" if snapshot else (parts[-1] if parts else name)


def _by_revision(checkpoints: Iterable[Checkpoint]) -> dict[str, Checkpoint]:
    """The checkpoints by their weights, as tournaments note them; only asked where no path tells."""
    found: dict[str, Checkpoint] = {}
    for one in checkpoints:
        try:
            files = models.resolve(str(one.source), download=False)
        except UserError:
            continue
        if isinstance(files, ModelFiles):
            found.setdefault(files.revision, one)
    return found


def _only_revision(competitors: Iterable[Competitor]) -> dict[str, str]:
    """Of each name the revision, where no two are known: it is then that of those without one too."""
    told: dict[str, set[str]] = {}
    for one in competitors:
        if one.revision:
            told.setdefault(one.name, set()).add(one.revision)
    return {name: next(iter(some)) for name, some in told.items() if len(some) == 1}


def _apart(
    made: list[tuple[list[int], Model]], by_code: Mapping[int, Competitor]
) -> list[tuple[list[int], Model]]:
    """Two of the same name get their revision, or their number, after it."""
    names = [model.name for _, model in made]
    result = []
    for codes, model in made:
        if names.count(model.name) > 1:
            revision = next((by_code[code].revision for code in codes if by_code[code].revision), None)
            model = replace(model, name=f"{model.name} ({(revision or f'#{model.code}')[-8:]})")
        result.append((codes, model))
    return result


def _completed(
    model: Model,
    every: Sequence[Model],
    revisions: Mapping[int, str | None],
    by_code: Mapping[int, Competitor],
) -> Model:
    """With its parameters, and the model that it began from where that competes too."""
    card: Mapping[str, Any] = model.checkpoint.card if model.checkpoint else {}
    start = next((one for one in every if one != model and _began(card, one, revisions, by_code)), None)
    return replace(
        model, parameters=_parameters(model, every, revisions, by_code), start=start.name if start else None
    )


def _began(
    card: Mapping[str, Any],
    one: Model,
    revisions: Mapping[int, str | None],
    by_code: Mapping[int, Competitor],
) -> bool:
    """Whether a card says that its checkpoint was trained from this one."""
    base = card.get("base")
    if not isinstance(base, str) or not base:
        return False
    if card.get("base_revision") and same_revision(card["base_revision"], revisions[one.code]):
        return True
    if one.checkpoint:
        return find(base, [one.checkpoint]) is not None
    return base == by_code[one.code].name


def _parameters(
    model: Model,
    every: Sequence[Model],
    revisions: Mapping[int, str | None],
    by_code: Mapping[int, Competitor],
) -> int | None:
    """As its card has them, an adapter's own left out; else as the card of one that was trained from it."""
    if model.checkpoint:
        return parameters(model.checkpoint)
    sizes = (
        parameters(one.checkpoint)
        for one in every
        if one.checkpoint and _began(one.checkpoint.card, model, revisions, by_code)
    )
    return next((size for size in sizes if size), None)


def parameters(checkpoint: Checkpoint) -> int | None:
    """How many its card says that it has, an adapter's own left out."""
    many, trained = (checkpoint.card.get(name) for name in ("parameters", "trained"))
    if not isinstance(many, int) or isinstance(many, bool) or not 0 < many < 10**15:
        return None
    adapted = checkpoint.adapter and isinstance(trained, int) and 0 < trained < many
    return many - trained if adapted and isinstance(trained, int) else many


def judged_by(name: str, checkpoints: Iterable[Checkpoint]) -> str:
    """A judge's name for people."""
    found = find(name, checkpoints)
    return found.name if found else called(name) if Path(name).name else name
