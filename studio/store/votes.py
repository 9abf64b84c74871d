"""Matchups as they are rated: arrays by axis, judge, kind of judge and constitution, read in one go.

The database gives numbers for names, so that no row is looked at here: a million take about a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline import elo
from pipeline.elo import Group, Rule
from pipeline.intervals import Floats, Ints, dense
from pipeline.votes import Votes
from studio.store.database import Columns, Reader, Store
from studio.store.matchups import MatchupFilter, where_of


@dataclass(frozen=True)
class Coded:
    """The votes of one group: sides `a` and `b` are numbers of competitors. See `pipeline.votes.Votes`."""

    group: Group
    a: Ints
    b: Ints
    won: Floats
    cluster: Ints

    def votes(self, names: Mapping[int, str]) -> Votes:
        """As they are rated, each competitor by the name given; without the votes of a model on itself."""
        codes = np.unique(np.concatenate([self.a, self.b]))
        models = sorted({names[code] for code in codes.tolist()})
        place = {name: at for at, name in enumerate(models)}
        to = np.array([place[names[code]] for code in codes.tolist()], np.int64)
        a, b = to[np.searchsorted(codes, self.a)], to[np.searchsorted(codes, self.b)]
        two = a != b
        return Votes(tuple(models), a[two], b[two], self.won[two], dense(self.cluster[two]))


# The statements below are put together from constants only; values go in as parameters.
GROUP = "axis, judge, annotator_kind, constitution"
GROUPS = f"""
SELECT {GROUP}, hash({GROUP}) FROM current_matchups WHERE {{where}} GROUP BY ALL ORDER BY min(seq)
"""  # noqa: S608
# A list is searched for each row, but it is short; a hash is made faster than the text that it is of.
ROWS = f"""
SELECT list_position($groups::UBIGINT[], hash({GROUP})) AS "group", side_a, side_b, {{won}}, cluster
FROM current_matchups WHERE {{where}}
"""  # noqa: S608
# A prompt's answers count as one, however often each was judged. What an answer is, no axis or judge decides.
REFUSALS = """
SELECT s.side AS side, cluster, avg(s.refuses::DOUBLE) AS refused FROM (
    SELECT cluster, unnest([
        {{'side': side_a, 'refuses': refuses_a}}, {{'side': side_b, 'refuses': refuses_b}}]) AS s
    FROM current_matchups WHERE {where})
GROUP BY s.side, cluster
"""


def groups(store: Reader, filter: MatchupFilter) -> list[Group]:
    """What may be rated together, the oldest first."""
    where, values = where_of(filter)
    return [Group(*row) for *row, _ in store.query(GROUPS.format(where=where), values)]


def coded(store: Store, filter: MatchupFilter, rule: Rule = "majority") -> list[Coded]:
    """The votes of each group in arrays: a million rows in about a second."""
    where, values = where_of(filter)
    found = store.query(GROUPS.format(where=where), values)
    if not found:
        return []
    keys = [key for *_, key in found]
    won = "p_a" if rule == "soft" else "p_ab, p_ba"
    rows = store.columns(ROWS.format(won=won, where=where), {**values, "groups": keys})
    share = rows["p_a"] if rule == "soft" else elo.majority(rows["p_ab"], rows["p_ba"])
    result = []
    for number, (*group, _) in enumerate(found, 1):
        of = np.flatnonzero(rows["group"] == number)
        result.append(
            Coded(Group(*group), rows["side_a"][of], rows["side_b"][of], share[of], rows["cluster"][of])
        )
    return result


def refusals(store: Store, filter: MatchupFilter) -> Columns:
    """Of each competitor (`side`) and helpful prompt (`cluster`), the share of answers that refuse.

    Of the filter only the run and the time hold.
    """
    where, values = where_of(
        MatchupFilter(kind="helpful", run=filter.run, since=filter.since, until=filter.until)
    )
    return store.columns(REFUSALS.format(where=where), values)
