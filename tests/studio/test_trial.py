"""A trial of a constitution: however it ends, its writing ends too, and Run can be pressed again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from pipeline.configs import Drawing
from pipeline.errors import UserError
from pipeline.prompts import from_text
from studio.components import trial
from studio.components.principle_cards import look_at
from studio.context import Studio
from studio.store import constitutions

TAB = SimpleNamespace(session_hash="tab")
DEFAULTS = {field.name: field.default for field in fields(Drawing)}
VALUES = [DEFAULTS[name] for name in ("model", "max_tokens", "seed")]
RUN, STOP = -2, -1  # the places of the buttons in what a trial yields


@pytest.fixture
def go(studio: Studio) -> Callable[..., Iterator[list[Any]]]:
    """What Run calls, for the constitution `minimal`."""
    with gr.Blocks() as blocks:
        trial.trial(studio, gr.HTML())
    [run] = [event.fn for event in blocks.fns.values() if event.name == "go"]

    def start(text: str = "Hello") -> Iterator[list[Any]]:
        return run(TAB, look_at("minimal"), text, "", *VALUES)  # type: ignore[no-any-return, misc]

    return start


class Endless:
    """An engine that says one word and then waits until it is cancelled."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.info = engine, engine.info
        self.ended = threading.Event()

    def generate(self, requests: Any, on_text: Any, cancelled: Any) -> Any:
        def wait() -> bool:
            while not cancelled():
                pass
            self.ended.set()
            return True

        first = iter([False])
        return self.engine.generate(requests, on_text, lambda: next(first, None) is None and wait())


@pytest.fixture
def endless(studio: Studio, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> Endless:
    engine = Endless(scripted("one two three"))
    monkeypatch.setattr(studio.live, "load", lambda *_: engine)
    return engine


def until_it_writes(pictures: Iterator[list[Any]]) -> None:
    next(picture for picture in pictures if "one" in str(picture[1]))


def test_a_tab_closed_meanwhile_ends_the_trial(go: Any, endless: Endless) -> None:
    pictures = go()
    until_it_writes(pictures)
    pictures.close()
    assert endless.ended.wait(5)


def test_a_closing_studio_ends_its_trials_and_begins_no_more(
    studio: Studio, go: Any, endless: Endless
) -> None:
    until_it_writes(go_on := go())
    studio.live.close()
    assert endless.ended.is_set()
    last = list(go_on)[-1]
    assert "closing" in last[0]
    assert (last[RUN]["interactive"], last[STOP]["interactive"]) == (True, False)


def test_a_bug_leaves_run_ready(go: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError("bug")

    monkeypatch.setattr(trial, "both_sides", fail)
    pictures = go()
    last = next(pictures)
    assert "terminal" in last[0]
    assert last[RUN]["interactive"]
    with pytest.raises(KeyError):
        next(pictures)


def test_a_mistake_is_told_and_leaves_run_ready(go: Any) -> None:
    last = list(go("  "))[-1]
    assert "type a prompt first" in last[0]
    assert last[RUN]["interactive"]


def test_a_finished_writing_is_let_go(studio: Studio, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio.live, "load", lambda *_: scripted())
    minimal = constitutions.latest(studio.store, "minimal")
    assert minimal
    prompt = from_text("Hello")
    writing = studio.live.write_aside(
        trial.Draft(prompt.id, prompt.messages), minimal, Drawing(model="scripted", revisions=1)
    )
    writing.join(5)
    assert writing.moment().status == "finished"
    assert not studio.live._aside
    studio.live.close()
    with pytest.raises(UserError, match="closing"):
        studio.live.write_aside(
            trial.Draft(prompt.id, prompt.messages), minimal, Drawing(model="scripted", revisions=1)
        )


def test_a_side_shows_the_round_without_the_answer(
    studio: Studio, go: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = scripted("Sure.", "A crime.", "Better not.")
    monkeypatch.setattr(studio.live, "load", lambda *_: engine)
    pictures = list(go())
    saved = [str(picture[2]) for picture in pictures if "A crime." in str(picture[2])][-1]
    assert "Better not." in saved
    assert "cai-response" not in saved
