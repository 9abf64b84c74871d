"""A draft as the editor sees it: whole fields, problems by field, its distance from the saved version.

A draft may hold anything that was once half typed, or that another program wrote: what can't be shown
as cards is said so, and nothing here raises for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.constitution_rules import REQUESTS, Fault, faults, field_path
from pipeline.errors import UserError
from pipeline.records import Constitution, Exchange, FewShot, Principle, as_json, parse
from studio.store import constitutions
from studio.store.constitutions import Version
from studio.store.database import Store

Body = dict[str, Any]


@dataclass(frozen=True)
class DraftState:
    """What is being edited under a name. `body` is None where there is nothing, or nothing fit for cards."""

    name: str
    exists: bool
    body: Body | None
    seq: int | None
    saved: Version | None
    changes: int
    faults: tuple[Fault, ...]
    can_undo: bool
    can_redo: bool


def read(store: Store, name: str) -> DraftState:
    """The draft of a name, or its saved version where nothing is being edited."""
    now = constitutions.standing(store, name)
    draft = now.draft
    saved_body = plain(now.latest) if now.latest else None
    content: object = draft.body if draft else saved_body
    body = editable(content)
    return DraftState(
        name=name,
        exists=content is not None,
        body=body,
        seq=draft.seq if draft else None,
        saved=now.saved,
        changes=count_changes(saved_body, body) if draft else 0,
        faults=tuple(_faults(content)) if draft else (),
        can_undo=bool(draft and draft.can_undo),
        can_redo=now.can_redo,
    )


def as_text(state: DraftState, with_body: bool = True) -> str:
    """The state as JSON for the editor; without the body, where the editor has it already.

    Escaped to ASCII: half an emoji in a stored text must not break the answer.
    """
    saved = state.saved
    data = {
        "name": state.name,
        "exists": state.exists,
        "fit": state.body is not None,
        "seq": state.seq,
        "saved": saved and {"version": saved.version, "note": saved.note, "author": saved.author},
        "changes": state.changes,
        "problems": [
            {"where": list(f.where), "path": field_path(f.where), "what": f.what} for f in state.faults
        ],
        "canUndo": state.can_undo,
        "canRedo": state.can_redo,
    }
    if with_body:
        data["body"] = state.body
    return json.dumps(data)


def content(state: DraftState) -> Constitution:
    """The draft as a constitution. Raises UserError that names the first problem."""
    if not state.exists:
        raise UserError(f"There is no constitution named “{state.name}”.")
    if state.body is None or state.faults:
        first = state.faults[0] if state.faults else Fault((), "has not the shape of a constitution")
        more = f" (and {len(state.faults) - 1} more)" if len(state.faults) > 1 else ""
        raise UserError(f"The draft has a problem to mend first: {_where(state, first)} {first.what}{more}.")
    return parse(Constitution, {**state.body, "name": state.name})


def plain(constitution: Constitution) -> Body:
    """A constitution as JSON gives it back: lists, not tuples."""
    body: Body = json.loads(json.dumps(as_json(constitution)))
    return body


def editable(body: object) -> Body | None:
    """The body with every field that cards show; None where a field is of a kind they can't show."""
    if not isinstance(body, dict) or not _fits(body, HEAD):
        return None
    principles = [_principle(item) for item in body.get("principles", [])]
    if None in principles:
        return None
    shots = {**plain_shots(), **body.get("few_shot", {})}
    if not all(_lists_dicts(shots[kind]) for kind in plain_shots()):
        return None
    return {"name": "", "description": "", **body, "few_shot": shots, "principles": principles}


def plain_shots() -> Body:
    """No few-shot examples, as plain data."""
    return {kind: [] for kind in as_json(FewShot())}


def count_changes(before: Body | None, after: Body | None) -> int:
    """How many things differ: fields of the same principle, principles come and gone, the order."""
    old, new = editable(before), after
    if old is None or new is None:
        return 0
    olds, news = ({p["id"]: p for p in body["principles"]} for body in (old, new))
    both = [id for id in olds if id in news]
    count = len(olds.keys() ^ news.keys())
    count += sum(_differing(olds[id], news[id]) for id in both)
    count += both != [id for id in news if id in olds]
    count += sum(old[field] != new[field] for field in ("description", "few_shot"))
    # Whatever this overlooked (two principles of one id), equal is equal and different is different.
    return max(int(count), int(old["principles"] != new["principles"]))


def _differing(old: Body, new: Body) -> int:
    return len([field for field in old.keys() | new.keys() if old.get(field) != new.get(field)])


def _faults(body: object) -> list[Fault]:
    try:
        return faults(body)
    except RecursionError:  # nested as only a program nests
        return [Fault((), "is nested too deeply")]


def _where(state: DraftState, fault: Fault) -> str:
    """The field of a fault in the words of the page: a principle's title rather than its number."""
    if state.body and len(fault.where) > 1 and fault.where[0] == "principles":
        principle = state.body["principles"][int(fault.where[1])]
        field = field_path(fault.where[2:]).replace("_", " ") if len(fault.where) > 2 else ""
        return " ".join(part for part in (f"“{principle['title'] or principle['id']}”:", field) if part)
    return field_path(fault.where)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _lists_dicts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _exchanges(value: object) -> bool:
    fields = as_json(Exchange("", ""))
    return isinstance(value, list) and all(
        isinstance(item, dict) and all(_text(item.get(field)) for field in fields) for item in value
    )


Fits = Callable[[object], bool]
HEAD: dict[str, Fits] = {
    "name": _text,
    "description": _text,
    "principles": lambda value: isinstance(value, list),
    "few_shot": lambda value: isinstance(value, dict),
}
PRINCIPLE: dict[str, Fits] = {
    "id": _text,
    "title": _text,
    "tags": _texts,
    # A weight as it was typed may be no number yet: then it is a text, and a problem.
    "weight": lambda value: isinstance(value, int | float | str) and not isinstance(value, bool),
    "enabled": lambda value: isinstance(value, bool),
    "keeps": _exchanges,
    "breaks": _exchanges,
    **{field: lambda value: value is None or isinstance(value, str) for field in REQUESTS},
}


def _fits(data: Body, kinds: dict[str, Fits]) -> bool:
    return all(kinds[field](value) for field, value in data.items() if field in kinds)


def _principle(item: object) -> Body | None:
    if not isinstance(item, dict) or not _fits(item, PRINCIPLE):
        return None
    whole = {**as_json(Principle("", "")), "tags": [], "keeps": [], "breaks": [], **item}
    if isinstance(whole["weight"], float) and not math.isfinite(whole["weight"]):
        whole["weight"] = str(whole["weight"])  # JSON has no word for it
    return whole
