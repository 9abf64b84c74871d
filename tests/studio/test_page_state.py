"""What is held of each page that is open: its own values, and no description of all the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from studio.app import build
from studio.context import Studio

pytestmark = pytest.mark.usefixtures("idle")


@pytest.fixture
def states(studio: Studio) -> Any:
    return build(studio).state.gradio.state_holder


def test_a_page_that_is_opened_describes_nothing_before_it_shows_it(states: Any) -> None:
    assert not states["a"].config_values


def test_requests_that_come_at_once_are_of_one_page(states: Any) -> None:
    with ThreadPoolExecutor(8) as many:
        found = list(many.map(lambda _: states["a"], range(8)))
    assert len(set(map(id, found))) == 1


def test_each_page_keeps_its_own_values(states: Any) -> None:
    [key, *_] = [id for id, block in states.blocks.blocks.items() if block.stateful]
    states["a"][key] = "of a"
    assert states["a"][key] == "of a" != states["b"][key]


def test_a_closed_page_is_forgotten_after_an_hour_and_begins_anew_where_it_comes_back(states: Any) -> None:
    for page in ("closed long ago", "closed just now", "open"):
        states[page].is_closed = page != "open"
    for page in ("closed long ago", "open"):
        states.time_last_used[page] -= timedelta(hours=1, seconds=1)
    states.delete_all_expired_state()
    assert list(states.session_data) == list(states.time_last_used) == ["closed just now", "open"]
    assert not states["closed long ago"].is_closed
