"""The limit on tokens holds over all that a server is asked, whatever the text, however often it breaks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.engines import Request, SpentError
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
