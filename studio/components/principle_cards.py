"""The editor of a constitution: its principles as cards, kept as one types (paper section 3.1).

One `gr.HTML` whose elements are made in the browser from JSON, by the scripts beside this file: text
of a principle is hostile and never becomes markup. Each edit is sent to a function here, which keeps
it as a draft. The component's value says which draft is looked at: `look_at` makes one, `looked_at`
reads it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.errors import UserError
from studio.components import draft_state
from studio.context import Studio
from studio.store import constitutions
from studio.store.constitutions import StaleDraft, Version
from studio.store.database import SessionReadOnly

# Joined into one function body, in this order.
SCRIPTS = ("principle_card.js", "draft_bar.js", "draft_keeping.js", "principle_cards.js")

# To a page of a session that was served here before: for it the studio does not answer, so it keeps what was
# typed until that session is open again.
NO_ANSWER = "null"

OVERTAKEN = "“{name}” was edited in another tab or by another person meanwhile. This is their state."


def principle_cards(studio: Studio) -> Any:
    """Put the editor on a page. Its `change` event tells that another draft, or another state, is shown."""
    folder = Path(__file__).parent
    scripts = "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return gr.HTML(
        "",
        html_template="",
        js_on_load=f"const SESSION = {json.dumps(studio.session)};\n{scripts}",
        apply_default_css=False,
        padding=False,
        elem_id="constitution-editor",
        server_functions=server_functions(studio),
    )


def look_at(name: str, told: str = "") -> str:
    """The value that makes the editor open a draft afresh, and say something about it."""
    # The time makes it differ from the last value, or the editor would not notice.
    return json.dumps({"name": name, "told": told, "at": time.time_ns()})


def looked_at(value: str | None) -> str:
    """The name that the editor's value is about."""
    return str(json.loads(value).get("name", "")) if value else ""


def to_cards() -> Any:
    """The update of a page's tabs that brings the one with the cards forward; its id is `principles`."""
    return gr.Tabs(selected="principles")


# What Gradio calls from the browser. It injects the request by its annotation, but Starlette's own, not
# the `gr.Request` that events get: the login's name is in its scope. JSON goes as text both ways, since
# Gradio rewrites objects that look like files to it.


def server_functions(studio: Studio) -> list[Any]:
    """The functions that the scripts call. None is named as an event of `gr.HTML`: that would replace it."""
    store = studio.store

    def fetch_draft(asked: Mapping[str, Any], who: str) -> str:
        return _answer(studio, asked["name"])

    def keep_draft(asked: Mapping[str, Any], who: str) -> str:
        name, body = asked["name"], draft_state.editable(asked["body"])
        if body is None:
            return _answer(studio, name, told="That is no constitution: nothing was kept.", stale=True)
        try:
            constitutions.save_draft(
                store,
                name,
                {**body, "name": name},
                asked["action"],
                who,
                asked["expected"],
                asked["over"],
            )
        except StaleDraft:
            return _answer(studio, name, told=OVERTAKEN.format(name=name), stale=True)
        except SessionReadOnly as error:
            return _answer(studio, name, told=str(error), stale=True)
        return _answer(studio, name, with_body=False)

    def walk_draft(asked: Mapping[str, Any], who: str) -> str:
        name = asked["name"]
        steps = {
            "undo": constitutions.undo_draft,
            "redo": constitutions.redo_draft,
            "discard": constitutions.discard_draft,
        }
        try:
            steps[asked["step"]](store, name, who, expected=asked["expected"])
        except StaleDraft:
            return _answer(studio, name, told=OVERTAKEN.format(name=name), stale=True)
        return _answer(studio, name)

    def save_version(asked: Mapping[str, Any], who: str) -> str:
        name, note = asked["name"], asked["note"].strip()
        seen = {"expected": asked["expected"], "over": asked["over"]}
        try:
            saved = _save(studio, name, note, who, seen)
        except StaleDraft:
            return _answer(studio, name, told=OVERTAKEN.format(name=name), stale=True)
        except UserError as error:
            return _answer(studio, name, told=str(error), with_body=False)
        return _answer(studio, name, told=f"Saved as version {saved.version[:8]}.", with_body=False)

    def called(answer: Callable[[Mapping[str, Any], str], str]) -> Any:
        """One of these as the browser calls it, by the same name: of what it asks and who that is."""

        def call(data: str, request: gr.Request) -> str:
            asked = json.loads(data)
            return answer(asked, _author(request)) if asked["session"] == studio.session else NO_ANSWER

        call.__name__ = answer.__name__
        return call

    return [called(answer) for answer in (fetch_draft, keep_draft, walk_draft, save_version)]


def _save(studio: Studio, name: str, note: str, author: str, seen: dict[str, Any]) -> Version:
    """Save the draft that the editor has seen. Raises StaleDraft if that is not the one by now."""
    state = draft_state.read(studio.store, name)
    if {"expected": state.seq, "over": state.saved and state.saved.version} != seen:
        raise StaleDraft(OVERTAKEN.format(name=name))  # its problems, if it has any, are none of this tab's
    return constitutions.save_version(studio.store, draft_state.content(state), note, author, **seen)


def _answer(studio: Studio, name: str, told: str = "", stale: bool = False, with_body: bool = True) -> str:
    state = draft_state.as_text(draft_state.read(studio.store, name), with_body)
    return f'{{"state": {state}, "told": {json.dumps(told)}, "stale": {json.dumps(stale)}}}'


def _author(request: Any) -> str:
    return request.scope.get("user") or "local"
