"""What to judge next, and what people and a labeller hold of the same pairs (paper section 4.1).

Everybody's random queue goes through the pairs in one order, by a hash of their ids, so that queues overlap.
Its front half is kept from the picks by the AI's labels: otherwise the pairs that it is unsure of would be
missing from the random share, which must not depend on labels at all. What a person sent on by hand comes
behind it, and is none of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.agreement import UNCHOSEN, Compared
from pipeline.errors import UserError
from pipeline.records import ALONE, Axis, PickedBy, PromptKind
from studio.store import constitutions, judgments, labels
from studio.store.database import Reader, Rows, Store
from studio.store.held_judgments import HELD, Whom, selection
from studio.store.labels import Labeller, Matrix
from studio.store.pairs import BY_HAND

Mode = Literal["random", "uncertain", "disagreement", "order"]
Floats = npt.NDArray[np.float64]

KIND: Mapping[Axis, PromptKind] = {"harmless": "red_team", "helpful": "helpful"}
"""The prompts that an axis is judged on; where a session has none of them, it is judged on all."""


@dataclass(frozen=True)
class Picked:
    """The pair to judge next, and why it: only `random` ones speak for all pairs."""

    pair: str
    picked_by: PickedBy


@dataclass(frozen=True)
class Line:
    """The pairs of an axis with their places, from 1, in everybody's order; behind the first `drawn` those
    sent by hand.
    """

    places: Mapping[str, int]
    drawn: int


@dataclass(frozen=True)
class Aggregated:
    """A labeller's probabilities that a is better over its principles, float[n] each; NaN: not labelled.

    `p_ab` are those with a shown first, `p_ba` those with b shown first.
    """

    p_a: Floats
    p_ab: Floats
    p_ba: Floats

    @property
    def scored(self) -> int:
        """How many pairs of the n have a probability."""
        return int((~np.isnan(self.p_a)).sum())


# The statements below are put together from constants only; values go in as parameters.
POOL = f"""
WITH pool AS (
    SELECT id, grouping, response_a, response_b, run IS NOT DISTINCT FROM '{BY_HAND}' AS by_hand,
        row_number() OVER (ORDER BY by_hand, md5(id || ':audit'), id) AS place,
        count(*) FILTER (NOT by_hand) OVER () AS total
    FROM pairs WHERE kind = $kind OR NOT EXISTS (
        SELECT 1 FROM pairs WHERE kind = $kind AND run IS DISTINCT FROM '{BY_HAND}')),
mine AS (
    SELECT pair, choice, picked_by, max(ranking) OVER (PARTITION BY pair) AS ranking FROM standing_judgments
    WHERE annotator = $annotator AND axis = $axis AND annotator_kind = 'person' AND NOT brought
    QUALIFY row_number() OVER (PARTITION BY pair ORDER BY seq DESC) = 1)
"""  # noqa: S608
LEFT = "id NOT IN (SELECT pair FROM mine) AND id IS DISTINCT FROM $after"
LINE = """
SELECT id, run IS NOT DISTINCT FROM $by_hand AS by_hand FROM pairs
WHERE kind = $kind OR NOT EXISTS (SELECT 1 FROM pairs WHERE kind = $kind AND run IS DISTINCT FROM $by_hand)
ORDER BY by_hand, md5(id || ':audit'), id
"""
SCORES = {
    "uncertain": "abs(avg(logit_ab + logit_ba))",
    "disagreement": "-stddev_pop(p_a)",
    "order": "-avg(abs(logit_ab - logit_ba))",
}
BY_LABELS = (
    POOL
    + """
SELECT id FROM pool JOIN current_labels ON pair = id
WHERE {left} AND 2 * place > total AND model = $model AND method = $method AND constitution = $constitution
GROUP BY id, place HAVING count(*) >= {least} ORDER BY {score}, place LIMIT 1
"""
)
TARGETED = """
SELECT 1 FROM judgments WHERE annotator = $annotator AND axis = $axis AND annotator_kind = 'person'
    AND NOT brought AND picked_by IN ('uncertain', 'disagreement', 'order') LIMIT 1
"""
GROUPS = f"""
{POOL}
SELECT grouping, bool_and(ranking IS NOT NULL) FROM pool LEFT JOIN mine ON pair = id
WHERE grouping IN (
    SELECT grouping FROM (SELECT grouping, unnest([response_a, response_b]) AS said FROM pool)
    WHERE grouping IS NOT NULL GROUP BY grouping HAVING count(DISTINCT said) >= 3)
GROUP BY grouping ORDER BY md5(grouping || ':audit'), grouping
"""  # noqa: S608
ROWS = f"""
{HELD}
SELECT p.id, p.prompt_id, p.length_a, p.length_b, p.refuses_a, p.refuses_b,
    CASE h.choice WHEN 'a' THEN 1.0::DOUBLE WHEN 'b' THEN 0.0::DOUBLE ELSE 0.5::DOUBLE END AS choice
FROM held h JOIN pairs p ON p.id = h.pair
WHERE h.choice <> 'skip' AND ($picked::VARCHAR[] IS NULL OR list_contains($picked::VARCHAR[], h.picked_by))
ORDER BY h.first
"""  # noqa: S608


def next_pair(
    store: Reader,
    annotator: str,
    axis: Axis,
    mode: Mode,
    labeller: Labeller | None,
    random_share: float = 0.3,
    after: str | None = None,
) -> Picked | None:
    """The pair that a person should judge next; None when nothing is left.

    In every mode but `random`, about `random_share` of the steps are random all the same; which ones, is
    settled by the annotator's name and how much they have judged. `after` is a pair to leave out.
    """
    who = {**_who(annotator, axis), "after": after}
    if mode != "random" and labeller and not _random_turn(store, annotator, axis, random_share):
        least = 2 if mode == "disagreement" else 1
        sql = BY_LABELS.format(left=LEFT, least=least, score=SCORES[mode])
        if found := store.query(sql, {**who, **asdict(labeller)}):
            return Picked(found[0][0], mode)
    line, own = _line(store, axis), {one.pair_id for one in judgments.mine(store, annotator, axis)}
    left = ((pair, place) for pair, place in line.places.items() if pair not in own and pair != after)
    pair, place = next(left, (None, 0))
    if pair is None:
        return None
    if place > line.drawn:
        return Picked(pair, "chosen")
    # In the back half what picks by labels have left is not random any more.
    front = 2 * place <= line.drawn
    random = front or not store.query(TARGETED, {"annotator": annotator, "axis": axis})
    return Picked(pair, "random" if random else "chosen")


def counts(store: Reader, annotator: str, axis: Axis) -> tuple[int, int, int, int]:
    """Of one person: how many pairs are judged, skipped, judged as random ones; and of how many in all.

    A random one is what `compared` counts: its blind word, whatever was said of it after its label was seen.
    """
    own, places = judgments.mine(store, annotator, axis), _line(store, axis).places
    judged = sum(one.choice != "skip" for one in own)
    blind = judgments.mine(store, annotator, axis, blind=True)
    random = sum(one.picked_by == "random" and one.choice != "skip" for one in blind)
    total = len(places) + sum(one.pair_id not in places for one in own)
    return judged, len(own) - judged, random, total


def next_group(store: Reader, annotator: str, axis: Axis, after: str | None = None) -> str | None:
    """The next set of three or more responses that a person has not ranked; None when all are.

    The one behind `after` in everybody's order, and behind the last the first.
    """
    groups = store.query(GROUPS, _who(annotator, axis))
    at = next((i + 1 for i, (group, _) in enumerate(groups) if group == after), 0)
    return next((group for group, ranked in groups[at:] + groups[:at] if not ranked), None)


def groups_done(store: Reader, annotator: str, axis: Axis) -> tuple[int, int]:
    """How many groups a person has ranked, and of how many."""
    ranked = [done for _, done in store.query(GROUPS, _who(annotator, axis))]
    return sum(ranked), len(ranked)


def compared(
    store: Store,
    axis: Axis,
    labeller: Labeller,
    annotators: Whom,
    weights: Mapping[str, float] | None = None,
    random_only: bool = True,
    matrix: Matrix | None = None,
) -> tuple[Compared, list[str]]:
    """Judgments beside a labeller's labels, in the order of the first word on each pair; and their pairs.

    `annotators` is a kind, a name, a list of names, or one annotator of a kind. With `random_only` just the
    judgments that speak for all pairs: of random or imported ones, the newest that was made blind, and not
    of pairs that were relabelled because the AI was wrong on them. Pairs that are not labelled are left out;
    under `weights` (by principle) those too that were not scored under all that weigh anything. Without,
    the constitution's own weights hold, over whatever principles each pair was labelled by. `matrix` is the
    labeller's where the caller has it already.
    """
    matrix = labels.matrix(store, labeller) if matrix is None else matrix
    found = aggregated(
        matrix, own_weights(store, labeller) if weights is None else weights, weights is not None
    )
    picked = list(UNCHOSEN) if random_only else None
    rows = store.columns(ROWS, {**selection(axis, annotators, random_only), "picked": picked})
    place = {pair: at for at, pair in enumerate(matrix.pairs)}
    at = np.array([place.get(pair, -1) for pair in rows["id"]], dtype=np.int64)
    there = (at >= 0) & ~np.isnan(np.append(found.p_a, np.nan)[at])
    if random_only and (selected := labels.selected(store, labeller)):
        there &= np.array([pair not in selected for pair in rows["id"]], dtype=bool)
    kept = np.flatnonzero(there)
    at = at[kept]
    _, cluster = np.unique(rows["prompt_id"][kept].astype(str), return_inverse=True)
    aligned = Compared(
        p_a=found.p_a[at],
        p_ab=found.p_ab[at],
        p_ba=found.p_ba[at],
        choice=rows["choice"][kept],
        cluster=cluster.astype(np.int64),
        length_a=rows["length_a"][kept],
        length_b=rows["length_b"][kept],
        refuses_a=rows["refuses_a"][kept],
        refuses_b=rows["refuses_b"][kept],
        alone=labeller.method in ALONE,
    )
    return aligned, rows["id"][kept].tolist()


def aggregated(matrix: Matrix, weights: Mapping[str, float], complete: bool) -> Aggregated:
    """Weighted means over the principles, a principle without a weight counting one where not `complete`.

    With `complete`, a pair has a probability only where it was scored under all principles that weigh
    anything: a mean of fewer would be another constitution's. Without, over those that there are.
    """
    share = np.array([max(weights.get(id, 0.0 if complete else 1.0), 0.0) for id in matrix.principles])
    asked = {id for id, weight in weights.items() if weight > 0}
    if complete and (not asked or asked - set(matrix.principles)):
        nothing = np.full(len(matrix.pairs), np.nan)
        return Aggregated(nothing, nothing, nothing)
    columns = np.flatnonzero(share > 0)
    there = ~np.isnan(matrix.p_a[:, columns])
    weight = there * share[columns]
    total = weight.sum(axis=1)
    scored = there.all(axis=1) if complete else total > 0

    def mean(p: Floats) -> Floats:
        sums = (np.where(there, p[:, columns], 0.0) * weight).sum(axis=1)
        result: Floats = np.full(len(total), np.nan)
        np.divide(sums, total, out=result, where=scored & (total > 0))
        return result

    return Aggregated(mean(matrix.p_a), mean(matrix.p_ab), mean(matrix.p_ba))


def own_weights(store: Reader, labeller: Labeller) -> dict[str, float]:
    """The weights of a labeller's constitution by principle; none where the session has not that version."""
    try:
        version = constitutions.load_version(store, labeller.constitution)
    except UserError:
        return {}
    return {principle.id: principle.weight for principle in version.principles}


def _random_turn(store: Reader, annotator: str, axis: Axis, share: float) -> bool:
    """Whether this step is of the random share: always the same for the same name and number."""
    judged, skipped, *_ = counts(store, annotator, axis)
    digest = hashlib.sha256(f"{annotator}:{axis}:{judged + skipped}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _line(store: Reader, axis: Axis) -> Line:
    return store.recall(LINE, {"kind": KIND[axis], "by_hand": BY_HAND}, _in_line)


def _in_line(rows: Rows) -> Line:
    places = {pair: place for place, (pair, _) in enumerate(rows, 1)}
    return Line(places, sum(not by_hand for _, by_hand in rows))


def _who(annotator: str, axis: Axis) -> dict[str, object]:
    return {"annotator": annotator, "axis": axis, "kind": KIND[axis]}
