"""What changed between two constitutions, principle by principle and word by word.

A constitution's version is a hash of its content (`pipeline/records.py`); this says what a new version
is about. Command: `cai constitution diff A B`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any, Literal

from pipeline.records import Constitution, Principle

# Comparing takes cubic time: of texts with more words and blanks lines are compared, and those with more are
# shown as replaced. A thousand take half a second.
MOST_PIECES = 1_000
_WORD = re.compile(r"\s+|\S+")


@dataclass(frozen=True)
class Change:
    """One difference. `principle` is None for the constitution's own fields.

    `field` is a path such as `keeps[0].response`, "" for a principle as a whole. `before` and `after`
    are None where there is nothing; for a moved principle they are its places, counted from 1.
    """

    kind: Literal["added", "removed", "moved", "changed"]
    principle: str | None
    field: str
    before: str | None
    after: str | None


def diff(a: Constitution, b: Constitution) -> list[Change]:
    """The changes that turn `a` into `b`; none if and only if they are equal."""
    before = {principle.id: principle for principle in a.principles}
    after = {principle.id: principle for principle in b.principles}
    changes = list(_field_changes(None, _own_fields(a), _own_fields(b)))
    for name, principle in before.items():
        if name not in after:
            changes.append(Change("removed", name, "", principle.title, None))
    moved = _moved([name for name in before if name in after], [name for name in after if name in before])
    old_places, new_places = list(before), list(after)
    for name, principle in after.items():
        if name not in before:
            changes.append(Change("added", name, "", None, principle.title))
            changes += _field_changes(name, _fields(Principle(name, principle.title)), _fields(principle))
            continue
        if name in moved:
            places = str(old_places.index(name) + 1), str(new_places.index(name) + 1)
            changes.append(Change("moved", name, "", *places))
        changes += _field_changes(name, _fields(before[name]), _fields(principle))
    return changes


def diff_text(a: Constitution, b: Constitution) -> str:
    """The changes for a terminal: one block per principle, words marked as [-old-] and {+new+}."""
    blocks = []
    for principle, changes in groupby(diff(a, b), key=lambda change: change.principle):
        lines = [f"principle {principle}" if principle is not None else "constitution"]
        lines += [_change_text(change) for change in changes]
        blocks.append("\n".join(lines))
    return _terminal_safe("\n\n".join(blocks)) or "no difference"


def _change_text(change: Change) -> str:
    if change.kind == "moved":
        return f"  moved from place {change.before} to {change.after}"
    if not change.field:
        return f"  {change.kind}: {change.before or change.after}"
    words = word_diff(change.before or "", change.after or "")
    return f"  {change.field}: {words}".replace("\n", "\n    ")


def pieces(before: str, after: str, word: re.Pattern[str], most: int) -> tuple[list[str], list[str]]:
    """What is compared of two texts: words; where those are more than `most`, lines; else each whole."""
    old, new = word.findall(before), word.findall(after)
    if len(old) + len(new) > most:
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return (old, new) if len(old) + len(new) <= most else ([before], [after])


def word_diff(before: str, after: str) -> str:
    """Both texts as one, words marked as [-old-] and {+new+}; of long texts, whole lines."""
    old, new = pieces(before, after, _WORD, MOST_PIECES)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    parts = []
    for tag, i, j, k, m in matcher.get_opcodes():
        kept = "".join(old[i:j])
        parts.append(kept if tag == "equal" else _marked(kept, "".join(new[k:m])))
    return "".join(parts)


def _marked(old: str, new: str) -> str:
    return (f"[-{old}-]" if old else "") + (f"{{+{new}+}}" if new else "")


def _terminal_safe(text: str) -> str:
    """A constitution from elsewhere must not steer the terminal with control characters."""
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


def _moved(before: list[str], after: list[str]) -> set[str]:
    """The ids to take out so that the rest keep their order: of two that swapped, only one moved."""
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    kept = {
        name for block in matcher.get_matching_blocks() for name in before[block.a : block.a + block.size]
    }
    return set(after) - kept


def _own_fields(constitution: Constitution) -> dict[str, str]:
    paths = {"name": constitution.name, "description": constitution.description}
    return paths | dict(_paths("few_shot", constitution.few_shot))


def _fields(principle: Principle) -> dict[str, str]:
    return dict(_paths("", principle))


def _paths(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Each scalar in a record, as its path and its text."""
    if is_dataclass(value):
        for field in fields(value):
            yield from _paths(f"{path}.{field.name}".removeprefix("."), getattr(value, field.name))
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from _paths(f"{path}[{i}]", item)
    elif isinstance(value, bool):
        yield path, "true" if value else "false"
    elif isinstance(value, float | int):
        yield path, repr(value + 0.0)  # -0.0 equals 0.0, so it must read the same
    elif value is not None:
        yield path, value


def _field_changes(principle: str | None, before: dict[str, str], after: dict[str, str]) -> Iterator[Change]:
    for path in before | after:
        old, new = before.get(path), after.get(path)
        if old == new:
            continue
        kind: Literal["added", "removed", "changed"]
        kind = "added" if old is None else "removed" if new is None else "changed"
        yield Change(kind, principle, path, old, new)
