"""The counts of the header, and the next useful action that follows from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.records import Constitution, Principle
from studio.components.header import header_html
from studio.context import Studio
from studio.pages.overview import now_html
from studio.progress import Progress, next_action, plural, progress
from studio.store.constitutions import save_version
from studio.store.database import Store


def test_a_new_session_counts_what_is_shipped_as_nobodys_edit(tmp_path: Path) -> None:
    studio = Studio.open(tmp_path, "test")
    now = progress(studio.store)
    assert now.versions > 0
    assert (now.edits, now.chains) == (0, 0)
    studio.close()


def test_each_saving_is_an_edit_also_one_that_restores(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    kind = Constitution(name="Kind", principles=(Principle(id="p", title="Be kind"),))
    for constitution in (kind, replace(kind, description="more"), kind):
        save_version(store, constitution, "", "ann")
    assert (progress(store).versions, progress(store).edits) == (3, 3)
    store.close()


def test_the_next_action_follows_the_loop() -> None:
    assert next_action(Progress(versions=3)).path == "chains"
    assert next_action(Progress(versions=3, chains=2)).path == "constitution"
    assert next_action(Progress(versions=4, edits=1, chains=2)).path == "chains"


def test_numbers_agree_with_their_nouns() -> None:
    assert [plural(count, "chain") for count in (0, 1, 1204)] == ["0 chains", "1 chain", "1,204 chains"]


def test_the_header_shows_names_as_text() -> None:
    html = header_html("<b>", "chains", "Chains", Progress(), user="<script>")
    assert "<script>" not in html
    assert "<b>&lt;b&gt;</b>" in html
    assert html.count("aria-current") == 1


def test_links_hold_under_any_root_path() -> None:
    assert 'href="/' not in header_html("test", "", "Overview", Progress()) + now_html(Progress())


def test_the_overview_teaches_until_there_is_a_chain() -> None:
    assert "Start here" in now_html(Progress(versions=3))
    assert "Start here" not in now_html(Progress(versions=3, chains=1))
