"""How a server's answers end: whole, cut, or broken off."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.engines import EngineError, Request
from pipeline.engines.spending import Purse

Say = Callable[..., Request]


def event(text: str, reason: str | None = None) -> bytes:
    return (
        b"data: %s\n\n"
        % json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": reason}]}).encode()
    )


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("model_length", "length"),
        ("content_filter", "length"),
    ],
)
def test_an_answer_that_was_cut_is_not_called_whole(
    serving: Any, faults: Any, say: Say, reason: str, finish: str
) -> None:
    engine = serving.open()
    serving.always = faults.bytes(event("The first half of an ans"), event("", reason))
    [done] = engine.generate([say("Hi")])
    assert (done.text, done.finish) == ("The first half of an ans", finish)


@pytest.mark.parametrize("reason", ["abort", "error", "insufficient_system_resource"])
def test_an_answer_that_a_server_gave_up_is_asked_for_again(
    serving: Any, faults: Any, say: Say, reason: str
) -> None:
    engine = serving.open()
    serving.text = "All of it."
    serving.faults.append(faults.bytes(event("All o"), event("", reason)))
    assert engine.generate([say("Hi")])[0].text == "All of it."
    serving.always = faults.bytes(event("All o"), event("", reason))
    with pytest.raises(
        EngineError, match=f"broke off in the middle of an answer .*{reason}.*: tried 3 times"
    ):
        engine.generate([say("Hi")])


@pytest.mark.parametrize("counted", [True, False])
def test_an_answer_that_is_all_there_is_not_paid_again_for_a_torn_end(
    serving: Any, say: Say, counted: bool
) -> None:
    purse = Purse()
    engine = serving.open(purse)
    before = purse.spent
    usage = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}

    def torn(handler: Any) -> None:
        handler.begin()
        handler.send(event("All of it.", "stop"))
        if counted:
            handler.event(usage)
        handler.connection.shutdown(socket.SHUT_RDWR)

    serving.always = torn
    [done] = engine.generate([say("Hi")])
    assert (done.text, done.finish, len(serving.asked)) == ("All of it.", "stop", 1)
    assert purse.spent - before == 13 if counted else 0 < purse.spent - before < 100
