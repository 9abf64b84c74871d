"""The history of a constitution: its versions, what changed between any two, and the way back to one.

The texts of principles and notes are escaped here. Headless: `cai constitution diff`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

import gradio as gr

from pipeline.constitution_diff import Change, diff
from pipeline.records import Constitution, parse
from studio.components import draft_state
from studio.components.diff import word_diff
from studio.components.principle_cards import look_at, looked_at, to_cards
from studio.components.problem import told
from studio.context import Studio, author
from studio.escaping import escape, exact, isolated
from studio.listening import on_change
from studio.progress import plural
from studio.store import constitutions
from studio.store.constitutions import Version

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
DRAFT = "draft"

EMPTY = """<div class="cai-empty"><h3>No version yet</h3><p>What you edit is a draft, kept as you type.
<b>Save version</b> makes a version of it: it never changes again, and each chain names the version it
was made under.</p></div>"""

# A button in the table says which version it is about.
PRESSED = """element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-version]');
  if (button) trigger('click', {version: button.dataset.version});
});"""


def version_history(studio: Studio, editor: Any, tabs: Any) -> None:
    """Put the history of the constitution that the editor shows on a page.

    What is restored opens in the editor, whose tab of `tabs` comes forward.
    """
    table = gr.HTML(js_on_load=PRESSED, padding=False, elem_id="versions")
    problem = gr.HTML(padding=False)
    with gr.Row():
        before = gr.Dropdown([], label="Compare", elem_id="compare-before")
        after = gr.Dropdown([], label="with", elem_id="compare-after")
    changes = gr.HTML(padding=False, elem_id="changes")

    def refresh(shown: str) -> list[Any]:
        name = looked_at(shown)
        state = draft_state.read(studio.store, name)
        versions = constitutions.versions(studio.store, name)
        choices = _choices(versions, draft=state.seq is not None)
        newest = choices[0][1] if choices else None
        older = choices[1][1] if len(choices) > 1 else newest
        return [
            versions_html(versions),
            gr.update(choices=choices, value=older),
            gr.update(choices=choices, value=newest),
        ]

    def compare(shown: str, one: str | None, other: str | None) -> str:
        with told() as mistake:
            name = looked_at(shown)
            return changes_html(_side(studio, name, one), _side(studio, name, other)) if one and other else ""
        return mistake.html

    def restore(shown: str, pressed: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        with told() as mistake:
            name, version = looked_at(shown), str(pressed._data["version"])
            old = constitutions.load_version(studio.store, version)
            now = constitutions.draft(studio.store, name)
            body = {**draft_state.plain(old), "name": name}
            constitutions.save_draft(
                studio.store, name, body, f"restore {version[:8]}", author(request), now.seq if now else None
            )
            what = f"The content of version {version[:8]} is the draft now. Save it to keep it."
            return look_at(name, what), to_cards(), ""
        return gr.skip(), gr.skip(), mistake.html

    on_change([editor.change], refresh, editor, [table, before, after], **QUIET).then(
        compare, [editor, before, after], changes, trigger_mode="always_last", **QUIET
    )
    gr.on([before.input, after.input], compare, [editor, before, after], changes, **QUIET)
    table.click(restore, editor, [editor, tabs, problem], **QUIET)


def versions_html(versions: Sequence[Version]) -> str:
    """The versions as a table, newest first; each but the newest can be restored."""
    if not versions:
        return EMPTY
    head = "".join(f"<th>{title}</th>" for title in ("Version", "Saved", "By", "Note", "Principles", ""))
    rows = "".join(_row(version, current=at == 0) for at, version in enumerate(versions))
    return f'<table class="cai-versions"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _row(version: Version, current: bool) -> str:
    short = escape(version.version[:8])
    act = (
        '<span class="cai-muted">current</span>'
        if current
        else f'<button type="button" class="cai-small" data-version="{exact(version.version)}" '
        f'aria-label="Restore version {short}">Restore</button>'
    )
    note = escape(version.note) or '<span class="cai-muted">no note</span>'
    return (
        f"<tr><td><code>{short}</code></td><td>{version.saved.astimezone():%Y-%m-%d %H:%M}</td>"
        f"<td>{escape(version.author)}</td><td>{note}</td><td>{version.principles}</td><td>{act}</td></tr>"
    )


def changes_html(before: Constitution, after: Constitution) -> str:
    """What turns `before` into `after`: by principle, field by field, word by word."""
    changes = diff(before, after)
    if not changes:
        return '<p class="cai-muted">The two are the same.</p>'
    titles = {p.id: p.title for p in (*before.principles, *after.principles) if p.title.strip()}
    groups = [(id, list(some)) for id, some in groupby(changes, key=lambda change: change.principle)]
    named = sum(id is not None for id, _ in groups)
    count = f"{plural(len(changes), 'change')} in {plural(named, 'principle')}"
    if named < len(groups):
        count += " and in the constitution's own fields"
    return f'<p class="cai-muted">{count}</p>' + "".join(_group(id, some, titles) for id, some in groups)


def _group(id: str | None, changes: Sequence[Change], titles: dict[str, str]) -> str:
    head = "The constitution" if id is None else f"{escape(titles.get(id, id))} <code>{escape(id)}</code>"
    rows = "".join(f"<dt>{_field(change)}</dt><dd>{_what(change)}</dd>" for change in changes)
    return f'<section class="cai-card cai-change"><h3>{head}</h3><dl>{rows}</dl></section>'


def _field(change: Change) -> str:
    if not change.field:
        return {"added": "new principle", "removed": "deleted", "moved": "place"}.get(
            change.kind, change.kind
        )
    return escape(change.field.replace("_", " "))


def _what(change: Change) -> str:
    before, after = change.before, change.after
    if change.kind == "moved":
        return f"from {escape(before or '')} to {escape(after or '')}"
    return f'<div class="cai-diff">{word_diff(before or "", after or "")}</div>'


def _choices(versions: Sequence[Version], draft: bool) -> list[tuple[str, str]]:
    """What can be compared, newest first; a content that was restored is listed once."""
    labels: dict[str, str] = {}
    for version in versions:
        note = f" · {isolated(version.note[:60])}" if version.note else ""
        labels.setdefault(
            version.version, f"{version.version[:8]} · {version.saved.astimezone():%b %d %H:%M}{note}"
        )
    listed = [(label, hash) for hash, label in labels.items()]
    return [("the draft", DRAFT), *listed] if draft else listed


def _side(studio: Studio, name: str, which: str) -> Constitution:
    if which != DRAFT:
        return constitutions.load_version(studio.store, which)
    state = draft_state.read(studio.store, name)
    ids = [p["id"] for p in state.body["principles"]] if state.body else []
    # A draft with gaps in it can be compared, but not one whose principles can't be told apart.
    if state.body and len(set(ids)) == len(ids):
        with suppress(ValueError):
            return parse(Constitution, {**state.body, "name": name})
    return draft_state.content(state)
