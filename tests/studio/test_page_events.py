"""What the events of a page change, and what they leave as somebody has it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pipeline.records import Message, Step
from studio import app
from studio.components import arena_battles
from studio.context import Studio
from studio.pages import agreement, audit, chains, reading
from studio.store import chains as chain_store
from studio.store.chains import NewChain

pytestmark = pytest.mark.usefixtures("idle")

Of = Callable[[ModuleType, str], Any]


@pytest.fixture
def event(studio: Studio) -> Of:
    """A page's event by the name of its function: `fn` is called as Gradio does, for its `outputs`."""
    every = app.build(studio).state.gradio.state_holder.blocks.fns.values()

    def of(module: ModuleType, name: str) -> Any:
        return next(one for one in every if one.name == name and one.fn.__module__ == module.__name__)

    return of


def skipped(update: Any) -> bool:
    return bool(update == {"__type__": "update"})


def test_another_choice_on_the_agreement_page_closes_the_drawer(event: Of) -> None:
    choose = event(agreement, "choose")
    told = dict(
        zip((one.elem_id for one in choose.outputs), choose.fn("helpful", "", "person", ""), strict=True)
    )
    assert told["behind"] == ""


def test_an_annotator_who_stays_the_same_keeps_the_last_pair(event: Of) -> None:
    change = event(audit, "change")
    asked = SimpleNamespace(username=None, query_params={"as": "ana"})
    assert all(map(skipped, change.fn(asked, "pairs", "harmless", "ana", "random", "", "beside")))
    assert not all(map(skipped, change.fn(asked, "pairs", "harmless", "ben", "random", "", "beside")))


@pytest.mark.parametrize("typed", ["", "What was drawn?", "What I am writing"])
def test_the_next_prompt_overwrites_no_text_that_was_not_asked(
    event: Of, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arena_battles, "_start", lambda *given: ("b1", "Another?"))
    press = event(arena_battles, "press")
    asked = SimpleNamespace(_data={"action": "next", "item": ""})
    id, prompt, *_ = press.fn(asked, SimpleNamespace(username="ana"), typed, "What was drawn?")
    assert id == "b1"
    assert skipped(prompt) if typed == "What I am writing" else prompt == "Another?"


@pytest.fixture
def chain(studio: Studio) -> None:
    """A chain that was made since the pages were opened."""
    new = NewChain(
        id="c1",
        prompt_id="p",
        messages=(Message("user", "Why?"),),
        constitution="v1",
        constitution_name="minimal",
        model="tiny",
        critic="tiny",
        seed=7,
        revisions=1,
        temperature=0.7,
        top_p=1.0,
        max_tokens=20,
        form="",
        author="ana",
    )
    chain_store.start_chain(studio.store, new, [Step("response", "So.")])
    chain_store.add_event(studio.store, "c1", "finished")


CHOSEN = ("", "", "other", "", "", "")
"""The filters of a tab: one model, which this session has no more."""


@pytest.mark.usefixtures("chain")
def test_the_filters_offer_what_came_since_and_keep_what_was_chosen(event: Of) -> None:
    for page, name, given in (
        (chains, "render", ("before", 30, "", {}, *CHOSEN)),
        (reading, "narrow", (SimpleNamespace(query_params={}, username="a"), {}, *CHOSEN)),
        (
            reading,
            "act",
            (SimpleNamespace(_data={"action": "next"}), SimpleNamespace(username="a"), {}, *CHOSEN),
        ),
    ):
        found = event(page, name)
        told = dict(zip((getattr(one, "label", "") for one in found.outputs), found.fn(*given), strict=True))
        assert told["Model"]["choices"] == [("any", ""), ("tiny", "tiny"), ("other", "other")], page
        assert "value" not in told["Model"]


@pytest.mark.usefixtures("chain")
def test_filters_that_offer_the_same_are_left_alone(event: Of) -> None:
    render = event(chains, "render")
    [*_, known, _, _, _, _] = render.fn("before", 30, "", {}, *CHOSEN)
    again = render.fn("another list", 30, "", known, *CHOSEN)
    assert all(map(skipped, again[3:]))
