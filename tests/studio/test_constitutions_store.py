"""Versions are for good; drafts can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import integers

from pipeline.errors import UserError
from pipeline.records import Constitution, Principle, as_json, parse
from studio.store import constitutions
from studio.store.constitutions import (
    NothingChanged,
    StaleDraft,
    discard_draft,
    draft,
    latest,
    redo_draft,
    save_draft,
    save_version,
    seed_shipped,
    standing,
    undo_draft,
    versions,
)
from studio.store.database import Store

KIND = Constitution(name="Kind", principles=(Principle(id="p1", title="Be kind"),))
KINDER = replace(KIND, principles=(*KIND.principles, Principle(id="p2", title="Be kinder")))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "alpha")
    yield store
    store.close()


def body(title: str) -> dict[str, Any]:
    return {"name": "Kind", "principles": [{"title": title}]}


def seq(store: Store, name: str = "Kind") -> int | None:
    """What `expected` takes: the draft that is there now."""
    found = draft(store, name)
    return found.seq if found else None


def edit(store: Store, title: str, expected: int | None) -> int:
    return save_draft(store, "Kind", body(title), f"wrote {title}", "ann", expected).seq


def test_each_save_is_a_version(store: Store) -> None:
    first = save_version(store, KIND, "first try", "ann")
    second = save_version(store, KINDER, "", "bob")
    assert versions(store, "Kind") == [second, first]
    assert (first.version, first.parent, first.principles) == (KIND.version, None, 1)
    assert (second.version, second.parent, second.principles) == (KINDER.version, KIND.version, 2)
    assert (second.author, second.saved.utcoffset() is not None) == ("bob", True)
    assert latest(store, "Kind") == KINDER
    assert constitutions.load_version(store, KIND.version) == KIND
    assert constitutions.names(store) == ["Kind"]


def test_saving_the_same_again_is_refused(store: Store) -> None:
    save_version(store, KIND, "", "ann")
    with pytest.raises(NothingChanged, match="Nothing changed"):
        save_version(store, KIND, "again", "ann")
    assert len(versions(store, "Kind")) == 1


def test_an_older_version_can_be_restored(store: Store) -> None:
    for constitution in (KIND, KINDER, KIND):
        save_version(store, constitution, "", "ann")
    assert [row.version for row in versions(store, "Kind")] == [KIND.version, KINDER.version, KIND.version]
    assert latest(store, "Kind") == KIND


def test_what_is_not_there_is_said_so(store: Store) -> None:
    assert latest(store, "Kind") is None
    assert versions(store, "Kind") == []
    with pytest.raises(UserError, match="no constitution of version 0123"):
        constitutions.load_version(store, "0123")


def test_the_version_is_the_hash_of_what_is_read_back(store: Store) -> None:
    odd = replace(KIND, description="nul \0, half an emoji \ud83d, “quotes”\n'; --")
    saved = save_version(store, odd, "half \ud83d", "ann")
    back = latest(store, "Kind")
    assert back
    assert back.version == saved.version
    assert back.description == "nul \0, half an emoji \ufffd, “quotes”\n'; --"
    with pytest.raises(NothingChanged):
        save_version(store, odd, "", "ann")


def test_shipped_constitutions_arrive_once_and_follow_the_project(store: Store) -> None:
    for shipped in (KIND, KIND, KINDER, KINDER):
        seed_shipped(store, [shipped])
    assert [row.author for row in versions(store, "Kind")] == ["project", "project"]
    assert latest(store, "Kind") == KINDER


def test_shipped_constitutions_never_cover_the_users_own(store: Store) -> None:
    seed_shipped(store, [KIND])
    own = replace(KIND, description="mine")
    save_version(store, own, "", "ann")
    seed_shipped(store, [KINDER])
    assert latest(store, "Kind") == own


def test_a_new_shipped_wording_leaves_the_draft(store: Store) -> None:
    seed_shipped(store, [KIND])
    edit(store, "mine", None)
    seed_shipped(store, [KINDER])
    assert draft(store, "Kind")


def test_a_draft_survives_a_restart_and_ends_with_the_save(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    save_version(store, KIND, "", "ann")
    edit(store, "rough", None)
    store.close()
    store = Store.open(tmp_path)
    found = draft(store, "Kind")
    assert found
    assert (found.body, found.author, found.can_undo) == (body("rough"), "ann", True)
    assert constitutions.drafts(store) == ["Kind"]
    save_version(store, KINDER, "", "ann", expected=found.seq)
    assert draft(store, "Kind") is None
    assert undo_draft(store, "Kind", "ann", expected=None) is None
    assert constitutions.drafts(store) == []
    store.close()


def test_an_edit_in_another_tab_is_not_overwritten(store: Store) -> None:
    save_version(store, KIND, "", "ann")
    first = edit(store, "one", None)
    edit(store, "two", first)
    for stale in (None, first):
        with pytest.raises(StaleDraft, match="another tab"):
            edit(store, "three", stale)
    discard_draft(store, "Kind", "ann", expected=seq(store))
    with pytest.raises(StaleDraft):
        edit(store, "three", first)
    edit(store, "three", None)


def test_nothing_drops_a_draft_that_it_did_not_look_at(store: Store) -> None:
    save_version(store, KIND, "", "ann")
    mine = edit(store, "mine", None)
    theirs = edit(store, "theirs", mine)
    for stale in (None, mine):
        with pytest.raises(StaleDraft):
            save_version(store, KINDER, "", "ann", expected=stale)
        for step in (undo_draft, redo_draft, discard_draft):
            with pytest.raises(StaleDraft):
                step(store, "Kind", "ann", expected=stale)
    assert seq(store) == theirs
    assert latest(store, "Kind") == KIND


def test_a_version_that_was_saved_meanwhile_is_not_covered(store: Store) -> None:
    first = save_version(store, KIND, "", "ann", over=None)
    second = save_version(store, KINDER, "", "bob", over=first.version)
    other = replace(KIND, description="other")
    for unseen in (None, first.version):
        with pytest.raises(StaleDraft):
            save_version(store, other, "", "ann", over=unseen)
        with pytest.raises(StaleDraft):
            save_draft(store, "Kind", body("of the first"), "", "ann", None, unseen)
    save_draft(store, "Kind", body("of the second"), "", "ann", None, second.version)


def test_what_stands_is_read_at_once_and_waits_for_no_writer(store: Store) -> None:
    nothing = standing(store, "Kind")
    assert (nothing.draft, nothing.saved, nothing.latest, nothing.can_redo) == (None, None, None, False)
    save_version(store, KIND, "", "ann")
    saved = save_version(store, KINDER, "", "ann")
    first = edit(store, "one", None)
    with store.tx() as tx:
        tx.query("INSERT INTO drafts (name, action, body, author) VALUES ('Kind', '', '{}', 'bob')")
        with ThreadPoolExecutor() as other:
            now = other.submit(standing, store, "Kind").result(5)
    assert now.draft
    assert (now.draft.seq, now.saved, now.latest) == (first, saved, KINDER)


def test_the_same_state_again_adds_no_step_to_undo(store: Store) -> None:
    save_version(store, KIND, "", "ann")
    first = edit(store, "one", None)
    assert edit(store, "one", first) == first
    assert undo_draft(store, "Kind", "ann", expected=first) is None


def test_the_first_draft_of_an_unsaved_name_has_nothing_under_it(store: Store) -> None:
    first = edit(store, "one", None)
    found = undo_draft(store, "Kind", "ann", expected=first)
    assert found
    assert (found.body, found.can_undo) == (body("one"), False)
    assert constitutions.names(store) == []


def test_drafts_of_two_names_are_apart(store: Store) -> None:
    for name in ("A", "B"):
        save_draft(store, name, {"name": name}, "", "ann", None)
    discard_draft(store, "A", "ann", expected=seq(store, "A"))
    assert constitutions.drafts(store) == ["B"]


def test_a_valid_draft_reads_back_as_the_constitution(store: Store) -> None:
    saved = save_draft(store, "Kind", as_json(KINDER), "typed", "ann", None)
    assert parse(Constitution, saved.body) == KINDER


class Undo(RuleBasedStateMachine):
    """The draft against a plain list of states; 0 stands for the saved version."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.states, self.at, self.written = [0], 0, 0

    @initialize()
    def begin(self) -> None:
        discard_draft(self.store, "Kind", "ann", expected=seq(self.store))

    @rule(same=integers(0, 3))
    def edit(self, same: int) -> None:
        now = draft(self.store, "Kind")
        if same or not now:  # else: the same text again, which changes nothing
            self.written += 1
            self.states = [*self.states[: self.at + 1], self.written]
            self.at += 1
        edit(self.store, str(self.states[self.at]), now.seq if now else None)

    @rule()
    def undo(self) -> None:
        self.at = max(0, self.at - 1)
        undo_draft(self.store, "Kind", "ann", expected=seq(self.store))

    @rule()
    def redo(self) -> None:
        self.at = min(len(self.states) - 1, self.at + 1)
        redo_draft(self.store, "Kind", "ann", expected=seq(self.store))

    @precondition(lambda self: self.at)
    @rule()
    def discard(self) -> None:
        self.states, self.at = [0], 0
        discard_draft(self.store, "Kind", "ann", expected=seq(self.store))

    @invariant()
    def the_draft_is_the_state(self) -> None:
        found = draft(self.store, "Kind")
        state = self.states[self.at]
        assert (found.body if found else None) == (body(str(state)) if state else None)
        assert standing(self.store, "Kind").can_redo == (self.at < len(self.states) - 1)
        if found:
            assert (found.can_undo, found.can_redo) == (True, standing(self.store, "Kind").can_redo)


def test_undo_and_redo_walk_a_list_of_states(store: Store) -> None:
    save_version(store, KIND, "", "ann")
    run_state_machine_as_test(
        type("UndoHere", (Undo,), {"store": store}),
        settings=hypothesis(max_examples=12, stateful_step_count=20, deadline=None),
    )
