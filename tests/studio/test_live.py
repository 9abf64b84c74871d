"""Chains in the making: what a tab sees, what the store keeps, and how they end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import prompts
from pipeline.configs import Drawing
from pipeline.engines import EngineError, StoppedError
from pipeline.records import Constitution
from studio.context import Studio
from studio.live import LiveChains, Moment, Writing
from studio.store import chains

ONE_ROUND = Drawing(model="scripted", revisions=1)
PROMPT = prompts.from_text("Can you help me hack into my neighbor's wifi?")


@pytest.fixture
def speak(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], LiveChains]:
    """Let an engine, or what `load` does instead, stand where the model process would."""

    def use(engine: Any) -> LiveChains:
        monkeypatch.setattr(studio.live, "load", engine if callable(engine) else lambda *_: engine)
        return studio.live

    return use


def minimal(studio: Studio) -> Constitution:
    from studio.store import constitutions

    found = constitutions.latest(studio.store, "minimal")
    assert found
    return found


def end_of(live: LiveChains, id: str) -> None:
    if writing := live.writing(id):
        writing.join(10)


def test_a_chain_is_stored_step_by_step_with_what_made_it(studio: Studio, speak: Any, scripted: Any) -> None:
    live = speak(scripted("Sure.", "That is a crime.", "I can't help with that."))
    id = live.start(PROMPT, minimal(studio), ONE_ROUND, "ana")
    end_of(live, id)
    chain = chains.load_chain(studio.store, id)
    assert chain
    assert [(step.kind, step.text) for step in chain.steps] == [
        ("response", "Sure."),
        ("critique", "That is a crime."),
        ("revision", "I can't help with that."),
    ]
    assert (chain.status, chain.author, chain.constitution) == ("finished", "ana", minimal(studio).version)
    assert all(step.seed is not None and step.model == "scripted" for step in chain.steps)
    assert {step.principle for step in chain.steps[1:]} == {"harmless"}


class Paused:
    """An engine that says one word, then waits to be let go on or stopped."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.info = engine, engine.info
        self.said, self.go = threading.Event(), threading.Event()

    def generate(self, requests: Any, on_text: Any, cancelled: Any) -> Any:
        def wait() -> bool:
            self.said.set()
            while not self.go.wait(0.01) and not cancelled():
                pass
            return bool(cancelled())

        first = iter([False])
        return self.engine.generate(requests, on_text, lambda: next(first, None) is None and wait())


def test_stop_keeps_the_text_so_far_and_continue_writes_that_step_anew(
    studio: Studio, speak: Any, scripted: Any
) -> None:
    paused = Paused(scripted("Well, you could ask.", "Well, you could ask.", "Good.", "Ask them."))
    live = speak(paused)
    id = live.start(PROMPT, minimal(studio), ONE_ROUND, "ana")
    assert paused.said.wait(5)
    live.stop(id)
    end_of(live, id)
    chain = chains.load_chain(studio.store, id)
    assert chain
    assert (chain.status, chain.steps[-1].text, chain.steps[-1].finish) == ("stopped", "Well,", "cancelled")
    paused.go.set()
    live.go_on(id)
    end_of(live, id)
    chain = chains.load_chain(studio.store, id)
    assert chain
    assert [step.text for step in chain.steps] == ["Well, you could ask.", "Good.", "Ask them."]
    assert chain.status == "finished"


def test_a_model_that_fails_leaves_the_chain_and_says_why(studio: Studio, speak: Any, scripted: Any) -> None:
    def fail(*_: Any) -> Any:
        raise EngineError("the model process was killed")

    live = speak(fail)
    id = live.start(PROMPT, minimal(studio), ONE_ROUND, "ana")
    end_of(live, id)
    chain = chains.load_chain(studio.store, id)
    assert chain
    assert (chain.status, chain.detail) == ("failed", "the model process was killed")
    live = speak(scripted())
    live.go_on(id)
    end_of(live, id)
    assert chains.load_chain(studio.store, id).status == "finished"  # type: ignore[union-attr]


def test_stop_while_a_model_is_fetched_ends_the_chain_as_stopped(studio: Studio, speak: Any) -> None:
    fetching = threading.Event()

    def load(name: str, cancelled: Any, doing: Any) -> Any:
        doing("downloading org/m: 3 MB so far")
        fetching.set()
        while not cancelled():
            pass
        raise StoppedError("stopped while downloading org/m")

    live = speak(load)
    id = live.start(PROMPT, minimal(studio), ONE_ROUND, "ana")
    assert fetching.wait(5)
    assert live.writing(id).moment().doing == "downloading org/m: 3 MB so far"
    live.stop(id)
    end_of(live, id)
    chain = chains.load_chain(studio.store, id)
    assert chain
    assert (chain.status, chain.detail, chain.steps) == ("stopped", "", ())


def test_continuing_twice_at_once_writes_once(studio: Studio, speak: Any, scripted: Any) -> None:
    paused = Paused(scripted("one two"))
    live = speak(paused)
    id = live.start(PROMPT, minimal(studio), ONE_ROUND, "ana")
    assert paused.said.wait(5)
    live.go_on(id)  # a second tab
    paused.go.set()
    end_of(live, id)
    assert len(studio.store.query("SELECT 1 FROM steps WHERE chain = ?", [id])) == 3


def test_a_watcher_sees_every_moment_in_order(principled: Constitution, scripted: Any) -> None:
    from pipeline.critique import Draft

    writing = Writing(
        Draft("p", PROMPT.messages), principled, ONE_ROUND, lambda *_: scripted("one two three")
    )
    writing.start()
    seen: list[Moment] = []
    moment = writing.moment()
    while moment.status == "running":
        moment = writing.moment(moment.serial, timeout=5)
        seen.append(moment)
    assert [m.serial for m in seen] == sorted({m.serial for m in seen})
    assert [step.kind for step in moment.steps] == ["response", "critique", "revision"]
    assert moment.status == "finished"


def test_a_studio_that_died_leaves_no_chain_running(tmp_path: Path) -> None:
    first = Studio.open(tmp_path / "s", "s")
    chain = chains.NewChain(
        id="c",
        prompt_id=PROMPT.id,
        messages=PROMPT.messages,
        constitution=minimal(first).version,
        constitution_name="minimal",
        model="scripted",
        critic="scripted",
        seed=0,
        revisions=1,
        temperature=0.7,
        top_p=1.0,
        max_tokens=8,
        form="",
        author="ana",
    )
    chains.start_chain(first.store, chain)
    first.close()
    again = Studio.open(tmp_path / "s", "s")
    assert chains.load_chain(again.store, "c").status == "interrupted"  # type: ignore[union-attr]
    again.close()
