"""What makes plain data a constitution: the shape of the records, and the rules that span fields.

Works on dicts and lists, so that a file (`pipeline/constitution.py`) and a half-written draft on a page
get the same answer. Paper: what the stages of sections 3.1 and 4.1 need from a principle.
Command: `cai constitution check FILE`.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from pipeline.records import (
    Constitution,
    CritiqueExample,
    Exchange,
    FeedbackExample,
    FewShot,
    Message,
    Principle,
    ReasonedExample,
    parse,
)

Where = tuple[str | int, ...]

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
REQUESTS = ("critique_request", "revision_request", "comparison")
# A file of garbage has a problem on each line; nobody reads past the first hundreds.
MOST = 200

# The record that holds a field, by the name of the field it stands under ("" is the top).
KINDS: Mapping[str, tuple[str, type]] = {
    "": ("a constitution", Constitution),
    "principles": ("a principle", Principle),
    "keeps": ("an example", Exchange),
    "breaks": ("an example", Exchange),
    "few_shot": ("few_shot", FewShot),
    "critique": ("a critique example", CritiqueExample),
    "feedback": ("a feedback example", FeedbackExample),
    "reasoned": ("a reasoned example", ReasonedExample),
    "messages": ("a message", Message),
}


@dataclass(frozen=True)
class Fault:
    """One thing wrong: the path of the field, and what is wrong and what is expected."""

    where: Where
    what: str


def faults(data: object) -> list[Fault]:
    """Everything wrong with `data` as a constitution; empty if nothing is. At most `MOST` are spelt out."""
    found = list(_shape_faults(data))
    seen = {fault.where for fault in found}
    # A field whose type is wrong already has its line: one line per field is enough.
    found += [fault for fault in _rule_faults(data) if fault.where not in seen]
    if len(found) > MOST:
        found = [*found[:MOST], Fault((), f"has {len(found) - MOST} more problems")]
    return found


def field_path(where: Where) -> str:
    """`principles[3].title`, as a person writes it; `the constitution` for the whole."""
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{_short(part)}"
    return text.removeprefix(".") or "the constitution"


def describe(value: object) -> str:
    """A value in a few words, for «expected ..., got ...»."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 200:
        return "a huge number"  # Python refuses to print more than 4,300 digits
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text '{_short(value)}'"
    if isinstance(value, dict):
        return "named fields"
    return "a list" if isinstance(value, list | tuple) else type(value).__name__


def _short(text: str) -> str:
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:60])
    return shown + "…" if len(text) > 60 else shown


def _shape_faults(data: object) -> Iterator[Fault]:
    try:
        parse(Constitution, data)
    except ValidationError as error:
        for number, one in enumerate(error.errors(include_url=False, include_context=False)):
            # Past MOST only the count matters, and close matches are slow.
            yield Fault(one["loc"], _what(one["type"], one["loc"], one["input"], one["msg"], number < MOST))


def _what(kind: str, where: Where, value: object, message: str, hinted: bool) -> str:
    """Pydantic's error in our words."""
    got = describe(value)
    match kind:
        case "missing":
            return "is missing"
        case "unexpected_keyword_argument" | "extra_forbidden":
            return _unknown_field(where) if hinted else "is unknown"
        case "string_type" if isinstance(value, bool | int | float):
            return f"expected text, got {got}: put it in quotes"
        case "string_type":
            return f"expected text, got {got}"
        case "string_unicode":
            return "expected text, got half a character: write the whole one"
        case "string_too_long":
            return "is longer than a million characters"
        case "tuple_type":
            return f"expected a list (lines that start with '- '), got {got}"
        case "dataclass_type" | "dataclass_exact_type":
            return f"expected named fields ('field: value'), got {got}"
        case "literal_error":
            return f"{message[0].lower()}{message[1:]}, got {got}".replace("input should be", "expected")
        case _ if kind.startswith("bool"):
            return f"expected true or false, got {got}"
        case _ if kind.startswith(("float", "finite", "int")):
            return f"expected a number, got {got}"
    return f"{message[0].lower()}{message[1:]}"


def _unknown_field(where: Where) -> str:
    name = str(where[-1])
    holder = next((part for part in reversed(where[:-1]) if isinstance(part, str)), "")
    noun, record = KINDS.get(holder, KINDS[""])
    known = [field.name for field in fields(record)]
    close = get_close_matches(name[:60].lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
    return f"is not a field of {noun}; {hint}"


def _rule_faults(data: object) -> Iterator[Fault]:
    """The rules that types can't say. Values of a wrong type are passed over: they are reported already."""
    if not isinstance(data, dict):
        return
    if isinstance(data.get("name"), str) and not data["name"].strip():
        yield Fault(("name",), "is blank: expected a short name")
    listed = data.get("principles")
    if isinstance(listed, list | tuple):
        yield from _list_faults(listed)
    few_shot = data.get("few_shot")
    if isinstance(few_shot, dict):
        yield from _few_shot_faults(few_shot)


def _list_faults(listed: list[Any] | tuple[Any, ...]) -> Iterator[Fault]:
    if not listed:
        yield Fault(("principles",), "is empty: expected at least one principle")
        return
    principles = [(i, item) for i, item in enumerate(listed) if isinstance(item, dict)]
    ids = Counter(p["id"] for _, p in principles if isinstance(p.get("id"), str))
    taken: set[str] = set()
    for i, principle in principles:
        for fault in _principle_faults(principle):
            yield Fault(("principles", i, *fault.where), fault.what)
        name = principle.get("id")
        if isinstance(name, str) and ids[name] > 1:
            if name in taken:
                yield Fault(("principles", i, "id"), f"'{_short(name)}' is used before: ids must differ")
            taken.add(name)
    if len(principles) == len(listed) and not any(_can_be_drawn(p) for _, p in principles):
        yield Fault(("principles",), "none can be drawn: expected one that is enabled with a weight above 0")


def _can_be_drawn(principle: dict[Any, Any]) -> bool:
    weight = principle.get("weight", 1.0)
    return principle.get("enabled", True) is not False and (not isinstance(weight, int | float) or weight > 0)


def _principle_faults(principle: dict[Any, Any]) -> Iterator[Fault]:
    name, weight = principle.get("id"), principle.get("weight", 1.0)
    if isinstance(name, str) and not SLUG.fullmatch(name):
        yield Fault(
            ("id",), f"'{_short(name)}' is no id: expected letters, digits, '-', '_', '.' (at most 100)"
        )
    for field in ("title", *REQUESTS):
        text = principle.get(field)
        if isinstance(text, str) and not text.strip():
            advice = "expected a few words" if field == "title" else "write it or leave the field out"
            yield Fault((field,), f"is blank: {advice}")
    # Pydantic reads "2" and true as numbers; in a file of weights both are slips.
    if isinstance(weight, bool | str):
        yield Fault(("weight",), f"expected a number, got {describe(weight)}")
    elif isinstance(weight, int | float) and not 0 <= weight <= sys.float_info.max:
        yield Fault(("weight",), f"expected a finite number of 0 or more, got {describe(weight)}")
    yield from _request_faults(principle)


def _request_faults(principle: dict[Any, Any]) -> Iterator[Fault]:
    critique, revision, comparison = (principle.get(field) is not None for field in REQUESTS)
    if critique and not revision:
        yield Fault(("revision_request",), "is missing: a critique_request needs one")
    if revision and not critique:
        yield Fault(("critique_request",), "is missing: a revision_request needs one")
    if not (critique or revision or comparison):
        yield Fault((), "says nothing: expected critique_request with revision_request, or comparison")


def _few_shot_faults(few_shot: dict[Any, Any]) -> Iterator[Fault]:
    """A critique is of an answer, so its messages end with one; a pair is of answers still to come."""
    for kind, last in (("critique", "assistant"), ("feedback", "user"), ("reasoned", "user")):
        examples = few_shot.get(kind)
        for i, example in enumerate(examples if isinstance(examples, list | tuple) else ()):
            messages = example.get("messages") if isinstance(example, dict) else None
            if not isinstance(messages, list | tuple):
                continue
            role = messages[-1].get("role") if messages and isinstance(messages[-1], dict) else None
            if not messages or (role in ("system", "user", "assistant") and role != last):
                what = f"expected messages that end with one of role '{last}'"
                yield Fault(("few_shot", kind, i, "messages"), what)
