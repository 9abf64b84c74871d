"""From the store to the audit page: the pair or the group that is asked for, as its annotator may see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.errors import UserError
from pipeline.records import Axis, Judgment, Label, Pair, PickedBy, Principle
from studio.components import audit_ranking, audit_reveal, audit_sides, audit_view
from studio.components.audit_asking import Asking
from studio.components.audit_reveal import Opinion, Revealed
from studio.components.audit_view import Counts, State
from studio.escaping import isolated
from studio.store import audit, constitutions, held_judgments, judgments, labels, pairs
from studio.store.database import Reader
from studio.store.labels import Labeller

TIMED = 20  # judgments that the pace is taken from: what somebody does now, not in all


@dataclass(frozen=True)
class Asked:
    """Why each pair was put before whom, and which groups. The page must not tell: the studio remembers."""

    known: dict[tuple[str, Axis, str], PickedBy] = field(default_factory=dict)
    groups: set[tuple[str, Axis, str]] = field(default_factory=set)

    def next(self, store: Reader, asking: Asking) -> str | None:
        """The next pair for this annotator; None when there is none."""
        picked = _next(store, asking)
        if picked is None:
            return None
        self.known[asking.who, asking.axis, picked.pair] = picked.picked_by
        return picked.pair

    def why(self, store: Reader, asking: Asking, pair: str) -> PickedBy:
        """Why this pair is before them; what was not asked next was opened by hand."""
        if (asking.who, asking.axis, pair) not in self.known:
            self.next(store, asking)  # the studio was started anew since: what is next is still the same
        return self.known.get((asking.who, asking.axis, pair), "chosen")

    def next_group(self, store: Reader, asking: Asking, after: str | None = None) -> str | None:
        """The next group for this annotator, the one behind `after`; None when there is none."""
        group = audit.next_group(store, asking.who, asking.axis, after)
        if group is not None:
            self.groups.add((asking.who, asking.axis, group))
        return group

    def why_group(self, store: Reader, asking: Asking, group: str) -> PickedBy:
        """Why this group is before them: in its turn, which is by a hash and so random, or opened by hand."""
        served = (asking.who, asking.axis, group) in self.groups
        # The studio may have been started anew since: what is next is still the same.
        turn = served or group == audit.next_group(store, asking.who, asking.axis)
        return "random" if turn else "chosen"


def labeller(store: Reader, asking: Asking) -> Labeller | None:
    """The labeller that was chosen; without a choice the newest."""
    rows = labels.labellers(store)
    chosen = [row.labeller for row in rows if row.labeller.key == asking.labeller]
    newest = [row.labeller for row in sorted(rows, key=lambda row: row.newest, reverse=True)]
    return next(iter(chosen or newest), None)


def mine(store: Reader, asking: Asking) -> dict[str, Judgment]:
    """What the annotator has judged or skipped here, by pair, in the order of the first word on each."""
    return {one.pair_id: one for one in judgments.mine(store, asking.who, asking.axis)}


def pair_picture(
    store: Reader, asking: Asking, id: str | None, peeked: bool = False, taken: Judgment | None = None
) -> str:
    """The pair as this annotator may see it now; without one, why there is none.

    `peeked`: it is shown without being judged. `taken` was just taken back: its note stays with the pair.
    """
    newest = last(store, asking)
    if id is None:
        return _no_pair(store, asking, newest)
    stored = pairs.load(store, id)
    if stored is None:
        return audit_view.nothing_html(audit_view.NO_SUCH, "pairs", asking.query(), newest)
    shown = audit_sides.shown(stored.pair, asking.who)
    own = mine(store, asking)
    judgment = own.get(id)
    query = asking.query(id)
    if judgment is None or judgment.choice == "skip":
        known = judgments.seen(store, id, asking.who)
        # Shown without judging is kept as a skip that is not blind, so that a refresh shows it again.
        peeked = peeked or (judgment is not None and not judgment.blind)
        reveal = audit_reveal.judged_html(revealed(store, asking, stored.pair, own, None)) if peeked else ""
        state: State = "known" if known else "blind"
        return audit_view.pair_html(shown, asking.axis, state, taken or judgment, query, reveal, newest)
    reveal = audit_reveal.judged_html(revealed(store, asking, stored.pair, own, judgment))
    return audit_view.pair_html(shown, asking.axis, "judged", judgment, query, reveal, newest)


def revealed(
    store: Reader, asking: Asking, pair: Pair, own: dict[str, Judgment], judgment: Judgment | None
) -> Revealed:
    """What the store holds of a pair besides its texts."""
    of = labeller(store, asking) if asking.labeller else None
    others = [
        other
        for other in held_judgments.of_pair(store, pair.id)
        if other.axis == asking.axis
        and other.choice != "skip"
        and (other.annotator, other.annotator_kind) != (asking.who, "person")
    ]
    return Revealed(
        audit_sides.shown(pair, asking.who),
        judgment,
        tuple(opinions(store, labels.of_pair(store, pair.id, of))),
        tuple(others),
        _sources_told(store, pair, own),
    )


def opinions(store: Reader, found: Sequence[Label]) -> list[Opinion]:
    """The labels of a pair by labeller, each with its principles' titles and the mean by their weights."""
    by_labeller: dict[Labeller, list[Label]] = {}
    for label in found:
        who = Labeller(label.model, label.method, label.constitution)
        by_labeller.setdefault(who, []).append(label)
    return [_opinion(store, who, of) for who, of in by_labeller.items()]


def last(store: Reader, asking: Asking) -> str:
    """What undo would take back, by its number: the annotator's newest act of this task."""
    return judgments.newest(store, asking.who, asking.axis, asking.task == "ranking")


def figures(store: Reader, asking: Asking) -> str:
    """How far the annotator has come with the task."""
    if asking.task == "ranking":
        return audit_ranking.ranking_figures_html(
            *audit.groups_done(store, asking.who, asking.axis), asking.who
        )
    return audit_view.figures_html(counts(store, asking), asking.who)


def counts(store: Reader, asking: Asking) -> Counts:
    """The annotator's figures on this axis."""
    judged, skipped, random, total = audit.counts(store, asking.who, asking.axis)
    timed = [one.seconds for one in mine(store, asking).values() if one.seconds and not one.ranking_id]
    return Counts(judged, skipped, random, total, tuple(timed[-TIMED:]))


def group_picture(store: Reader, asking: Asking, id: str | None) -> str:
    """The responses of a group to rank; without one, why there is none."""
    newest, of = last(store, asking), pairs.group(store, id) if id else []
    if id is None or not of:
        _, total = audit.groups_done(store, asking.who, asking.axis)
        inside = audit_ranking.all_ranked(asking.who) if total else audit_ranking.NO_GROUPS
        return audit_view.nothing_html(inside, "ranking", asking.query(), newest)
    known = any(judgments.seen(store, pair.id, asking.who) for pair in of)
    letters, query = lettered(of, id, asking.who), asking.query(id)
    return audit_ranking.ranking_html(id, of[0].messages, letters, asking.axis, query, known, newest)


def lettered(of: Iterable[Pair], group: str, who: str) -> list[str]:
    """The responses of a group's pairs, in the order of their letters for this annotator."""
    responses = {text for pair in of for text in (pair.response_a, pair.response_b)}
    return audit_sides.shuffled(list(responses), group, who)


def compared(store: Reader, asking: Asking, group: str, order: Sequence[Sequence[str]]) -> str:
    """The ranking just kept, beside what the AI holds of its pairs and who wrote what."""
    of = pairs.group(store, group)
    letters = dict(zip(lettered(of, group, asking.who), audit_sides.LETTERS, strict=False))
    who = labeller(store, asking)
    rows = []
    for pair in of:
        found = opinions(store, labels.of_pair(store, pair.id, who)) if who else []
        rows.append(audit_ranking.Ranked(pair, found[0].p_a if found else None))
    return audit_ranking.last_html(order, letters, rows)


def _next(store: Reader, asking: Asking) -> audit.Picked | None:
    of = labeller(store, asking)
    # Without a label there is nothing to be unsure about: any pair will do.
    mode = asking.mode if of else "random"
    return audit.next_pair(store, asking.who, asking.axis, mode, of)


def _no_pair(store: Reader, asking: Asking, newest: str) -> str:
    so_far = counts(store, asking)
    inside = audit_view.all_judged(so_far, asking.who) if so_far.total else audit_view.NO_PAIRS
    return audit_view.nothing_html(inside, "pairs", asking.query(), newest)


def _sources_told(store: Reader, pair: Pair, own: dict[str, Judgment]) -> bool:
    """Whether it may be said who wrote what: not while another pair of these responses is to be judged."""
    if pair.group is None:
        return True
    waiting = (other.id for other in pairs.group(store, pair.group) if other.id != pair.id)
    return all(id in own and own[id].choice != "skip" for id in waiting)


def _opinion(store: Reader, who: Labeller, of: Sequence[Label]) -> Opinion:
    try:
        version = constitutions.load_version(store, who.constitution)
    except UserError:  # imported labels may name a version that this session lacks
        name, principles = who.constitution[:8], dict[str, Principle]()
    else:
        name = f"{version.name} {who.constitution[:8]}"
        principles = {principle.id: principle for principle in version.principles}
    weights = [principles[one.principle].weight if one.principle in principles else 1.0 for one in of]
    if not sum(weights):
        weights = [1.0] * len(of)
    mean = sum(weight * one.p_a for weight, one in zip(weights, of, strict=True)) / sum(weights)
    titles = tuple(
        principles[one.principle].title if one.principle in principles else one.principle for one in of
    )
    return Opinion(f"{isolated(who.model)} · {who.method} · {isolated(name)}", mean, tuple(of), titles)
