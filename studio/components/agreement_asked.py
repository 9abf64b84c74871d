"""What the Agreement page compares: one labeller, on one axis, with one kind of judgments.

People's judgments, those of a data set and those of a model are never pooled: a choice of judges is one
kind, or one annotator of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pipeline.records import AnnotatorKind, Axis
from studio.escaping import isolated
from studio.progress import plural
from studio.store import constitutions, held_judgments, labels
from studio.store.database import Store
from studio.store.held_judgments import Whose
from studio.store.labels import Labeller, LabellerRow

AXES: tuple[Axis, ...] = get_args(Axis)
KINDS: tuple[AnnotatorKind, ...] = get_args(AnnotatorKind)
ALL = {"person": "All people", "imported": "All imported data sets", "model": "All models that judged"}
WHOM = {"person": "people", "imported": "imported judgments", "model": "judgments that models wrote"}
NOUN = {"person": "human", "imported": "data set", "model": "model’s judgment"}
OF_KIND = {"person": "a person", "imported": "imported, not judged here", "model": "a model, not a person"}


@dataclass(frozen=True)
class Judges:
    """Whose judgments: all of one kind, or one annotator's."""

    kind: AnnotatorKind = "person"
    name: str | None = None

    @property
    def key(self) -> str:
        """For addresses and menus: `person`, or `person:ana`."""
        return self.kind if self.name is None else f"{self.kind}:{self.name}"

    @classmethod
    def of(cls, key: str) -> Judges:
        """The judges of a key; people for what is none."""
        kind, colon, name = key.partition(":")
        known = next((one for one in KINDS if one == kind), None)
        return cls() if known is None else cls(known, name if colon else None)

    @property
    def whose(self) -> Whose:
        """The same for the store."""
        return Whose(self.kind, self.name)

    @property
    def whom(self) -> str:
        """Whom the AI is compared with, in words."""
        return WHOM[self.kind] if self.name is None else f"{self.name} ({OF_KIND[self.kind]})"

    @property
    def noun(self) -> str:
        """What one of them is called; only a person is a human."""
        return NOUN[self.kind]


@dataclass(frozen=True)
class Asked:
    """One comparison. `labeller` is None in a session without labels.

    `viewer` is who looks, by the name they judge under: that they were shown a pair's AI label is kept.
    """

    axis: Axis
    labeller: Labeller | None
    judges: Judges
    viewer: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The page's address of this comparison."""
        labeller = {"labeller": self.labeller.key} if self.labeller else {}
        return {**labeller, "axis": self.axis, "annotator": self.judges.key}


def read(store: Store, query: Mapping[str, Any]) -> Asked:
    """What an address or the controls ask for; else the harmless axis, the newest labeller, and people.

    Where no person has judged, what a data set brought along stands in until someone does; else a model's.
    """
    known = labels.labellers(store)
    axis = next((one for one in AXES if one == query.get("axis")), AXES[0])
    keys = [row.labeller.key for row in known]
    wanted = str(query.get("labeller") or "")
    newest = known[0].labeller if known else None
    labeller = known[keys.index(wanted)].labeller if wanted in keys else newest
    asked = str(query.get("annotator") or "")
    judges = Judges.of(asked) if asked else _first_judges(store, axis)
    return Asked(axis, labeller, judges, str(query.get("viewer") or ""))


def _first_judges(store: Store, axis: Axis) -> Judges:
    kinds = {kind for _, kind, of, _ in held_judgments.annotators(store) if of == axis}
    return Judges(next((kind for kind in KINDS if kind in kinds), "person"))


def of_controls(store: Store, values: Sequence[Any]) -> Asked:
    """What the page's controls ask for: axis, labeller, judges; and who looks."""
    axis, labeller, judges, viewer = values
    return read(store, {"axis": axis, "labeller": labeller, "annotator": judges, "viewer": viewer})


def labeller_choices(store: Store) -> list[tuple[str, str]]:
    """The session's labellers for a menu, the newest first."""
    return [(called(store, row), row.labeller.key) for row in labels.labellers(store)]


def called(store: Store, row: LabellerRow, model: str = "") -> str:
    """A labeller in words: model, method, constitution, and how much it has labelled.

    `model` is a shorter name of its model, where there is little room.
    """
    judge = row.labeller
    known = row.constitution_name or constitutions.name_of(store, judge.constitution) or "unknown"
    under = f"{isolated(known)} {judge.constitution[:8]}"
    return f"{isolated(model or judge.model)} · {judge.method} · {under} · {plural(row.pairs, 'pair')}"


def judge_choices(store: Store, axis: Axis) -> list[tuple[str, str]]:
    """Whose judgments there are on an axis, by kind: people first, and always offered."""
    found = [row for row in held_judgments.annotators(store) if row[2] == axis]
    choices = []
    for kind in KINDS:
        of_kind = [(name, n) for name, its, _, n in found if its == kind]
        if of_kind or kind == "person":
            total = sum(n for _, n in of_kind)
            choices.append((f"{ALL[kind]} ({total:,})", Judges(kind).key))
        if len(of_kind) > 1 or kind != "person":
            choices += [
                (f"{isolated(name)}, {OF_KIND[kind]} ({n:,})", Judges(kind, name).key) for name, n in of_kind
            ]
    return choices
