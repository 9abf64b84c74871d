"""What holds for the pages of the whole app."""

from __future__ import annotations

from collections import Counter

from studio.app import _blocks
from studio.context import Studio


def test_no_two_functions_of_an_event_wait_for_their_last_call(studio: Studio) -> None:
    # Gradio's browser part calls all functions of an event anew where one of them was called while it ran.
    # Two that wait so call each other for ever: the constitution's page once asked ten times a second.
    waiting = Counter(
        target
        for event in _blocks(studio, logout=False).fns.values()
        if event.fn and event.trigger_mode == "always_last"
        for target in event.targets
        if target[0] is not None  # else it comes after another one
    )
    assert waiting
    assert max(waiting.values()) == 1
