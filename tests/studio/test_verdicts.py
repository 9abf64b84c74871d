"""Verdicts: kept, taken back, and the queue of what is left to read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.errors import UserError
from pipeline.records import Message, Step
from studio.store import verdicts
from studio.store.chains import ChainFilter, NewChain, add_event, list_chains, start_chain
from studio.store.database import Store
from studio.store.reading import Queue, accepted, queue
from studio.store.verdicts import Verdict, judge, load, undo


def chain(id: str, **changes: object) -> NewChain:
    values: dict[str, object] = {
        "id": id,
        "prompt_id": f"prompt-{id}",
        "messages": (Message("user", f"Question {id}"),),
        "constitution": "v1",
        "constitution_name": "Kind",
        "model": "tiny",
        "critic": "tiny",
        "seed": 7,
        "revisions": 1,
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 20,
        "form": "",
        "author": "ana",
    }
    return NewChain(**(values | changes))  # type: ignore[arg-type]


def finish(store: Store, id: str, **changes: object) -> None:
    start_chain(store, chain(id, **changes), [Step("response", f"Answer {id}")])
    add_event(store, id, "finished")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "s")
    for id in ("c1", "c2", "c3"):
        finish(store, id)
    yield store
    store.close()


def test_a_verdict_and_its_note_are_kept_with_who_judged(store: Store) -> None:
    judge(store, "c1", "ana", "accepted")
    judge(store, "c1", "ben", note="<b>good</b> \ud83d")
    assert load(store, "c1") == Verdict("accepted", "<b>good</b> \ufffd", "ben")
    assert load(store, "c2") == Verdict()


def test_judging_alike_twice_writes_once(store: Store) -> None:
    judge(store, "c1", "ana", "accepted")
    judge(store, "c1", "ana", "accepted")
    assert store.query("SELECT count(*) FROM verdicts") == [(1,)]


def test_only_a_finished_chain_is_judged(store: Store) -> None:
    start_chain(store, chain("c4"))
    with pytest.raises(UserError, match="finished"):
        judge(store, "c4", "ana", "accepted")
    with pytest.raises(UserError, match="no such chain"):
        judge(store, "c5", "ana", "accepted")


def test_undo_gives_back_what_another_had_judged_before(store: Store) -> None:
    judge(store, "c1", "ben", "rejected", "rude")
    judge(store, "c1", "ana", "accepted")
    assert undo(store, "ana") == "c1"
    assert load(store, "c1") == Verdict("rejected", "rude", "ben")
    assert undo(store, "ana") is None


def test_undo_never_takes_back_what_another_judged_since(store: Store) -> None:
    judge(store, "c1", "ana", "accepted")
    judge(store, "c1", "ben", "rejected")
    with pytest.raises(UserError, match="ben has judged"):
        undo(store, "ana")
    assert undo(store, "ben") == undo(store, "ana") == "c1"
    assert load(store, "c1").verdict == "none"


def test_two_undos_of_the_same_verdict_take_back_one(store: Store) -> None:
    judge(store, "c1", "ana", "accepted")
    assert verdicts.newest(store, "ben") == ""
    early = verdicts.newest(store, "ana")
    judge(store, "c2", "ana", "accepted")
    last = verdicts.newest(store, "ana")
    with pytest.raises(UserError, match="judged since this was shown"):
        undo(store, "ana", early)
    # Pressed before the answer to c2 had come: it names the chain that they have just judged.
    assert undo(store, "ana", early, "c2") == "c2"
    judge(store, "c2", "ana", "accepted")
    last = verdicts.newest(store, "ana")
    assert undo(store, "ana", last) == undo(store, "ana", last) == "c2"
    assert [load(store, id).verdict for id in ("c1", "c2")] == ["accepted", "none"]
    assert undo(store, "ana", early) == "c1"
    assert undo(store, "ana", "") is None


def test_nothing_is_ever_changed_or_deleted(store: Store) -> None:
    judge(store, "c1", "ana", "accepted")
    rows = store.query("SELECT * EXCLUDE time FROM verdicts")
    undo(store, "ana")
    judge(store, "c1", "ana", "rejected")
    assert store.query("SELECT * EXCLUDE time FROM verdicts ORDER BY seq LIMIT 1") == rows


class Undoing(RuleBasedStateMachine):
    """Against a list of past states: undo is `pop`."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store.open(Path(self.folder.name) / "s")
        for id in "ab":
            finish(self.store, id)
        self.past = [{"a": ("none", ""), "b": ("none", "")}]
        self.of: list[str] = []

    @rule(
        id=st.sampled_from("ab"),
        verdict=st.sampled_from(["accepted", "rejected", "none", None]),
        note=st.sampled_from(["", "n", None]),
    )
    def judge(self, id: str, verdict: verdicts.Judgement | None, note: str | None) -> None:
        judge(self.store, id, "ana", verdict, note)
        old = self.past[-1][id]
        new = (old[0] if verdict is None else verdict, old[1] if note is None else note)
        if new != old:
            self.past.append({**self.past[-1], id: new})
            self.of.append(id)

    @rule()
    def undo(self) -> None:
        undone = undo(self.store, "ana")
        assert undone == (self.of.pop() if self.of else None)
        if undone:
            self.past.pop()

    @invariant()
    def agrees(self) -> None:
        for id, state in self.past[-1].items():
            now = load(self.store, id)
            assert (now.verdict, now.note) == state

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestUndoing = Undoing.TestCase
TestUndoing.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)


def test_the_queue_is_the_finished_chains_oldest_first(store: Store) -> None:
    start_chain(store, chain("running"))
    judge(store, "c2", "ana", "accepted")
    todo = queue(store, ChainFilter(verdict="none"))
    assert [entry.id for entry in todo.shown] == ["c1", "c3"]
    assert (len(todo.entries), todo.judged, todo.count("accepted")) == (3, 1, 1)


def test_the_queue_goes_on_from_a_chain_that_has_left_it(store: Store) -> None:
    judge(store, "c2", "ana", "accepted")
    todo = queue(store, ChainFilter(verdict="none"))
    assert (todo.after("c2"), todo.before("c2"), todo.position("c2")) == ("c3", "c1", None)
    assert (todo.after("c3"), todo.after("c3", wrap=True)) == (None, "c1")
    assert todo.before("c1") is None
    assert todo.after("unknown") == "c1"
    assert Queue(()).after("c1", wrap=True) is None


def test_the_queue_is_filtered_as_the_list_is(store: Store) -> None:
    finish(store, "c4", model="big")
    judge(store, "c4", "ana", "rejected")
    wanted = ChainFilter(model="big", verdict="rejected")
    assert [entry.id for entry in queue(store, wanted).shown] == ["c4"]
    assert [(row.id, row.verdict) for row in list_chains(store, wanted, 9, 0)] == [("c4", "rejected")]


def test_the_accepted_come_whole(store: Store) -> None:
    judge(store, "c3", "ana", "accepted", "fine")
    judge(store, "c1", "ana", "accepted")
    judge(store, "c2", "ana", "rejected")
    found = accepted(store, ChainFilter())
    assert [(c.id, v.note, c.steps[0].text) for c, v in found] == [
        ("c1", "", "Answer c1"),
        ("c3", "fine", "Answer c3"),
    ]
    assert accepted(store, ChainFilter(text="question c9")) == []


def test_one_that_is_accepted_while_they_are_read_has_its_steps_or_is_not_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(store, "c1", "ana", "accepted")
    query, done = store.query, list[str]()

    def then_another(sql: str, params: Any = ()) -> Any:
        rows = query(sql, params)
        if not done:
            done.append("c2")
            judge(store, "c2", "ana", "accepted")
        return rows

    monkeypatch.setattr(store, "query", then_another)
    assert [[step.text for step in c.steps] for c, _ in accepted(store, ChainFilter())] == [["Answer c1"]]
    assert [len(c.steps) for c, _ in accepted(store, ChainFilter())] == [1, 1]
