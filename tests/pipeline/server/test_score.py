"""Likelihoods from a server: exact where it tells them, by alternatives or samples where it does not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pipeline.engines import Context, EngineError, TooLong
from pipeline.engines.server import choosing
from pipeline.engines.server.reading import Token, prompt_tokens
from pipeline.records import Message

OPTIONS, VERDICTS = (" (A)", " (B)"), (" Yes", " No")
ASKED = Context(messages=(Message("user", "Which is better, (A) tea or (B) tar?"),), prefill="The answer is:")
PLAIN = Context(prefill="Which is better, (A) tea or (B) tar?\nThe answer is:")


@pytest.mark.parametrize("context", [ASKED, PLAIN])
@pytest.mark.parametrize("continues", ["unasked", "when asked"])
def test_a_prompts_log_probabilities_make_the_models_own_scores(
    serving: Any, tiny_engine: Any, context: Context, continues: str
) -> None:
    serving.continues = continues
    engine = serving.open()
    texts = [*OPTIONS, " Tea, for “tar” is no drink 🫖."]
    ours = engine.score([context] * 3, texts)
    theirs = tiny_engine.score([context] * 3, texts)
    for our, their in zip(ours, theirs, strict=True):
        assert our.logprob == pytest.approx(their.logprob, abs=1e-3)
        assert (our.tokens, our.samples) == (their.tokens, 0)
    for one, other in zip(
        engine.choose([context], OPTIONS), tiny_engine.choose([context], OPTIONS), strict=True
    ):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("context", [ASKED, PLAIN])
def test_alternatives_to_the_next_token_make_nearly_the_same_choice(
    serving: Any, tiny_engine: Any, context: Context
) -> None:
    serving.echo = serving.prompts = False
    engine = serving.open()
    assert (engine.abilities.plain_top, engine.abilities.chat_top) == (20, 20)
    [[a, b]] = engine.choose([context], OPTIONS)
    [(_, body)] = serving.asked
    assert body["max_tokens"] == 1
    ids = tiny_engine.encode(context) + tiny_engine.encoder.tokens(" (")
    row = serving.logprobs_of(ids)[-1]
    letters = [float(row[tiny_engine.encoder.tokens(letter)[0]]) for letter in "AB"]
    least = float(row.topk(20).values[-1])
    expected = [max(p, least) for p in letters]
    assert math.log(a / b) == pytest.approx(expected[0] - expected[1], abs=1e-3)


def test_a_server_that_tells_nothing_is_asked_often(serving: Any) -> None:
    serving.echo = serving.prompts = serving.top = False
    engine = serving.open()
    answers = iter(["A)", "A)", "B)", "A)", "I can't say", "A)", "A)", "B)"])
    serving.written = lambda context, body, piece: (next(answers), 2)
    one, other = engine.score([ASKED] * 2, OPTIONS)
    assert math.exp(one.logprob) == pytest.approx((5 + 1) / (7 + 2))
    assert math.exp(other.logprob) == pytest.approx((2 + 1) / (7 + 2))
    assert (one.samples, other.samples) == (8, 8)
    assert len({body["seed"] for _, body in serving.asked}) == len(serving.asked) == 8
    assert all(body["messages"][-1]["content"] == "The answer is: (" for _, body in serving.asked)


@pytest.mark.parametrize("top", [True, False])
def test_an_option_scored_before_a_failure_is_compared_anew_with_another(serving: Any, top: bool) -> None:
    serving.echo = serving.prompts = False
    serving.top = top
    engine = serving.open()
    refused = Context(messages=(Message("user", "long " * 600),), prefill="The answer is:")
    with pytest.raises(TooLong):
        engine.score([ASKED, ASKED, refused, refused], OPTIONS * 2)
    serving.asked.clear()
    assert len(engine.score([ASKED] * 2, (OPTIONS[0], " (C)"))) == 2
    assert len(serving.asked) == (1 if top else 8)


def test_what_no_server_without_log_probabilities_can_tell_is_refused(serving: Any) -> None:
    serving.echo = serving.prompts = False
    engine = serving.open()
    with pytest.raises(EngineError, match="contrast"):
        engine.score([ASKED, PLAIN], ["one", "other"])


def test_a_server_that_takes_no_notice_of_echo_is_not_believed(serving: Any) -> None:
    serving.echo = False
    assert not serving.open().abilities.plain_prompts


def test_one_that_is_too_long_is_named(serving: Any) -> None:
    engine = serving.open()
    with pytest.raises(TooLong) as caught:
        engine.score([PLAIN, PLAIN, Context(prefill="long " * 600)], ["a", "b", "c"])
    assert caught.value.index == 2


def test_500_in_the_middle_of_scoring_is_tried_again(serving: Any, faults: Any) -> None:
    engine = serving.open()
    serving.faults += [faults.busy(500), faults.busy(502)]
    assert len(engine.score([PLAIN] * 2, OPTIONS)) == 2


def spoken(*rows: dict[str, float]) -> list[Token]:
    """Tokens with alternatives given as probabilities; the likeliest is the one that was written."""
    return [
        Token(max(row, key=lambda t: row[t]), 0.0, tuple((t, math.log(p)) for t, p in row.items()))
        for row in rows
    ]


@pytest.mark.parametrize(
    "tokens",
    [
        spoken({"A": 0.6, "B": 0.2, "C": 0.1}),
        spoken({" A": 0.6, " B": 0.2, "The": 0.1}),
        spoken({"(A": 0.6, "(B": 0.2, "(": 0.1}),
        spoken({"(": 0.9, "The": 0.1}, {"A": 0.6, "B)": 0.2}),
        spoken({"The": 0.9, "A": 0.05}, {" answer": 0.9}, {" is": 0.9}, {" (": 0.9}, {"A)": 0.6, "B": 0.2}),
    ],
)
def test_a_model_may_come_to_its_answer_in_its_own_words(tokens: list[Token]) -> None:
    found = choosing.by_alternatives(tokens, OPTIONS, begun=False)
    assert found is not None
    assert found[0] - found[1] == pytest.approx(math.log(3))


def test_an_option_that_is_not_listed_is_as_likely_as_the_least_of_those_that_are() -> None:
    found = choosing.by_alternatives(spoken({"A": 0.9, "x": 0.01}), OPTIONS, begun=True)
    assert found is not None
    assert found[0] - found[1] == pytest.approx(math.log(90))


def test_a_verdict_is_a_whole_word_in_any_case() -> None:
    listed = spoken({" Not": 0.3, " yes": 0.4, " No": 0.2, " Nothing": 0.1})
    found = choosing.by_alternatives(listed, VERDICTS, begun=False)
    assert found is not None
    assert found[0] - found[1] == pytest.approx(math.log(2))
    assert choosing.named("Note that it is kind. yes.", VERDICTS) == 0
    assert choosing.named("Nothing of the kind", VERDICTS) is None


def test_an_article_is_no_answer() -> None:
    article = spoken({"A": 0.6, "B": 0.1}, {" careful": 0.9}, {" reading": 0.9})
    assert choosing.by_alternatives(article, OPTIONS, begun=False) is None
    answer = spoken({" (": 0.9}, {"B": 0.6, "A": 0.2})
    found = choosing.by_alternatives([*article, *answer], OPTIONS, begun=False)
    assert found is not None
    assert found[1] - found[0] == pytest.approx(math.log(3))


def test_where_it_never_comes_to_an_answer_nothing_is_said() -> None:
    assert choosing.by_alternatives(spoken({"Well": 0.9}, {",": 0.9}), OPTIONS, begun=False) is None


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("(B) because of (A)", 1),
        (" A", 0),
        ("B.", 1),
        ("A)", 0),
        ("**A** is better", 0),
        ("A\nIt is kinder.", 0),
        ("B - it is kinder", 1),
        ("A more careful reading shows the second response is less harmful", None),
        ("A better one is (B)", 1),
        ("Apples", None),
        ("neither", None),
        ("", None),
    ],
)
def test_which_option_an_answer_names(answer: str, option: int | None) -> None:
    assert choosing.named(answer, OPTIONS) == option


@pytest.mark.parametrize(
    "bad", [None, [], [None], [None, {}], [None, {"1": {"logprob": "x"}}], [None, 7], "x"]
)
def test_hostile_log_probabilities_are_none(bad: Any) -> None:
    assert prompt_tokens({"prompt_logprobs": bad, "choices": []}) is None
    told = {"tokens": ["a", "b", "c"], "token_logprobs": [None, 10**400, 0.5]}
    assert prompt_tokens({"choices": [{"logprobs": told}], "usage": {"prompt_tokens": 2}}) is None
