"""What the Agreement page is drawn from: one comparison, its rows, and the rows behind each figure.

Computed when the page is opened or the choice changes, never on a timer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipeline import agreement, baselines, bounded
from pipeline.agreement import Compared
from pipeline.errors import UserError
from pipeline.records import Constitution
from studio.components.agreement_asked import Asked
from studio.components.agreement_pairs import Held
from studio.store import audit, constitutions, labels, pairs
from studio.store.audit import Aggregated
from studio.store.database import Store
from studio.store.labels import Labeller, Matrix

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
SIDE = {"a": 1.0, "tie": 0.5, "b": 0.0}
LISTED = 60
BINS = 10


@dataclass(frozen=True)
class Picture:
    """One comparison. Figures stand on `random`; triage and lists may use `every` judged pair.

    `pairs` and `every_pairs` are the pair of each row.
    """

    asked: Asked
    labeller: Labeller
    random: Compared
    pairs: Sequence[str]
    every: Compared
    every_pairs: Sequence[str]
    matrix: Matrix
    constitution: Constitution | None
    seconds: float
    selected: int = 0  # pairs that were labelled only because another version was wrong on them

    @property
    def picked(self) -> int:
        """How many judgments are left out of the figures: of picked pairs, or not blind."""
        return len(self.every) - len(self.random)

    @property
    def title_of(self) -> dict[str, str]:
        """A principle's title by its id."""
        every = self.constitution.principles if self.constitution else ()
        return {principle.id: principle.title for principle in every}


def picture(store: Store, asked: Asked) -> Picture | None:
    """The rows of a comparison; None in a session without labels."""
    if asked.labeller is None:
        return None
    start = time.perf_counter()
    matrix = labels.matrix(store, asked.labeller)
    random, ids = compared(store, asked, matrix=matrix)
    every, every_ids = compared(store, asked, random_only=False, matrix=matrix)
    constitution = constitution_of(store, asked.labeller.constitution)
    return Picture(
        asked,
        asked.labeller,
        random,
        ids,
        every,
        every_ids,
        matrix,
        constitution,
        time.perf_counter() - start,
        len(labels.selected(store, asked.labeller)),
    )


def compared(
    store: Store, asked: Asked, random_only: bool = True, matrix: Matrix | None = None
) -> tuple[Compared, Sequence[str]]:
    """The rows of a comparison, and the pair of each; `matrix` where the caller has it already."""
    if asked.labeller is None:
        raise UserError("there are no AI labels to compare with")
    return audit.compared(store, asked.axis, asked.labeller, asked.judges.whose, None, random_only, matrix)


def constitution_of(store: Store, version: str) -> Constitution | None:
    """A constitution by its version; None where imported labels name one that the session lacks."""
    try:
        return constitutions.load_version(store, version)
    except UserError:
        return None


def under(picture: Picture, principle: str) -> Compared:
    """The random share with the labels of one principle alone, in the order of `picture.random`."""
    return _alone(picture.matrix, picture.random, picture.pairs, principle)


def under_every(picture: Picture, principle: str) -> Compared:
    """The same for every judged pair, in the order of `picture.every`."""
    return _alone(picture.matrix, picture.every, picture.every_pairs, principle)


def _alone(matrix: Matrix, c: Compared, ids: Sequence[str], principle: str) -> Compared:
    column = matrix.principles.index(principle)
    alone = Aggregated(matrix.p_a[:, column], matrix.p_ab[:, column], matrix.p_ba[:, column])
    return _swapped(matrix, alone, c, ids)


def _swapped(matrix: Matrix, found: Aggregated, c: Compared, ids: Sequence[str]) -> Compared:
    """The same judgments beside other probabilities, one a row of `matrix`; NaN where it lacks the pair."""
    place = places(matrix)
    rows = np.array([place.get(pair, -1) for pair in ids], dtype=np.int64)
    there = rows >= 0

    def of(values: Floats) -> Floats:
        result = np.full(len(rows), np.nan)
        result[there] = values[rows[there]]
        return result

    return replace(c, p_a=of(found.p_a), p_ab=of(found.p_ab), p_ba=of(found.p_ba))


def beside(store: Store, picture: Picture, other: Labeller) -> tuple[Compared, Compared, list[str]]:
    """The decided judgments of the random share that both have labels for: with this labeller's, with the
    other's, and the pair of each row. Each judgment stands in both, so that only the labels differ."""
    matrix = labels.matrix(store, other)
    found = audit.aggregated(matrix, audit.own_weights(store, other), complete=False)
    this, that = picture.random, _swapped(matrix, found, picture.random, picture.pairs)
    kept = np.flatnonzero(~np.isnan(this.p_a + that.p_a) & (this.choice != 0.5))
    return this.take(kept), that.take(kept), [picture.pairs[row] for row in kept.tolist()]


def places(matrix: Matrix) -> dict[str, int]:
    """The row of each pair in a matrix."""
    return {pair: at for at, pair in enumerate(matrix.pairs)}


def behind(picture: Picture, what: str) -> tuple[str, Compared, Rows]:
    """The rows behind a figure named `what` (`cell:a:b`, `bin:3`, `wrong`, …): a title, and their places."""
    kind, _, rest = what.partition(":")
    c = picture.random
    if kind == "principle" and rest in picture.matrix.principles:
        alone = under(picture, rest)
        title = f"Against “{picture.title_of.get(rest, rest)}”"
        return title, alone, np.flatnonzero((alone.correct == 0) & (c.choice != 0.5))
    first, second = agreement.sides(c.p_ab), agreement.sides(c.p_ba)
    decided = (c.choice != 0.5) & ~np.isnan(c.p_a)
    human, _, ai = rest.partition(":")
    masks: dict[str, tuple[str, npt.NDArray[np.bool_]]] = {
        "decided": ("All that the figures stand on", decided),
        "wrong": ("Where the AI takes the other side", decided & (c.correct == 0)),
        "letter": ("Where the option shown first wins in both orders", (first == 1) & (second == 0)),
        "orders": ("Where the winner changes with the order", np.abs(first - second) == 1),
        "exact": ("Exact ties in one order or both", (c.p_ab == 0.5) | (c.p_ba == 0.5)),
        "longer": (
            "Where the AI prefers the longer",
            decided & (c.ai == (c.length_a > c.length_b)) & (c.length_a != c.length_b),
        ),
    }
    if kind == "cell" and human in SIDE and ai in SIDE:
        masks["cell"] = (f"Judged {human}, AI {ai}", decided & (c.choice == SIDE[human]) & (c.ai == SIDE[ai]))
    if kind == "tied" and human in SIDE and ai in SIDE:
        both = np.where(first == second, first, 0.5)
        masks["tied"] = (
            f"Judged {human}, AI {ai} over both orders",
            (c.choice == SIDE[human]) & (both == SIDE[ai]),
        )
    if kind == "bin" and (at := bounded.number(rest, BINS - 1)) is not None:
        edges = np.linspace(0, 1, BINS + 1)  # the same numbers as the diagram's, to the last bit
        inside = ((c.p_a > edges[at]) | (at == 0)) & (c.p_a <= edges[at + 1])
        masks["bin"] = (f"AI says {edges[at]:.1f}–{edges[at + 1]:.1f} for a", decided & inside)
    title, mask = masks.get(kind, ("No such figure", np.zeros(len(c), dtype=bool)))
    return title, c, np.flatnonzero(mask)


def held(store: Store, c: Compared, ids: Sequence[str], rows: Rows, asked: Asked) -> list[Held]:
    """The pairs of some rows, with what both hold of them."""
    who, viewer = asked.judges.noun, asked.viewer
    found = []
    for row in rows.tolist():
        stored = pairs.load(store, ids[row])
        if stored is not None:
            p_a, p_ab, p_ba, choice = (float(array[row]) for array in (c.p_a, c.p_ab, c.p_ba, c.choice))
            found.append(Held(stored.pair, p_a, p_ab, p_ba, choice, who, viewer))
    return found


def furthest(c: Compared, most: int) -> Rows:
    """The decided rows where the AI takes the other side, the furthest from the human's first."""
    wrong = np.flatnonzero((c.choice != 0.5) & (c.correct == 0))
    order = np.argsort(-np.abs(c.p_a[wrong] - c.choice[wrong]), kind="stable")
    return wrong[order][:most]


def best_baseline(c: Compared) -> baselines.Baseline | None:
    """The rule that does best on the same judgments; None where there are none."""
    rules = baselines.baselines(c)
    known = [rule for rule in rules if rule.accuracy.n]
    return max(known, key=lambda rule: rule.accuracy.value) if known else None
