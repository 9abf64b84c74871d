"""Who meets whom: all pairs, and a budget over a random core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from pipeline import tournament
from pipeline.matchups import Annotator, Matchup
from pipeline.tournament import Match

MODELS = ("base", "sl", "rl")
PROMPTS = [f"p{i}" for i in range(40)]
STRENGTH = {"base": 0.0, "sl": 0.1, "rl": 4.0}


def matchup(match: Match) -> Matchup:
    """Judged by strength and a coin that is the match's own."""
    coin = np.random.default_rng(int(match.id, 16)).random()
    p = float(coin < 1 / (1 + np.exp(STRENGTH[match.other] - STRENGTH[match.one])))
    judge = Annotator("j", "model")
    return Matchup(match.id, match.prompt_id, "helpful", match.one, match.other, "j", judge, p, p, p)


class Judged:
    """A judge that remembers what it was asked, and stops after so many rounds."""

    def __init__(self, rounds: int = 99) -> None:
        self.rounds, self.asked, self.known = rounds, list[list[Match]](), dict[str, Matchup]()

    def __call__(self, some: Sequence[Match]) -> Mapping[str, Matchup] | None:
        self.asked.append(list(some))
        self.known |= {match.id: matchup(match) for match in some}
        return self.known if len(self.asked) < self.rounds else None


def test_all_pairs_of_models_meet_on_each_prompt_and_sample() -> None:
    every = tournament.matches(MODELS, PROMPTS, 2)
    assert len(every) == len({match.id for match in every}) == 3 * 40 * 2
    assert [(m.one, m.other) for m in every[:3]] == list(combinations(MODELS, 2))


def test_a_match_is_the_same_whichever_model_is_named_first() -> None:
    ids = [{m.id for m in tournament.matches(named, PROMPTS, 1)} for named in (MODELS, MODELS[::-1])]
    assert ids[0] == ids[1]


def test_a_budget_is_spent_on_a_random_core_and_then_where_least_is_known() -> None:
    every, judge = tournament.matches(MODELS, PROMPTS, 2), Judged()
    chosen = tournament.spend(every, 120, 0, judge)
    assert len(chosen) == len({match.id for match in chosen}) == 120
    assert chosen[:60] == judge.asked[0] == tournament.core(every, 120, 0)
    later = [frozenset((m.one, m.other)) for m in chosen[60:]]
    # Base and SL differ least, and so are known best.
    assert later.count(frozenset(("base", "sl"))) < 10
    assert len(judge.asked) == 1 + tournament.ROUNDS


def test_a_run_that_goes_on_makes_the_same_choices() -> None:
    every = tournament.matches(MODELS, PROMPTS, 1)
    whole, stopped = Judged(), Judged(rounds=3)
    chosen = tournament.spend(every, 60, 5, whole)
    assert tournament.spend(every, 60, 5, stopped) == chosen[: sum(map(len, whole.asked[:3]))]
    assert tournament.spend(every, 60, 5, Judged()) == chosen
    assert tournament.spend(every, 60, 6, Judged()) != chosen


def test_a_budget_above_all_matches_takes_each_once() -> None:
    every = tournament.matches(MODELS, PROMPTS[:2], 1)
    assert {m.id for m in tournament.spend(every, 100, 0, Judged())} == {m.id for m in every}


def test_pairs_that_never_met_come_first() -> None:
    every = tournament.matches(MODELS, PROMPTS, 1)
    judged = [matchup(match) for match in every if "rl" not in (match.one, match.other)]
    known = {m.id for m in judged}
    some = tournament.widest([m for m in every if m.id not in known], judged, 10, 0)
    assert all("rl" in (match.one, match.other) for match in some)


def test_a_few_ties_are_not_taken_for_knowledge() -> None:
    def said(one: str, other: str, share: list[float]) -> list[Matchup]:
        judge = Annotator("j", "model")
        return [
            Matchup(f"{one} {i}", f"p{i}", "helpful", one, other, "j", judge, p, p, p)
            for i, p in enumerate(share)
        ]

    every = tournament.matches(MODELS, PROMPTS, 1)
    known = said("sl", "base", [0.0, 1.0] * 15)
    two = {"base", "rl"}
    some = tournament.widest(every, known + said("rl", "base", [0.5] * 4), 30, 0)
    assert sum({match.one, match.other} == two for match in some) >= 5
    # Many ties are knowledge: models that are alike do not take the rest of a budget.
    some = tournament.widest(every, known + said("rl", "base", [0.5] * 300), 30, 0)
    assert not any({match.one, match.other} == two for match in some)
