"""What the constitution page's scripts and events call, on a real store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.records import Constitution, Principle
from studio.components import draft_state
from studio.components.constitution_files import FORMS, as_file, known_names, new_constitution, take_in
from studio.components.principle_cards import look_at, looked_at, server_functions
from studio.components.trial import both_sides
from studio.components.version_history import changes_html, versions_html
from studio.context import Studio
from studio.store import constitutions

ANN = SimpleNamespace(scope={"user": "ann"})
HOSTILE = "<img src=x onerror=alert(1)></script>\ud83d \"'"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio.open(tmp_path, "test")
    yield studio
    studio.close()


@pytest.fixture
def call(studio: Studio) -> Callable[..., Any]:
    """Calls a server function as the browser does: JSON text in, JSON text out."""
    functions = {function.__name__: function for function in server_functions(studio)}

    def run(function: str, **data: Any) -> Any:
        # What this tab knows as the newest version, unless the test says otherwise.
        newest = next(iter(constitutions.versions(studio.store, data["name"])), None)
        data = {"session": "test", "over": newest and newest.version, **data}
        return json.loads(functions[function](json.dumps(data), ANN))

    return run


def edited(call: Callable[..., Any], **fields: Any) -> tuple[dict[str, Any], Any]:
    """The state after one edit of the first principle of `minimal`; and the body sent."""
    state = call("fetch_draft", name="minimal")["state"]
    body = state["body"]
    body["principles"][0].update(fields)
    answer = call("keep_draft", name="minimal", body=body, action="edit", expected=state["seq"])
    return body, answer


def test_the_saved_version_is_shown_until_something_is_edited(call: Callable[..., Any]) -> None:
    state = call("fetch_draft", name="minimal")["state"]
    assert (state["exists"], state["fit"], state["seq"], state["changes"]) == (True, True, None, 0)
    assert [p["id"] for p in state["body"]["principles"]] == ["harmless"]
    assert not state["problems"]


def test_an_edit_is_kept_under_the_login_and_counted(studio: Studio, call: Callable[..., Any]) -> None:
    _, answer = edited(call, title="Kind", weight=2)
    assert (answer["state"]["changes"], answer["state"]["canUndo"], answer["stale"]) == (2, True, False)
    assert "body" not in answer["state"]  # the editor has it, and the caret stays where it is
    draft = constitutions.draft(studio.store, "minimal")
    assert draft
    assert (draft.author, draft.body["principles"][0]["title"]) == ("ann", "Kind")


def test_problems_name_their_field(call: Callable[..., Any]) -> None:
    _, answer = edited(call, title=" ", weight="heavy", revision_request=None)
    assert {tuple(one["where"]) for one in answer["state"]["problems"]} == {
        ("principles", 0, "title"),
        ("principles", 0, "weight"),
        ("principles", 0, "revision_request"),
    }


def test_a_stale_edit_gets_the_newer_state_back(call: Callable[..., Any]) -> None:
    body, _ = edited(call, title="Theirs")
    body["principles"][0]["title"] = "Mine"
    answer = call("keep_draft", name="minimal", body=body, action="edit", expected=None)
    assert answer["stale"]
    assert "another tab" in answer["told"]
    assert answer["state"]["body"]["principles"][0]["title"] == "Theirs"
    for function, data in (("walk_draft", {"step": "undo"}), ("save_version", {"note": ""})):
        assert call(function, name="minimal", expected=None, **data)["stale"]


def test_a_version_saved_in_another_tab_is_not_covered(studio: Studio, call: Callable[..., Any]) -> None:
    state = call("fetch_draft", name="minimal")["state"]
    seen, body = state["saved"]["version"], state["body"]
    _, answer = edited(call, title="Theirs")
    call("save_version", name="minimal", note="", expected=answer["state"]["seq"])
    body["principles"][0]["title"] = "Mine"
    answer = call("keep_draft", name="minimal", body=body, action="edit", expected=None, over=seen)
    assert answer["stale"]
    assert call("save_version", name="minimal", note="", expected=None, over=seen)["stale"]
    assert constitutions.draft(studio.store, "minimal") is None
    assert len(constitutions.versions(studio.store, "minimal")) == 2


def test_a_page_of_the_session_before_gets_no_answer(studio: Studio, call: Callable[..., Any]) -> None:
    body, _ = edited(call, title="Kind")
    for function, data in (
        ("fetch_draft", {}),
        ("keep_draft", {"body": {**body, "description": "another session's"}, "action": "edit"}),
        ("walk_draft", {"step": "undo"}),
        ("save_version", {"note": ""}),
    ):
        seen = constitutions.draft(studio.store, "minimal")
        assert call(function, name="minimal", session="before", expected=seen and seen.seq, **data) is None
        assert constitutions.draft(studio.store, "minimal") == seen


@pytest.mark.parametrize(
    ("function", "data"),
    [
        ("walk_draft", {"step": "undo"}),
        ("walk_draft", {"step": "discard"}),
        ("save_version", {"note": ""}),
    ],
)
def test_an_edit_between_look_and_act_is_not_dropped(
    studio: Studio, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, function: str, data: Any
) -> None:
    _, answer = edited(call, title="Mine")
    seq, read = answer["state"]["seq"], draft_state.read
    theirs = draft_state.plain(Constitution("minimal", (Principle("a", "Theirs", comparison="c"),)))

    def read_then_another_edits(store: Any, name: str) -> Any:
        found = read(store, name)
        if found.seq == seq:
            constitutions.save_draft(store, name, theirs, "edit", "bob", seq)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(draft_state, "read", read_then_another_edits)
        call(function, name="minimal", expected=seq, **data)
    # Before the act it made that stale; after it, it found itself stale. Never was it kept and then dropped.
    rows = studio.store.query("SELECT action, author FROM drafts WHERE name = 'minimal' ORDER BY seq")
    assert rows[1:] in ([("edit", "bob")], [(data.get("step", "save"), "ann")])


def test_undo_redo_and_discard(call: Callable[..., Any]) -> None:
    _, answer = edited(call, title="Kind")
    seq = answer["state"]["seq"]
    state = call("walk_draft", name="minimal", step="undo", expected=seq)["state"]
    assert (state["seq"], state["canRedo"]) == (None, True)
    state = call("walk_draft", name="minimal", step="redo", expected=None)["state"]
    assert state["body"]["principles"][0]["title"] == "Kind"
    state = call("walk_draft", name="minimal", step="discard", expected=state["seq"])["state"]
    assert (state["seq"], state["changes"]) == (None, 0)


def test_save_makes_a_version_with_its_note(studio: Studio, call: Callable[..., Any]) -> None:
    _, answer = edited(call, title="Kind")
    answer = call("save_version", name="minimal", note=" why ", expected=answer["state"]["seq"])
    assert "Saved as version" in answer["told"]
    newest = constitutions.versions(studio.store, "minimal")[0]
    assert (newest.note, newest.author) == ("why", "ann")
    assert (answer["state"]["seq"], answer["state"]["saved"]["version"]) == (None, newest.version)
    again = call("save_version", name="minimal", note="", expected=None)
    assert "Nothing changed" in again["told"]


def test_a_draft_with_a_problem_is_not_saved(studio: Studio, call: Callable[..., Any]) -> None:
    _, answer = edited(call, title="")
    answer = call("save_version", name="minimal", note="", expected=answer["state"]["seq"])
    assert "title is blank" in answer["told"]
    assert len(constitutions.versions(studio.store, "minimal")) == 1


def test_the_draft_keeps_its_name(studio: Studio, call: Callable[..., Any]) -> None:
    body = call("fetch_draft", name="minimal")["state"]["body"]
    call("keep_draft", name="minimal", body={**body, "name": "harmless"}, action="", expected=None)
    draft = constitutions.draft(studio.store, "minimal")
    assert draft
    assert draft.body["name"] == "minimal"


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"principles": "none"},
        {"principles": [3]},
        {"principles": [{"title": 5}]},
        {"principles": [{"tags": "harm"}]},
        {"principles": [{"weight": float("nan"), "title": "t", "id": "i"}]},
        {"principles": [{"keeps": [{"prompt": "p"}]}]},
        {"principles": [{"weight": True}]},
        {"principles": [], "few_shot": {"critique": "x"}},
        {"principles": [], "few_shot": [], "description": 4},
        {"principles": [{"id": "a", "title": HOSTILE, "strange": {"deep": []}}]},
    ],
)
def test_no_draft_breaks_the_page(studio: Studio, call: Callable[..., Any], body: Any) -> None:
    constitutions.save_draft(studio.store, "minimal", body, "", "ann", None)
    answer = call("fetch_draft", name="minimal")
    assert answer["state"]["exists"]
    if answer["state"]["fit"]:
        assert all(isinstance(p["title"], str) for p in answer["state"]["body"]["principles"])
    with pytest.raises(UserError, match="problem to mend first"):
        both_sides(studio, "minimal", "")
    # And there is a way out.
    answer = call("walk_draft", name="minimal", step="discard", expected=answer["state"]["seq"])
    assert answer["state"]["fit"]


def test_what_is_no_constitution_is_not_kept(studio: Studio, call: Callable[..., Any]) -> None:
    answer = call("keep_draft", name="minimal", body={"principles": 3}, action="", expected=None)
    assert answer["stale"]
    assert constitutions.draft(studio.store, "minimal") is None


def test_hostile_text_comes_back_as_it_was(call: Callable[..., Any]) -> None:
    edited(call, title=HOSTILE)
    title = call("fetch_draft", name="minimal")["state"]["body"]["principles"][0]["title"]
    assert title == HOSTILE.replace("\ud83d", "\ufffd")


def test_changes_count_fields_principles_and_order() -> None:
    def body(*principles: Principle) -> dict[str, Any]:
        return draft_state.plain(Constitution("c", principles))

    a, b, c = (Principle(id, id, comparison=id) for id in "abc")
    assert draft_state.count_changes(body(a, b), body(a, b)) == 0
    assert draft_state.count_changes(body(a, b), body(b, a)) == 1
    assert draft_state.count_changes(body(a, b), body(b, c)) == 2
    assert draft_state.count_changes(body(a), body(Principle("a", "x", weight=2, comparison="a"))) == 2
    assert draft_state.count_changes(body(a), body(a, a)) == 1


def test_the_editors_value_says_what_is_looked_at() -> None:
    assert looked_at(look_at("harmless")) == "harmless"
    assert look_at("harmless") != look_at("harmless")
    assert looked_at("") == looked_at(None) == ""


def test_a_new_constitution_is_blank_or_a_copy(studio: Studio) -> None:
    new_constitution(studio, " my  own ", None, "ann")
    new_constitution(studio, "copy", "minimal", "ann")
    assert {"my own", "copy"} <= set(known_names(studio))
    assert draft_state.content(draft_state.read(studio.store, "copy")).name == "copy"
    with pytest.raises(UserError, match="already"):
        new_constitution(studio, "my own", None, "ann")
    with pytest.raises(UserError, match="type a name"):
        new_constitution(studio, "  ", None, "ann")


def test_import_makes_a_new_one_covers_or_adds(studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "minimal.yaml"
    file.write_text(as_file(studio, "minimal", "yaml")["text"], "utf-8")
    assert take_in(studio, [file], "new", "", "ann")[0] == "minimal 2"
    assert take_in(studio, [file], "over", "harmless", "ann")[0] == "harmless"
    assert len(draft_state.content(draft_state.read(studio.store, "harmless")).principles) == 1
    pairs = tmp_path / "comparisons.json"
    pairs.write_text(json.dumps(["\nWhich is kinder? Options:"]), "utf-8")
    assert "2 principles" in take_in(studio, [pairs], "add", "minimal", "ann")[1]


def test_an_import_says_file_and_line(studio: Studio, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("name: x\nprinciples:\n  - id: a b\n    title: t\n    comparison: c\n", "utf-8")
    with pytest.raises(UserError) as caught:
        take_in(studio, [file], "new", "", "ann")
    assert str(caught.value).startswith("bad.yaml:3: principles[0].id: 'a b' is no id")
    assert known_names(studio) == ["harmless", "helpful-honest-harmless", "minimal"]


def test_export_refuses_what_would_be_lost(studio: Studio) -> None:
    assert as_file(studio, "minimal", "yaml")["name"] == "minimal.yaml"
    with pytest.raises(UserError, match="this would be lost"):
        as_file(studio, "minimal", "paper-critique")
    with pytest.raises(UserError, match="nothing to write"):
        as_file(studio, "minimal", "paper-few-shot-critique")
    assert "yaml" in FORMS


def test_a_diff_is_readable_and_escaped() -> None:
    before = Constitution("c", (Principle("a", "Be kind", comparison="Which is kind?"),))
    after = Constitution("c", (Principle("a", "Be <b>very</b> kind", comparison="Which is kind?"),))
    html = changes_html(before, after)
    assert "&lt;" in html
    assert "<b>very" not in html
    assert "<ins>" in html
    assert "1 change in 1 principle" in html
    assert "same" in changes_html(after, after)


def test_the_history_is_escaped_and_the_newest_can_not_be_restored(studio: Studio) -> None:
    latest = constitutions.latest(studio.store, "minimal")
    assert latest
    constitutions.save_version(
        studio.store, Constitution("minimal", latest.principles, "new"), "<i>note</i>", "a<n>n"
    )
    html = versions_html(constitutions.versions(studio.store, "minimal"))
    assert "&lt;i&gt;note" in html
    assert "<i>" not in html
    assert html.count("<button") == 1
    assert "No version yet" in versions_html([])


def test_a_trial_takes_the_chosen_principle_even_where_it_is_off(
    studio: Studio, call: Callable[..., Any]
) -> None:
    body = call("fetch_draft", name="harmless")["state"]["body"]
    body["principles"][1].update(enabled=False, weight=0)
    call("keep_draft", name="harmless", body=body, action="", expected=None)
    sides = both_sides(studio, "harmless", body["principles"][1]["id"])
    assert isinstance(sides.draft, Constitution)
    assert [(p.id, p.enabled) for p in sides.draft.principles] == [(body["principles"][1]["id"], True)]


def test_a_trial_of_an_unchanged_draft_says_so(studio: Studio) -> None:
    assert "is the saved version" in str(both_sides(studio, "minimal", "").draft)
    with pytest.raises(UserError, match="no constitution"):
        both_sides(studio, "nowhere", "")
