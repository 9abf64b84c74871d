"""What identifies a pair, which side is whose, and how responses are sampled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import comparisons, pairs
from pipeline.configs import Answering
from pipeline.engines import Completion, TooLong
from pipeline.pairs import Answers, Engines, Response, make_pair, pairs_of, sample_pairs, side_of
from pipeline.records import Message, Pair, Prompt, Source, as_json, content_id

WHY = (Message("user", "why?"),)


def pair(first: str, second: str, messages: tuple[Message, ...] = WHY) -> Pair:
    return make_pair("p", messages, first, second, Source(f"by {first}"), Source(f"by {second}"), "helpful")


def prompts(count: int) -> list[Prompt]:
    return [Prompt(f"p{i}", (Message("user", f"question {i}?"),)) for i in range(count)]


def answers(*texts: str) -> Answers:
    return Answers("p", WHY, "helpful", tuple(Response(text, Source(seed=i)) for i, text in enumerate(texts)))


def both(engine: Any) -> Engines:
    return Engines(engine, engine)


def test_a_pair_is_the_same_whichever_response_is_named_first() -> None:
    assert pair("yes", "no") == pair("no", "yes")
    assert pair("yes", "no").id == content_id([[{"role": "user", "content": "why?"}], ["no", "yes"]])
    assert pair("yes", "no").id != pair("yes", "no", (Message("user", "how?"),)).id
    with pytest.raises(ValueError, match="both responses are the same"):
        pair("yes", "yes")


def test_each_source_stays_with_its_response() -> None:
    for i in range(20):
        made = pair(f"yes {i}", "no")
        assert (made.source_a.name, made.source_b.name) == (f"by {made.response_a}", f"by {made.response_b}")
        assert {side_of(made, "no"), side_of(made, f"yes {i}")} == {"a", "b"}
    with pytest.raises(ValueError, match="no such response"):
        side_of(pair("yes", "no"), "maybe")


def test_sides_say_nothing_of_order_or_alphabet() -> None:
    """2,000 pairs whose better response is named first, and sorts first: within four standard errors."""
    is_a = sum(pair(f"a{i}", f"b{i}").response_a == f"a{i}" for i in range(2000))
    assert abs(is_a - 1000) < 4 * (2000 * 0.25) ** 0.5


@pytest.mark.parametrize("part", ["pm-train", "measure"])
def test_a_constant_labeller_scores_half_on_real_comparisons(shared_data: Path, part: str) -> None:
    found = comparisons.read(shared_data / f"hh-harmless-{part}.jsonl.gz")
    chosen = [judgment.choice for judgment in found.judgments]
    assert len(chosen) > 500
    share = chosen.count("a") / len(chosen)  # what "always a" scores
    assert abs(share - 0.5) < 3 * 0.5 / len(chosen) ** 0.5
    assert abs(chosen[:500].count("b") - 250) < 3 * (500 * 0.25) ** 0.5


def test_equal_and_empty_responses_make_no_pair() -> None:
    [made] = pairs_of(answers("yes", "no", "yes", "", "no"))
    assert {made.response_a, made.response_b} == {"yes", "no"}
    assert {made.source_a.seed, made.source_b.seed} == {0, 1}
    assert made.group is None
    assert pairs_of(answers("yes", "yes")) == pairs_of(answers("yes", " ")) == []


def test_each_two_of_four_are_a_pair_of_one_group() -> None:
    made = pairs_of(answers("a", "b", "c", "d"))
    assert len({p.id for p in made}) == 6
    assert {p.group for p in made} == {
        content_id([[{"role": "user", "content": "why?"}], ["a", "b", "c", "d"]])
    }
    assert {p.group for p in pairs_of(answers("d", "c", "b", "a"))} == {made[0].group}


def test_written_pairs_come_back(tmp_path: Path) -> None:
    every = pairs_of(answers("a", "b", "c"))
    pairs.write(every, tmp_path / "pairs.jsonl")
    found = comparisons.read(tmp_path / "pairs.jsonl")
    assert (list(found.pairs), found.judgments, found.problems) == (every, (), ())


def test_each_response_has_a_seed_of_its_own(scripted: Callable[..., Any]) -> None:
    engine = scripted(last="so")
    sample_pairs(prompts(3), Answering(samples=4), both(engine))
    seeds = [request.sampling.seed for request in engine.requests]
    assert len(set(seeds)) == 12
    assert seeds[5] == pairs.response_seed(0, "p1", 1)
    assert pairs.response_seed(1, "p1", 1) != seeds[5]


def test_sources_name_model_weights_form_and_seed(scripted: Callable[..., Any]) -> None:
    [found] = sample_pairs(prompts(1), Answering(), both(scripted(" yes", "no", form="plain")))
    assert [response.text for response in found.responses] == ["yes", "no"]
    assert found.responses[1].source == Source(
        "scripted", "r1", "plain", pairs.response_seed(0, "p0", 1), "stop"
    )


@pytest.mark.parametrize(("samples", "by"), [(2, "ab"), (3, "aab"), (5, "aaabb")])
def test_two_models_share_the_responses(scripted: Callable[..., Any], samples: int, by: str) -> None:
    a, b = scripted(name="a", last="from a"), scripted(name="b", last="from b")
    told: list[str] = []
    found = sample_pairs(
        prompts(2), Answering(samples=samples), Engines(a, b), on_answers=lambda x, tokens: told.append(x.id)
    )
    assert ["".join(r.source.name for r in x.responses) for x in found] == [by, by]
    assert told == ["p0", "p1"]


def test_an_empty_response_is_sampled_once_more_with_another_seed(scripted: Callable[..., Any]) -> None:
    engine = scripted("", "no", "yes", "", "no", "")
    found = sample_pairs(prompts(2), Answering(), both(engine))
    assert [[r.text for r in x.responses] for x in found] == [["no", "no"], ["yes", ""]]
    assert found[0].responses[0].source.seed == pairs.response_seed(0, "p0", 0, attempt=1)
    assert found[1].responses[1].source.finish == "empty"
    assert len(engine.requests) == 6


class Narrow:
    """An engine for which the prompts with `question 0` are too long."""

    def __init__(self, engine: Any) -> None:
        self.info, self._engine = engine.info, engine

    def flow(self, requests: Any, follow: Any, on_text: Any, cancelled: Any) -> None:
        for i, request in enumerate(requests):
            long = "question 0" in request.context.messages[0].content
            outcome = TooLong(i, "too long") if long else Completion(f"text {i}", "stop", 2, 0.0)
            assert follow(i, outcome) is None


def test_a_prompt_too_long_for_one_of_the_models_is_told_once(scripted: Callable[..., Any]) -> None:
    told: list[str] = []
    for engines in (Engines(Narrow(scripted()), scripted()), Engines(scripted(), Narrow(scripted()))):
        found = sample_pairs(
            prompts(2), Answering(samples=4), engines, on_skip=lambda prompt, error: told.append(prompt.id)
        )
        assert [x.id for x in found] == ["p1"]
    assert told == ["p0", "p0"]


def test_a_cancel_keeps_whole_prompts_only(scripted: Callable[..., Any]) -> None:
    engine = scripted(last="one two three four")
    asked = iter([False] * 10 + [True] * 1000)
    found = sample_pairs(prompts(4), Answering(), both(engine), cancelled=lambda: next(asked))
    assert len(found) < 4
    assert all(response.text == "one two three four" for x in found for response in x.responses)


def test_tokens_of_a_retry_count(scripted: Callable[..., Any]) -> None:
    counted: list[int] = []
    sample_pairs(
        prompts(1), Answering(), both(scripted("a b", "c d e")), on_answers=lambda x, n: counted.append(n)
    )
    assert counted == [5]
    assert as_json(answers("a"))["responses"][0]["source"]["seed"] == 0
