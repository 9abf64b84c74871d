"""Labels and agreement under other weights, from the stored rows: no model is asked.

A weighting labels a pair with the weighted mean of its principles' probabilities, and only where the pair
was scored under all of them: a mean of fewer would be another constitution's.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipeline import agreement, intervals
from pipeline.agreement import Compared, Figure
from studio.components.agreement_data import Picture, places
from studio.components.agreement_whatif import LISTED, Flip, Outcome, Weighed
from studio.store import audit, pairs, sightings
from studio.store.database import Store

Floats = npt.NDArray[np.float64]


def weighed(picture: Picture) -> list[Weighed]:
    """The principles that there are labels under, or could be: of the labelled constitution, then others."""
    counts = dict(
        zip(picture.matrix.principles, (~np.isnan(picture.matrix.p_a)).sum(axis=0).tolist(), strict=True)
    )
    known = picture.constitution.principles if picture.constitution else ()
    rows = [
        Weighed(p.id, p.title, p.weight, p.enabled, counts.pop(p.id, 0))
        for p in known
        if p.comparison or p.id in counts
    ]
    rows += [Weighed(id, id, 1.0, True, n) for id, n in counts.items()]
    return sorted(rows, key=lambda row: not row.pairs)  # those that were asked first


def held_out(prompt_id: str) -> bool:
    """Whether a prompt is of the half that nothing is chosen by: by a hash of its id, the same for ever."""
    return bool(hashlib.sha256(f"held-out:{prompt_id}".encode("utf-8", "surrogatepass")).digest()[0] & 1)


def reweigh(store: Store, picture: Picture, weights: Mapping[str, float]) -> Outcome | None:
    """What a weighting gives, beside the labels under the constitution's own weights; None if empty."""
    start = time.perf_counter()
    if not any(weight > 0 for weight in weights.values()):
        return None
    matrix = picture.matrix
    own = audit.own_weights(store, picture.labeller)
    saved = audit.aggregated(matrix, own, complete=False).p_a
    tried = audit.aggregated(matrix, weights, complete=True).p_a
    both = ~np.isnan(tried) & ~np.isnan(saved)
    turned = np.flatnonzero(both & (agreement.sides(tried) != agreement.sides(saved)))
    rows = _figures(store, picture, tried, saved)
    choices: dict[str, list[float]] = {}
    for pair, choice in zip(picture.every_pairs, picture.every.choice.tolist(), strict=True):
        choices.setdefault(pair, []).append(choice)
    # The surest turns first, and those that somebody judged before the others.
    order = sorted(
        turned.tolist(), key=lambda at: (matrix.pairs[at] not in choices, -abs(tried[at] - saved[at]))
    )
    flips = [_flip(store, matrix.pairs[at], saved[at], tried[at], choices) for at in order[:LISTED]]
    sightings.note(store, picture.asked.viewer, [flip.pair.id for flip in flips if flip])
    return Outcome(
        rows=rows,
        scored=int((~np.isnan(tried)).sum()),
        labelled=len(matrix.pairs),
        compared=int(both.sum()),
        flips=[flip for flip in flips if flip],
        flipped=len(turned),
        ms=(time.perf_counter() - start) * 1000,
    )


def _figures(
    store: Store, picture: Picture, tried: Floats, saved: Floats
) -> list[tuple[str, Figure, Figure, Figure]]:
    place = places(picture.matrix)
    at = np.array([place.get(pair, -1) for pair in picture.pairs], dtype=np.int64)
    there = np.flatnonzero(at >= 0)
    c = picture.random.take(there)
    before, after = replace(c, p_a=saved[at[there]]), replace(c, p_a=tried[at[there]])
    kept = np.flatnonzero(~np.isnan(before.p_a + after.p_a) & (c.choice != 0.5))
    before, after = before.take(kept), after.take(kept)
    prompts = pairs.prompts_of(store, [picture.pairs[row] for row in there[kept].tolist()])
    second = np.array([held_out(id) for id in prompts], dtype=bool)
    parts = (
        ("all", np.ones(len(kept), dtype=bool)),
        ("half to choose by", ~second),
        ("held-out half", second),
    )
    return [(name, *_pair(before.take(half), after.take(half))) for name, half in parts]


def _pair(before: Compared, after: Compared) -> tuple[Figure, Figure, Figure]:
    difference = intervals.mean(after.correct - before.correct, after.cluster, -1.0, 1.0)
    return agreement.accuracy(before), agreement.accuracy(after), difference


def _flip(
    store: Store, id: str, before: float, after: float, choices: Mapping[str, Sequence[float]]
) -> Flip | None:
    stored = pairs.load(store, id)
    return Flip(stored.pair, float(before), float(after), choices.get(id, ())) if stored else None
