"""The counts of the header, and the next useful action that follows from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.pairs import make_pair
from pipeline.records import AnnotatorKind, Choice, Constitution, Judgment, Message, Principle, Source
from studio.components.header import header_html
from studio.context import Studio
from studio.pages.overview import now_html
from studio.progress import Progress, next_action, plural, progress
from studio.store import judgments, pairs
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
    read = Progress(versions=4, edits=1, chains=2, finished=2)
    assert next_action(read).path == "reading"
    assert next_action(replace(read, judged=2)).path == "training"
    assert next_action(replace(read, judged=2, sft=1)).path == "labels"


def test_who_has_pairs_is_led_on_to_labels_and_their_audit() -> None:
    pairs = Progress(versions=3, pairs=60)
    assert next_action(pairs).label == "Label the pairs"
    assert next_action(replace(pairs, labelled=60)).path == "audit"
    assert next_action(replace(pairs, labelled=60, audited=49)).path == "audit"
    assert next_action(replace(pairs, labelled=60, audited=50)).path == "agreement"
    known = replace(pairs, pairs=3, labelled=3, audited=3)
    assert next_action(known).path == "agreement"
    assert next_action(replace(known, pm=1)).label == "Train RL-CAI"
    assert next_action(replace(known, pm=1, dpo=1)).path == "elo"
    assert next_action(replace(known, pm=1, rl=1, matchups=9)).path == "constitution"


def test_only_what_people_decided_counts_as_audited(tmp_path: Path) -> None:
    studio = Studio.open(tmp_path, "test")
    said, asked = Source("x"), (Message("user", "?"),)
    some = [make_pair("p", asked, f"{n}", "no", said, said, "red_team") for n in range(5)]
    with studio.store.tx() as tx:
        pairs.add(tx, some, None)
    kinds: list[AnnotatorKind] = ["person", "imported", "person", "person", "model"]
    choices: list[Choice] = ["a", "b", "skip", "tie", "a"]
    for pair, kind, choice in zip(some, kinds, choices, strict=True):
        judgments.judge(studio.store, Judgment(pair.id, "harmless", "x", kind, choice))
    now = progress(studio.store)
    assert (now.pairs, now.labelled, now.audited) == (5, 0, 2)
    judgments.undo(studio.store, "x", "harmless")
    assert progress(studio.store).audited == 1
    studio.close()


def test_numbers_agree_with_their_nouns() -> None:
    assert [plural(count, "chain") for count in (0, 1, 1204)] == ["0 chains", "1 chain", "1,204 chains"]


def test_the_header_shows_names_as_text() -> None:
    html = header_html("<b>", "chains", "Chains", Progress(), user="<script>")
    assert "<script>" not in html
    assert "<b>&lt;b&gt;</b>" in html
    assert html.count("aria-current") == 1


def test_links_hold_under_any_root_path() -> None:
    assert 'href="/' not in header_html("test", "", "Overview", Progress()) + now_html(Progress())


def test_in_the_example_nothing_is_next() -> None:
    assert "cai-next" in header_html("test", "", "Overview", Progress())
    assert "cai-next" not in header_html("example", "", "Overview", Progress(), example=True)
    assert "cai-at" in now_html(Progress())
    assert "cai-at" not in now_html(Progress(), read_only=True)


def test_the_overview_teaches_until_there_is_a_chain() -> None:
    assert "Start here" in now_html(Progress(versions=3))
    assert "Start here" not in now_html(Progress(versions=3, chains=1))


def test_in_the_example_there_is_nothing_to_do_but_to_look() -> None:
    html = now_html(Progress(versions=3), read_only=True)
    assert "Look around" in html
    assert "Start here" not in html
