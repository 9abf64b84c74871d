"""Elo: the closed form, two other fits, known ratings, and what no fit can say."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pipeline import bradley_terry, elo, matchups
from pipeline.elo import SCALE, Group, Rating, Table
from pipeline.errors import UserError
from pipeline.intervals import Floats
from pipeline.matchups import Annotator, Matchup
from pipeline.votes import Votes


def matchup(a: str, b: str, p_a: float, prompt: str = "", **more: object) -> Matchup:
    matchup.count = getattr(matchup, "count", 0) + 1  # type: ignore[attr-defined]
    said = {"axis": "helpful", "judge": "j", "annotator": Annotator("j", "model"), "p_ab": p_a, "p_ba": p_a}
    return Matchup(id=str(matchup.count), prompt_id=prompt, model_a=a, model_b=b, p_a=p_a, **{**said, **more})  # type: ignore[attr-defined, arg-type]


def won(*games: tuple[str, str, int]) -> Votes:
    """Votes of which each is a prompt's only one: (winner, loser, how often)."""
    return elo.votes([matchup(a, b, 1.0) for a, b, times in games for _ in range(times)])


def of(table: Table, model: str) -> Rating:
    return next(r for r in table.ratings if r.model == model)


def random_votes(m: int = 5, n: int = 400, seed: int = 1) -> Votes:
    random = np.random.default_rng(seed)
    a = random.integers(0, m, n)
    b = (a + random.integers(1, m, n)) % m
    names = tuple(f"m{i}" for i in range(m))
    return Votes(names, a, b, random.choice([0.0, 0.5, 1.0], n), random.integers(0, 50, n))


def test_two_models_have_the_closed_form() -> None:
    table = elo.rate(won(("a", "b", 30), ("b", "a", 10)), base="b")
    assert of(table, "a").elo == pytest.approx(400 * math.log10(3))
    assert of(table, "b") == Rating("b", 0.0, 0.0, 0.0, 40, 40)


def test_ten_to_one_is_400() -> None:
    assert of(elo.rate(won(("a", "b", 100), ("b", "a", 10)), "b"), "a").elo == pytest.approx(400)


def test_a_tie_is_half_a_win_each() -> None:
    halves = elo.votes([matchup("a", "b", p) for p in [1.0] * 20 + [0.5] * 20])
    assert of(elo.rate(halves, "b"), "a").elo == pytest.approx(400 * math.log10(3))


def test_the_other_base_turns_the_sign() -> None:
    votes = won(("a", "b", 30), ("b", "a", 10))
    one, other = of(elo.rate(votes, "b"), "a"), of(elo.rate(votes, "a"), "b")
    assert (one.elo, one.low, one.high) == pytest.approx((-other.elo, -other.high, -other.low))  # type: ignore[operator]


def test_the_point_is_evalicas_and_our_fit_equals_it() -> None:
    votes = random_votes()
    theta, wins = elo.fitted(votes, 0)
    assert bradley_terry.fit(wins[None], 0)[0] == pytest.approx(theta, abs=1e-7)
    assert bradley_terry.by_library(wins, 0) == pytest.approx(theta)


def test_our_fit_is_evalicas_in_each_resample_too() -> None:
    votes = random_votes()
    random = np.random.default_rng(0)
    wins = elo.fitted(votes, 0)[1] * random.poisson(3, (20, 5, 5)).clip(1)
    library = np.stack([bradley_terry.by_library(w, 2) for w in wins])  # type: ignore[arg-type]
    assert bradley_terry.relative(wins, 2) == pytest.approx(library, abs=1e-7)


def test_where_the_fit_begins_changes_nothing() -> None:
    votes = random_votes()
    point, wins = elo.fitted(votes, 0)
    for start in (point, -5 * point, np.array([0, 9, -9, np.inf, np.nan])):
        assert bradley_terry.relative(wins[None], 0, start)[0] == pytest.approx(point, abs=1e-7)


def test_the_fit_equals_a_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    votes = random_votes()
    sides = np.zeros((len(votes), 5))
    sides[np.arange(len(votes)), votes.a], sides[np.arange(len(votes)), votes.b] = 1, -1
    x, y = np.concatenate([sides, sides])[:, 1:], np.repeat([1, 0], len(votes))
    weight = np.concatenate([votes.won, 1 - votes.won])
    oracle = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=1000).fit(x, y, weight)
    assert elo.fitted(votes, 0)[0][1:] == pytest.approx(oracle.coef_[0], abs=1e-5)


ARENA_RANK = (1030.4432837, 1001.70772623, 980.54837412, 974.40401298, 1012.89660296)
"""What arena-rank 0.1.1, which pins jax, makes of `random_votes()`: around a mean of 1000."""


def test_the_ratings_are_arena_ranks() -> None:
    found = SCALE * elo.fitted(random_votes(), 0)[0]
    assert found - found.mean() + 1000 == pytest.approx(ARENA_RANK, abs=1e-3)


def test_the_ratings_of_a_real_vote_file_are_arena_ranks(tmp_path: Path) -> None:
    real = json.loads(Path(__file__).with_name("mt_bench_votes.json").read_text("utf-8"))
    rows = [f"{won},{lost},model_a" for won, lost, many in real["wins"] for _ in range(many)]
    (tmp_path / "votes.csv").write_text("\n".join(["model_a,model_b,winner", *rows]) + "\n")
    found = elo.votes(matchups.read(tmp_path / "votes.csv").matchups)
    theta = SCALE * elo.fitted(found, 0)[0]
    ratings = dict(zip(found.models, theta - theta.mean() + 1000, strict=True))
    assert len(found) == 80
    assert ratings == pytest.approx(real["ratings"], abs=1e-3)


def test_resamples_are_the_same_however_little_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = elo.bootstrap(random_votes(), 0, resamples=20)
    monkeypatch.setattr(elo, "_AT_ONCE", 100)  # sparse counts, four resamples to a block
    assert elo.bootstrap(random_votes(), 0, resamples=20) == pytest.approx(at_once, nan_ok=True)


def test_a_long_thin_chain_of_models_comes_to_an_end() -> None:
    wins = np.zeros((30, 30))
    for i in range(29):
        wins[i + 1, i], wins[i, i + 1] = (99_999, 1) if i % 2 else (1, 9)
    expected = np.cumsum([0, *(math.log(99_999) if i % 2 else math.log(1 / 9) for i in range(29))])
    assert bradley_terry.relative(wins[None], 0)[0] == pytest.approx(expected, abs=1e-6)


def simulated(random: np.random.Generator, strength: Floats, prompts: int, each: int) -> Votes:
    """Votes whose prompts lean to one model or another, so that a prompt's votes are alike."""
    m = len(strength)
    cluster = np.repeat(np.arange(prompts), each)
    a = random.integers(0, m, len(cluster))
    b = (a + random.integers(1, m, len(cluster))) % m
    lean = random.normal(0, 1, (prompts, m))
    # Their mean over prompts is what a rating is of: see `marginal`.
    d = strength[a] - strength[b] + lean[cluster, a] - lean[cluster, b]
    y = (random.random(len(d)) < 1 / (1 + np.exp(-d))).astype(np.float64)
    return Votes(tuple(f"m{i}" for i in range(m)), a, b, y, cluster)


def marginal(strength: Floats) -> Floats:
    """The ratings that endless such votes have: their mean win matrix, fitted."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    d = (strength[:, None] - strength[None, :])[..., None] + math.sqrt(2) * nodes
    wins = (1 / (1 + np.exp(-d))) @ (weights / weights.sum())
    np.fill_diagonal(wins, 0)
    return bradley_terry.fit(wins[None], 0)[0]


def test_intervals_hold_known_ratings_95_times_in_100_though_votes_cluster() -> None:
    random, strength = np.random.default_rng(7), np.array([0.0, 0.4, -0.6, 1.0])
    truth = SCALE * marginal(strength)
    held = []
    for seed in range(500):
        drawn = SCALE * elo.bootstrap(simulated(random, strength, 150, 8), 0, seed, 400)
        ends = [elo.interval(drawn[:, i]) for i in range(1, 4)]
        held.append([low <= t <= high for (low, high), t in zip(ends, truth[1:], strict=True)])  # type: ignore[operator]
    assert np.mean(held, axis=0) == pytest.approx([0.95] * 3, abs=0.02)


def test_votes_of_one_prompt_are_one_draw() -> None:
    once = won(("a", "b", 30), ("b", "a", 20))
    tenfold = Votes(once.models, *(np.tile(x, 10) for x in (once.a, once.b, once.won, once.cluster)))
    assert np.ptp(elo.bootstrap(tenfold, 0), axis=0) == pytest.approx(np.ptp(elo.bootstrap(once, 0), axis=0))


def test_more_prompts_than_groups_give_the_same_width() -> None:
    votes = random_votes(3, 40_000)
    many = Votes(votes.models, votes.a, votes.b, votes.won, np.arange(len(votes)))
    few = Votes(votes.models, votes.a, votes.b, votes.won, np.arange(len(votes)) % 1_999)
    assert elo.bootstrap(many, 0).std(0)[1:] == pytest.approx(elo.bootstrap(few, 0).std(0)[1:], rel=0.15)


def test_the_same_seed_gives_the_same_interval() -> None:
    votes = random_votes()
    assert elo.rate(votes, "m1", seed=3) == elo.rate(votes, "m1", seed=3)
    assert elo.rate(votes, "m1", seed=3) != elo.rate(votes, "m1", seed=4)


def seen_otherwise(some: list[Matchup], called: dict[str, str] | None = None) -> list[Matchup]:
    """The same matchups in another order, sides turned, prompts (and, if `called`, models) by other names."""
    named = called or {}
    turned = [
        matchup(
            named.get(m.model_b, m.model_b),
            named.get(m.model_a, m.model_a),
            1 - m.p_a,
            f"no {m.prompt_id}",
            p_ab=1 - m.p_ba,
            p_ba=1 - m.p_ab,
        )
        for m in some
    ]
    return [turned[i] for i in np.random.default_rng(5).permutation(len(turned))]


@pytest.mark.parametrize("rule", ["majority", "soft"])
@pytest.mark.parametrize("prompts", [40, 3_000])
def test_the_order_of_rows_changes_no_number(rule: elo.Rule, prompts: int) -> None:
    random = np.random.default_rng(2)
    names = [random.choice(["a", "b", "c", "d"], 2, replace=False) for _ in range(2 * prompts)]
    some = [
        matchup(*two, random.random(), f"p{n % prompts}") for n, two in enumerate(np.array(names).tolist())
    ]
    table = elo.rate(elo.votes(some, rule), "b", rule)
    assert elo.rate(elo.votes(seen_otherwise(some), rule), "b", rule) == table
    # The studio calls a checkpoint by its run's name, and a terminal by its path.
    renamed = elo.rate(elo.votes(seen_otherwise(some, {"a": "z", "b": "y"}), rule), "y", rule)
    ends = {r.model: (r.elo, r.low, r.high) for r in table.ratings}
    found = {{"z": "a", "y": "b"}.get(r.model, r.model): (r.elo, r.low, r.high) for r in renamed.ratings}
    assert found == ends


def test_models_that_nothing_connects_are_not_rated() -> None:
    table = elo.rate(won(("a", "b", 30), ("b", "a", 20), ("c", "d", 9), ("d", "c", 9)), "a")
    assert of(table, "c") == Rating("c", None, None, None, 18, 18, "apart")
    assert table.warnings == (
        "not connected: nothing compares c, d with a, not even through others: not rated",
    )


def test_a_model_with_only_wins_is_above_any_number() -> None:
    table = elo.rate(won(("a", "b", 30), ("b", "a", 20), ("top", "a", 25), ("b", "low", 25)), "a")
    assert (table.ratings[0].model, table.ratings[0].standing) == ("top", "above")
    assert of(table, "low").standing == "below"
    assert of(table, "top").elo is of(table, "top").high is None
    assert table.warnings[0].startswith("top: never lost to a")
    assert of(table, "b").elo == pytest.approx(400 * math.log10(20 / 30))  # the others are as without them


def test_a_base_with_only_wins_says_to_choose_another() -> None:
    table = elo.rate(won(("a", "b", 30), ("b", "c", 30), ("c", "b", 30)), "a")
    assert [r.elo for r in table.ratings] == [0.0, None, None]
    assert "choose another base" in table.warnings[-1]


def test_too_few_votes_are_said_and_their_interval_has_no_end() -> None:
    table = elo.rate(won(("a", "b", 3), ("b", "a", 1)), "b")
    assert of(table, "a").low is not None
    assert of(table, "a").high is None
    assert table.warnings == (
        "too few prompts for an interval to be relied on, below 20: a (4)",
        "too few votes: the interval has no end on one side or on both: a",
    )


def ties(a: str, b: str, many: int) -> list[Matchup]:
    return [matchup(a, b, 0.5) for _ in range(many)]


def test_nothing_but_ties_has_no_interval() -> None:
    table = elo.rate(elo.votes(ties("a", "b", 200)), "b")
    assert of(table, "a") == Rating("a", 0.0, None, None, 200, 200)
    assert table.warnings == (
        "nothing but ties, so no interval: this judge told a from no other; ask another judge, "
        "or compare on other prompts",
    )
    # It is so too where what it ties with has an interval of its own.
    more = [matchup("c", "b", p) for p in [1.0] * 30 + [0.0] * 30]
    table = elo.rate(elo.votes(ties("a", "c", 200) + more), "b")
    assert (of(table, "a").low, of(table, "a").high) == (None, None)
    assert of(table, "c").low is not None
    assert len(table.warnings) == 1


def test_a_base_of_nothing_but_ties_is_said_to_be_so() -> None:
    compared = [matchup("sl", "rl", p) for p in [1.0] * 25 + [0.0] * 15]
    votes = elo.votes(ties("bundled", "sl", 40) + ties("bundled", "rl", 40) + compared)
    table = elo.rate(votes)
    assert (of(table, "sl").low, of(table, "rl").low) == (None, None)
    assert table.warnings == (
        "bundled has nothing but ties, so no interval against it: sl, rl; choose another base",
    )
    few = [matchup("bundled", "sl", p) for p in [1.0] * 3 + [0.0] * 2]
    table = elo.rate(elo.votes(ties("bundled", "sl", 40) + ties("bundled", "rl", 40) + compared + few))
    assert table.warnings == (
        "too few prompts with a vote that is no tie for an interval to be relied on, below 20: bundled (5)",
    )


def test_few_votes_besides_ties_are_too_few() -> None:
    some = ties("a", "b", 40) + [matchup("a", "b", p) for p in [1.0] * 3 + [0.0] * 2]
    table = elo.rate(elo.votes(some), "b")
    assert of(table, "a").low is not None
    assert table.warnings == (
        "too few prompts with a vote that is no tie for an interval to be relied on, below 20: a (5)",
    )


def test_one_prompt_tells_nothing_of_others() -> None:
    table = elo.rate(elo.votes([matchup("a", "b", p, "the same") for p in [1.0] * 60 + [0.0] * 40]), "b")
    assert (of(table, "a").low, of(table, "a").high, of(table, "a").prompts) == (None, None, 1)


def test_no_votes_and_an_unknown_base_are_refused() -> None:
    with pytest.raises(UserError, match="no votes"):
        elo.rate(elo.votes([]))
    with pytest.raises(UserError, match="nobody: has no vote here; the models are a, b"):
        elo.rate(won(("a", "b", 1)), "nobody")


def test_the_usual_base_is_the_bundled_model_else_the_most_compared() -> None:
    assert elo.usual_base(won(("a", "bundled", 1), ("a", "b", 5))) == "bundled"
    assert elo.usual_base(won(("a", "b", 1), ("b", "c", 5))) == "b"


def test_a_win_is_the_majority_of_both_orders() -> None:
    ab, ba = np.array([[0.9, 0.6], [0.9, 0.1], [0.2, 0.4], [0.5, 0.5], [0.9, 0.5], [0.5, 0.1]]).T
    assert elo.majority(ab, ba).tolist() == [1, 0.5, 0, 0.5, 1, 0]


def test_soft_takes_the_probability() -> None:
    votes = elo.votes([matchup("a", "b", 0.75)] * 30, "soft")
    table = elo.rate(votes, "b", "soft")
    assert (of(table, "a").elo, table.rule) == (pytest.approx(400 * math.log10(3)), "soft")


def test_kinds_of_judges_axes_and_constitutions_are_never_pooled() -> None:
    said = [
        matchup("a", "b", 1.0),
        matchup("a", "b", 1.0, annotator=Annotator("j", "person")),
        matchup("a", "b", 1.0, axis="harmless"),
        matchup("a", "b", 1.0, constitution="v1"),
    ]
    assert [str(group) for group in elo.grouped(said)] == [
        "helpful, judged by j (model)",
        "helpful, judged by j (person)",
        "harmless, judged by j (model)",
        "helpful, judged by j (model) under v1",
    ]
    assert Group("helpful", "j", "model") in elo.grouped(said)
