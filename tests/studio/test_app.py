"""What holds for the pages of the whole app."""

from __future__ import annotations

import asyncio
from collections import Counter

import gradio as gr
import pytest
from gradio import Blocks
from gradio.routes import App
from starlette.testclient import TestClient

from pipeline.errors import UserError
from studio.app import PAGES, Pages, _blocks, build
from studio.context import Studio


def test_no_two_functions_of_an_event_wait_for_their_last_call(studio: Studio) -> None:
    # See `listening.on_change`: the constitution's page once asked ten times a second.
    waiting = Counter(
        target
        for event in _blocks(studio, logout=False).fns.values()
        if event.fn and event.trigger_mode == "always_last"
        for target in event.targets
        if target[0] is not None  # else it comes after another one
    )
    assert waiting
    assert max(waiting.values()) == 1


def test_the_app_is_made_once_and_has_all_pages(studio: Studio) -> None:
    before = App.create_app, Blocks.get_config_file
    app = build(studio)
    assert (App.create_app, Blocks.get_config_file) == before
    blocks = app.state.gradio.get_blocks()
    assert blocks.app is app.state.gradio
    assert list(blocks.config["page"]) == [page.path for page in PAGES]


def test_a_hundred_tabs_may_watch_and_all_others_are_answered(studio: Studio) -> None:
    app = build(studio)
    with TestClient(app):
        blocks = app.state.gradio.get_blocks()
        watching = len(blocks._queue.active_jobs)
        assert watching >= 100
        # As many as Gradio has for everything: each of those that watch holds one while it waits.
        assert blocks.limiter.total_tokens - watching >= 40


def test_what_a_person_can_mend_is_told_where_no_part_of_a_page_tells_it() -> None:
    def stop() -> None:
        raise UserError("free some room on the disk of <img src=x> \u202e, and do it again")

    with Pages() as pages:
        gr.Button().click(stop)
    with pytest.raises(gr.Error) as told:
        asyncio.run(pages.process_api(0, []))
    # Gradio shows it as HTML.
    words = "free some room on the disk of &lt;img src=x&gt; \u202e, and do it again"
    assert told.value.message == f"\u2068{words}\u202c\u2069"
