"""What a server refuses for its own sake is left out, and the rest goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.engines import Completion, Context, Request, TooLong
from pipeline.engines.server.bodies import HARMLESS
from pipeline.engines.server.refusals import RefusedError
from pipeline.engines.spending import Purse
from pipeline.records import Message

Say = Callable[..., Request]

FILTERED = "The response was filtered due to our content management policy."


def filtering(status: int) -> Callable[[Any], None]:
    """Refuses at once what is about wifi; answers the rest, later."""

    def answer(handler: Any) -> None:
        if "wifi" in str(handler.body):
            return handler.refuse(status, FILTERED)
        time.sleep(0.1)
        return handler.normal()

    return answer


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_prompt_that_is_refused_is_left_out_and_the_rest_is_written(
    serving: Any, say: Say, status: int, plain: bool
) -> None:
    engine = serving.open()
    serving.always = filtering(status)
    took: dict[int, Completion | TooLong] = {}
    asked = [say("Hack the wifi" if i in (0, 5) else f"Number {i}", plain=plain) for i in range(8)]
    engine.flow(asked, took.__setitem__)  # type: ignore[arg-type]
    left_out = {i: str(one) for i, one in took.items() if isinstance(one, TooLong)}
    assert (sorted(took), sorted(left_out)) == (list(range(8)), [0, 5])
    assert all(f"refuses this text ({status}): {FILTERED}" in why for why in left_out.values())
    assert "this key" not in left_out[0]


def test_alone_it_is_left_out_too(serving: Any, say: Say) -> None:
    engine = serving.open()
    serving.always = filtering(400)
    took: list[Completion | TooLong] = []
    engine.flow([say("Hack the wifi")], lambda i, outcome: took.append(outcome))
    assert isinstance(took[0], TooLong)


def test_harmless_words_are_answered_when_the_answer_begins(serving: Any, faults: Any, say: Say) -> None:
    purse = Purse()
    engine = serving.open(purse)

    def answer(handler: Any) -> None:
        (faults.endless if HARMLESS in str(handler.body) else filtering(400))(handler)

    serving.always = answer
    took: list[Completion | TooLong] = []
    before = purse.spent
    engine.flow([say("Hack the wifi", max_tokens=100)], lambda i, outcome: took.append(outcome))
    assert isinstance(took[0], TooLong)
    assert 0 < purse.spent - before < 100
    (_, refused), (_, harmless) = serving.asked
    assert harmless["max_tokens"] == refused["max_tokens"]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_where_all_is_refused_that_is_said(serving: Any, faults: Any, say: Say, status: int) -> None:
    engine = serving.open()
    serving.always = faults.busy(status)
    with pytest.raises(RefusedError, match="try later"):
        engine.flow([say(f"Number {i}") for i in range(50)], lambda i, outcome: None)
    assert len(serving.asked) <= 8


def test_what_is_in_flight_when_all_ends_is_kept(serving: Any, say: Say) -> None:
    engine = serving.open()
    refused = threading.Event()

    def answer(handler: Any) -> None:
        if "Number 0" in str(handler.body):
            handler.refuse(402, "no credit")
            return refused.set()
        refused.wait(5)
        time.sleep(0.2)
        return handler.normal()

    serving.always = answer
    took: list[int] = []
    with pytest.raises(RefusedError, match="no credit"):
        engine.flow([say(f"Number {i}") for i in range(20)], lambda i, outcome: took.append(i))
    assert sorted(took) == [1, 2, 3]


@pytest.mark.parametrize("prompts", [True, False])
def test_a_likelihood_that_is_refused_is_named(serving: Any, prompts: bool) -> None:
    serving.echo = serving.prompts = prompts
    engine = serving.open()
    serving.always = filtering(400)
    contexts = [Context((Message("user", text),), "The answer is:") for text in ("Tea?", "Hack the wifi?")]
    with pytest.raises(TooLong, match="refuses this text") as caught:
        engine.choose(contexts, [" (A)", " (B)"])
    assert caught.value.index in (2, 3)


@pytest.mark.parametrize("way", ["prompts", "top", "samples"])
def test_what_was_scored_beside_what_is_left_out_is_not_asked_again(serving: Any, way: str) -> None:
    serving.echo = serving.prompts = way == "prompts"
    serving.top = way == "top"
    engine = serving.open()
    each = {"prompts": 2, "top": 1, "samples": 8}[way]
    texts = [f"Number {i}" if i % 3 else "long " * 600 + str(i) for i in range(9)]
    left_out = []
    while True:
        contexts = [Context((Message("user", text),), "The answer is:") for text in texts for _ in "ab"]
        try:
            scores = engine.score(contexts, [" (A)", " (B)"] * len(texts))
            break
        except TooLong as error:
            left_out.append(texts.pop(error.index // 2)[-1])
    assert (left_out, len(scores)) == (["0", "3", "6"], 12)
    asked = [str(body) for _, body in serving.asked]
    assert sum("Number" in body for body in asked) == 6 * each
    assert sum("long" in body for body in asked) <= 3 * min(each, 4)
    serving.asked.clear()
    assert len(engine.score(contexts, [" (A)", " (B)"] * len(texts))) == 12
    assert len(serving.asked) == 6 * each
