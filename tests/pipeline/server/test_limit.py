"""The limit on tokens holds over all that a server is asked, whatever the text, however often it breaks."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.engines import Context, Request, SpentError
from pipeline.engines.server import bodies
from pipeline.engines.spending import Purse

Say = Callable[..., Request]


def test_a_text_of_a_token_a_character_stays_within_it_too(serving: Any, say: Say) -> None:
    purse = Purse()
    engine = serving.open(purse)
    purse.limit = purse.spent + 3000

    def answer(handler: Any) -> None:
        time.sleep(0.05)
        handler.begin()
        handler.event({"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]})
        tokens = sum(len(turn["content"]) for turn in handler.body["messages"])
        handler.event({"choices": [], "usage": {"prompt_tokens": tokens, "completion_tokens": 1}})
        handler.send(b"data: [DONE]\n\n", last=True)

    serving.always = answer
    with pytest.raises(SpentError):
        engine.generate([say("请解释这个问题的背景" * 50, seed=i) for i in range(12)])
    assert purse.limit - 1100 < purse.spent <= purse.limit


@pytest.mark.parametrize("many", [1, 4])
def test_tries_of_what_breaks_stay_within_it(serving: Any, say: Say, many: int) -> None:
    purse = Purse()
    engine = serving.open(purse)
    purse.limit = purse.spent + many * 130

    def breaks(handler: Any) -> None:
        handler.begin()
        for _ in range(90):
            handler.event({"choices": [{"delta": {"content": "x "}}]})
        handler.connection.shutdown(socket.SHUT_RDWR)

    serving.always = breaks
    with pytest.raises(SpentError, match="the next request may take"):
        engine.generate([say("Hi", max_tokens=100, seed=i) for i in range(many)])
    assert len(serving.asked) == many
    assert purse.limit - many * 60 < purse.spent <= purse.limit


def test_a_second_exchange_for_one_likelihood_stays_within_it(
    serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.engines.server.choosing.tail", lambda *_: None)
    purse = Purse()
    engine = serving.open(purse)
    context = Context(prefill="word " * 100)
    [_] = engine.score([context], [" no"])
    assert len(serving.asked) == 2
    purse.limit = purse.spent + bodies.ask("tiny", context, engine.abilities, 1).prompt_tokens + 20
    with pytest.raises(SpentError):
        engine.score([context], [" yes"])
    assert purse.spent <= purse.limit
    assert purse.reserved == 0
