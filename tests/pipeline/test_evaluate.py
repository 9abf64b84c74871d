"""Tournaments as runs: scripted models and judges, a budget, a stop, and what is not judged twice."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import evaluate, evaluate_command, prompts
from pipeline.configs import Evaluating, Labelling
from pipeline.engines import Cancelled, Context, Score
from pipeline.errors import UserError
from pipeline.evaluate import Playing, Tournament
from pipeline.growing import Growing, Work, grow
from pipeline.records import Constitution, Message, Pair, Principle
from pipeline.rundir import RunDir
from pipeline.verdicts import FeedbackJudge, OnSkip, OnVerdict, PreferenceJudge, Verdict, label_key

PROMPTS = tuple(prompts.from_text(f"Question {i}?") for i in range(4))


class LongerWins:
    """A judge that prefers the longer answer, but for a little of the one shown first.

    With `most`, whoever is at work is stopped after so many pairs of a round.
    """

    constitution = None

    def __init__(self) -> None:
        self.asked: list[Pair] = []
        self.most = 10**6
        self.stop: Any = None

    def judge(
        self, pairs: Sequence[Pair], on_verdict: OnVerdict, on_skip: OnSkip, cancelled: Cancelled
    ) -> None:
        for pair in pairs[: self.most]:
            self.asked.append(pair)
            longer = 0.8 if len(pair.response_a) > len(pair.response_b) else 0.2
            on_verdict(pair, Verdict(longer + 0.1, longer - 0.1, longer))
        if len(pairs) > self.most:
            self.stop(signal.SIGTERM, None)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(
    folder: Path, engines: dict[str, Any], judge: LongerWins, stop_after: int = 10**6, **settings: Any
) -> tuple[int, list[str]]:
    """A tournament's status, and which models were loaded for it; stopped after so many verdicts."""
    play = Tournament(tuple(engines), PROMPTS, "helpful", "longer", Evaluating(**settings))
    made = RunDir.open(folder, {"stage": "evaluate"}, {})
    keys: list[str] = []
    loaded: list[str] = []

    def load(name: str) -> Any:
        loaded.append(name)
        return engines[name]

    def work(work: Work) -> None:
        with Growing(made, "answers.jsonl", evaluate.answers_key) as answers:
            given = evaluate.answer(play, work, answers, load)
        judge.stop, judge.most = work.stop, stop_after
        played = evaluate.judge_all(Playing(play, work, given, judge), keys)
        if played.whole:
            evaluate.rate(play, work, made, played.core, {})

    name, total = "matchups.jsonl", play.total()
    return grow(made, "evaluate", "matchups", name, lambda row: str(row["id"]), keys, work, total), loaded


def test_the_longer_answer_wins_and_the_first_model_is_0(scripted: Any, tmp_path: Path) -> None:
    engines = {"base": scripted(last="so"), "long": scripted(last="so it is")}
    assert run(tmp_path / "run", engines, LongerWins())[0] == 0
    matchups = rows(tmp_path / "run" / "outputs" / "matchups.jsonl")
    assert [m["prompt_id"] for m in matchups] == [p.id for p in PROMPTS]
    for m in matchups:
        a_is_long = m["model_a"] == "long"
        assert m["response_a"] == ("so it is" if a_is_long else "so")
        assert (m["p_a"] > 0.5) == a_is_long
        assert m["p_ab"] > m["p_a"] > m["p_ba"]
    long, base = json.loads((tmp_path / "run" / "outputs" / "ratings.json").read_text())
    assert (long["model"], long["standing"], long["elo"], long["n"], long["of"]) == (
        "long",
        "above",
        None,
        4,
        "all",
    )
    assert (base["model"], base["elo"], base["judge"]) == ("base", 0.0, "longer")


def test_equal_answers_tie_without_a_judge(scripted: Any, tmp_path: Path) -> None:
    judge = LongerWins()
    engines = {name: scripted(last="the same") for name in ("base", "other")}
    assert run(tmp_path / "run", engines, judge)[0] == 0
    assert judge.asked == []
    ratings = json.loads((tmp_path / "run" / "outputs" / "ratings.json").read_text())
    assert [row["elo"] for row in ratings] == [0.0, 0.0]


def test_models_that_say_the_same_are_judged_once(scripted: Any, tmp_path: Path) -> None:
    judge = LongerWins()
    engines = {"base": scripted(last="so"), "x": scripted(last="so it is"), "y": scripted(last="so it is")}
    assert run(tmp_path / "run", engines, judge)[0] == 0
    assert len(judge.asked) == 4  # of 12 matchups: 4 are ties, and x and y meet the base alike
    assert len(rows(tmp_path / "run" / "outputs" / "matchups.jsonl")) == 12


def test_several_samples_meet_one_by_one(scripted: Any, tmp_path: Path) -> None:
    engines = {"base": scripted(last="so"), "long": scripted(last="so it is")}
    assert run(tmp_path / "run", engines, LongerWins(), samples=3)[0] == 0
    assert len(rows(tmp_path / "run" / "outputs" / "matchups.jsonl")) == 4 * 3
    assert all(
        len(row["responses"]) == 3 for row in rows(tmp_path / "run" / "outputs" / "answers.jsonl.part")
    )


def test_a_stopped_run_goes_on_without_computing_anything_twice(scripted: Any, tmp_path: Path) -> None:
    engines = {"base": scripted(*"abcd"), "long": scripted("ab", "bc", "cd", "de")}
    judge = LongerWins()
    assert run(tmp_path / "run", engines, judge, stop_after=1) == (130, ["base", "long"])
    assert run(tmp_path / "run", engines, judge) == (0, [])
    assert len({pair.id for pair in judge.asked}) == len(judge.asked) == 4


def test_a_budget_has_ratings_of_all_and_of_the_random_core(scripted: Any, tmp_path: Path) -> None:
    engines = {name: scripted(last=name) for name in ("a", "bb", "ccc")}
    judge = LongerWins()
    assert run(tmp_path / "run", engines, judge, stop_after=2, budget=6)[0] == 130
    assert run(tmp_path / "run", engines, judge, budget=6)[0] == 0
    assert len(judge.asked) == len(rows(tmp_path / "run" / "outputs" / "matchups.jsonl")) == 6
    ratings = json.loads((tmp_path / "run" / "outputs" / "ratings.json").read_text())
    assert {of: sum(r["n"] for r in ratings if r["of"] == of) for of in ("all", "core")} == {
        "all": 12,
        "core": 6,
    }


def again(folder: Path, engines: dict[str, Any], judge: str, stop: bool, **settings: Any) -> int:
    """The command once more, on a run whose answers are all there; with `stop` it is asked for at once."""
    play = Tournament(tuple(engines), PROMPTS, "helpful", judge, Evaluating(**settings))
    made = RunDir.open(folder, {"stage": "evaluate"}, {})
    name, keys = "waiting.jsonl" if judge == "people" else "matchups.jsonl", list[str]()

    def work(work: Work) -> None:
        if stop:
            work.stop(signal.SIGTERM, None)
        evaluate_command._play(work, play, None, made, keys)

    return grow(made, "evaluate", "matchups", name, lambda row: str(row["id"]), keys, work, play.total())


@pytest.mark.parametrize("budget", [0, 6])
def test_a_stop_when_all_is_judged_and_not_yet_rated_keeps_all(
    scripted: Any, tmp_path: Path, budget: int
) -> None:
    engines = {name: scripted(last=name) for name in ("a", "bb", "ccc")}
    assert run(tmp_path, engines, LongerWins(), budget=budget)[0] == 0
    whole = tmp_path / "outputs" / "matchups.jsonl"
    judged = whole.read_text()
    part = whole.rename(whole.with_name("matchups.jsonl.part"))  # as a kill leaves it
    (tmp_path / "events.jsonl").unlink()
    assert again(tmp_path, engines, "longer", stop=True, budget=budget) == 130
    assert (part.read_text(), whole.exists()) == (judged, False)
    assert run(tmp_path, engines, LongerWins(), stop_after=0, budget=budget)[0] == 0
    assert whole.read_text() == judged


@pytest.mark.parametrize("budget", [0, 6])
def test_a_stop_when_all_pairs_for_people_are_there_keeps_them(
    scripted: Any, tmp_path: Path, budget: int
) -> None:
    engines = {name: scripted(last=name) for name in ("a", "bb", "ccc")}
    run(tmp_path, engines, LongerWins(), budget=budget)
    assert again(tmp_path, engines, "people", stop=False, budget=budget) == 0
    whole = tmp_path / "outputs" / "waiting.jsonl"
    waiting = whole.read_text()
    part = whole.rename(whole.with_name("waiting.jsonl.part"))
    assert again(tmp_path, engines, "people", stop=True, budget=budget) == 130
    assert part.read_text() == waiting
    assert again(tmp_path, engines, "people", stop=False, budget=budget) == 0
    assert whole.read_text() == waiting


def test_nothing_to_judge_is_said(scripted: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no prompt was answered by two models"):
        run(tmp_path / "run", {"alone": scripted()}, LongerWins())


def test_temperature_0_makes_samples_alike() -> None:
    with pytest.raises(UserError, match="alike"):
        Evaluating(samples=2, temperature=0)


def pair(a: str, b: str) -> Pair:
    return Pair(a + b, "p", (Message("user", "Why?"),), a, b)


def growing(tmp_path: Path, name: str, key: Callable[[Any], str]) -> Growing:
    return Growing(RunDir.open(tmp_path / "run", {}, {}), name, key)


def verdicts(judge: Any, *pairs: Pair) -> dict[str, Verdict]:
    told: dict[str, Verdict] = {}
    judge.judge(pairs, lambda pair, v: told.setdefault(pair.id, v), pytest.fail, lambda: False)
    return told


def test_a_preference_judge_scores_each_answer_once(tmp_path: Path) -> None:
    scored: list[str] = []

    def score(said: Sequence[tuple[Any, str]]) -> list[float]:
        scored.extend(text for _, text in said)
        return [float(len(text)) for _, text in said]

    for _ in range(2):  # the second time from the disk
        with growing(tmp_path, "scores.jsonl", lambda row: row["id"]) as scores:
            told = verdicts(PreferenceJudge(lambda: score, scores), pair("a", "bbb"), pair("a", "cc"))
    assert scored == ["a", "bbb", "cc"]
    assert told["acc"].p_a == told["acc"].p_ab == told["acc"].p_ba == pytest.approx(0.2689, abs=1e-4)  # σ(-1)


def test_a_feedback_judge_labels_in_both_orders_and_each_once(scripted: Any, tmp_path: Path) -> None:
    asked: list[int] = []

    def prefers_a(contexts: Sequence[Context], options: Sequence[str]) -> list[Score]:
        asked.append(len(options))
        return [Score(-1.0 if "A" in option else -2.0, 1) for option in options]

    engine = scripted()
    engine.score = prefers_a
    two = Constitution("t", tuple(Principle(id, id, comparison="Which?") for id in ("one", "two")))
    labelling = Labelling(model="m", principles="all")
    for _ in range(2):
        with growing(tmp_path, "labels.jsonl", lambda r: label_key(r["pair_id"], r["principle"])) as labels:
            told = verdicts(FeedbackJudge(two, labelling, lambda: engine, labels), pair("a", "b"))
    assert sum(asked) == 2 * 4
    assert told["ab"].p_ab == pytest.approx(0.7311, abs=1e-4)  # σ(1): the option (A), whichever it is
    assert told["ab"].p_ba == pytest.approx(0.2689, abs=1e-4)
