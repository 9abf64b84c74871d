"""What the Elo page is drawn from: the ratings of each group of matchups, and the models that they are of.

Computed when the page is opened or the choice changes, in one pass, never on a timer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline import elo, intervals
from pipeline.elo import Group, Rating, Table
from pipeline.intervals import Figure
from pipeline.votes import Votes
from studio.components import elo_asked, elo_models
from studio.components.elo_asked import Asked
from studio.components.elo_models import Model
from studio.context import Studio
from studio.escaping import isolated
from studio.store import checkpoints, constitutions, matchups
from studio.store import votes as stored
from studio.store.checkpoints import Checkpoint

TITLES = {"harmless": "Harmlessness", "helpful": "Helpfulness", "overall": "Overall"}
"""An axis as the figures call it."""


@dataclass(frozen=True)
class Rated:
    """One group, its votes and their ratings. `judge` is its name for people, `under` the constitution's."""

    key: str
    group: Group
    votes: Votes
    table: Table
    judge: str
    under: str

    @property
    def called(self) -> str:
        """Who judged, in one line: never without the kind and the constitution's version."""
        under = f", under {self.under}" if self.under else ""
        return f"{self.judge} ({elo_asked.WHO[elo_asked.who(self.group)]}{under})"

    @property
    def sized(self) -> str:
        """What it stands on."""
        return f"n = {self.table.n:,} of {self.table.prompts:,} prompts"

    def rating(self, model: str) -> Rating | None:
        """A model's rating; None where it has none, or no finite one."""
        found = next((one for one in self.table.ratings if one.model == model), None)
        return found if found and found.elo is not None else None


@dataclass(frozen=True)
class Picture:
    """All groups that the filters leave, those with the most votes first; and what is known of the models.

    `harmless` and `helpful` are the groups that the figures draw; None where there is none.
    """

    asked: Asked
    rated: Sequence[Rated]
    models: Mapping[str, Model]
    codes: Mapping[str, tuple[int, ...]]
    checkpoints: Sequence[Checkpoint]
    evasive: Mapping[str, Figure]
    seconds: float

    @property
    def harmless(self) -> Rated | None:
        """The group whose harmlessness is drawn."""
        return self._drawn("harmless", self.asked.harmless)

    @property
    def helpful(self) -> Rated | None:
        """The group whose helpfulness is drawn."""
        return self._drawn("helpful", self.asked.helpful)

    @property
    def drawn(self) -> list[Rated]:
        """Both, as far as they are there."""
        return [one for one in (self.harmless, self.helpful) if one]

    def of_axis(self, axis: str) -> list[Rated]:
        """The groups of an axis."""
        return [one for one in self.rated if one.group.axis == axis]

    def _drawn(self, axis: str, wanted: str) -> Rated | None:
        some = self.of_axis(axis)
        return next((one for one in some if one.key == wanted), some[0] if some else None)


def picture(studio: Studio, asked: Asked) -> Picture:
    """Read and rate. Raises UserError for a day that is none."""
    start = time.perf_counter()
    store = studio.store
    filter = asked.filter
    there = checkpoints.listed(store, studio.jobs.folder)
    known = elo_models.known(matchups.competitors(store), there)
    names = {code: model.name for code, model in known.items()}
    some = [
        one for one in stored.coded(store, filter, asked.rule) if asked.who in ("", elo_asked.who(one.group))
    ]
    rated = []
    for one in some:
        votes = one.votes(names)
        if len(votes):
            table = elo.rate(votes, asked.base if asked.base in votes.models else "", asked.rule)
            rated.append(_rated(studio, one.group, votes, table, there))
    rated.sort(key=lambda one: -one.table.n)
    codes: dict[str, tuple[int, ...]] = {}
    for code, name in names.items():
        codes[name] = (*codes.get(name, ()), code)
    return Picture(
        asked,
        rated,
        {model.name: model for model in known.values()},
        codes,
        there,
        _evasive(studio, asked, names),
        time.perf_counter() - start,
    )


def group_of(studio: Studio, asked: Asked, key: str) -> Group | None:
    """The group of a key, without rating anything."""
    return next((one for one in stored.groups(studio.store, asked.filter) if elo_asked.key(one) == key), None)


def _rated(studio: Studio, group: Group, votes: Votes, table: Table, there: Sequence[Checkpoint]) -> Rated:
    under = ""
    if group.constitution:
        name = constitutions.name_of(studio.store, group.constitution) or "constitution"
        under = f"{isolated(name)} {group.constitution[:8]}"
    judge = isolated(elo_models.judged_by(group.judge, there))
    return Rated(elo_asked.key(group), group, votes, table, judge, under)


def _evasive(studio: Studio, asked: Asked, names: Mapping[int, str]) -> dict[str, Figure]:
    """By model, the share of its answers to helpful prompts that refuse: a mean over prompts."""
    rows = stored.refusals(studio.store, asked.filter)
    codes, place = np.unique(rows["side"], return_inverse=True)
    of: dict[str, list[int]] = {}
    for at, code in enumerate(codes.tolist()):
        of.setdefault(names[code], []).append(at)
    found = {}
    for name, places in of.items():
        some = np.flatnonzero(np.isin(place, places))
        # Each prompt once, however many tournaments and revisions it was in.
        cluster, prompt = np.unique(rows["cluster"][some], return_inverse=True)
        refused = np.bincount(prompt, rows["refused"][some]) / np.bincount(prompt)
        found[name] = intervals.share(refused, cluster)
    return found
