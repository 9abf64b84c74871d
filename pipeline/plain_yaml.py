"""YAML as people write it, to plain data with a line for each thing: constitutions and recipes.

Aliases are refused (a small file could grow without bound), and so are tags, deep nesting and names that
are given twice.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.constitution_rules import Where
from pipeline.errors import InputError, UserError

MAX_BYTES = 2_000_000
# A constitution is six levels deep; more is a mistake or an attack on the parser's stack.
MAX_DEPTH = 20
MAX_NUMBER = 100
"""Characters of a number."""

TEXT, _NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{t}" for t in ("str", "null", "bool", "int", "float"))
NUMBERS = (_INT, _FLOAT)
# YAML 1.1 would make a date of 2022-12-15 and an object of "="; here both are text.
_AS_TEXT = {TEXT, "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}


@dataclass(frozen=True)
class Document:
    """What a text says: dicts, lists and scalars, with (line, field, what) for what was refused in it."""

    data: Any
    problems: tuple[tuple[int, Where, str], ...]
    root: yaml.Node

    def line(self, where: Where) -> int:
        """The line of the field, or of the nearest thing around it that is there."""
        node, line = self.root, _line_of(self.root)
        for part in where:
            if isinstance(node, yaml.MappingNode):
                pair = next((p for p in node.value if p[0].value == part), None)
                if pair is None:
                    break
                line, node = _line_of(pair[0]), pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = _line_of(node)
        return line


def read(text: str, name: str, expected: str) -> Document:
    """The data in YAML text; `name` stands for the file. Raises InputError where it is no YAML at all."""
    root = _compose(text.removeprefix("\ufeff"), name, expected)
    found: list[tuple[int, Where, str]] = []
    return Document(_plain(root, (), found), tuple(found), root)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file of at most `MAX_BYTES`. Raises UserError."""
    if not os.path.isfile(path):
        raise UserError(f"{path}: is not a file")
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise InputError(
            [f"{path}:1: is larger than {MAX_BYTES // 1_000_000} MB, too large for a file of this kind"]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        hint = " (it looks like UTF-16)" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise InputError([f"{path}:{line}: is not UTF-8 text{hint}: save it as UTF-8"]) from error


class _Refused(yaml.MarkedYAMLError):
    """YAML that is well formed and still not for us."""


class _Loader(yaml.SafeLoader):
    """Composes nodes, without aliases (a small file could grow without bound) and to a bounded depth.

    The pure Python loader on purpose: libyaml's composer recurses in C, where no depth can be caught.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise _Refused(
                problem="an alias ('*name') is not supported: write the text out", problem_mark=mark
            )
        if self.depth >= MAX_DEPTH:
            raise _Refused(problem=f"is nested more than {MAX_DEPTH} levels deep", problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _compose(text: str, name: str, expected: str) -> yaml.Node:
    """The node tree of the text, whose marks give each field its line."""
    try:
        root = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "is not YAML"
        if "'\\t'" in what:
            what = "a tab: indent with spaces (and put text that starts with one in quotes)"
        raise InputError([f"{name}:{mark.line + 1 if mark else 1}: {what}"]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError([f"{name}:{line}: the character {error.character:#x} is not allowed"]) from error
    except (ValueError, OverflowError) as error:  # chr() of an impossible \U escape, a huge %YAML version
        raise InputError([f"{name}:1: is not YAML: {error}"]) from error
    if root is None:
        raise InputError([f"{name}:1: is empty: expected {expected}"])
    return root


def _plain(node: yaml.Node, where: Where, found: list[tuple[int, Where, str]]) -> Any:
    """The node as dicts, lists and scalars; appends (line, field, what) for keys and tags we refuse."""
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, where, found)
    if node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
        found.append((_line_of(node), where, f"the tag {node.tag} is not supported: leave it out"))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*where, i), found) for i, item in enumerate(node.value)]
    data: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag not in _AS_TEXT:
            found.append((_line_of(key), where, "a field's name must be text; put it in quotes if it is"))
        elif key.value in data:
            found.append((_line_of(key), (*where, key.value), "is given twice"))
        else:
            data[key.value] = _plain(value, (*where, key.value), found)
    return data


def _scalar(node: yaml.ScalarNode, where: Where, found: list[tuple[int, Where, str]]) -> Any:
    if node.tag in _AS_TEXT:
        return node.value
    if node.tag in (_NULL, _BOOL, _INT, _FLOAT):
        try:
            if len(node.value) > MAX_NUMBER:  # 1:1:1… counts by 60, in quadratic time
                raise ValueError("too long")
            return yaml.SafeLoader("").construct_object(node)
        except (
            ValueError,
            KeyError,
            IndexError,
            OverflowError,
        ):  # `!!int x`, `!!bool x`, a 5,000-digit number
            found.append((_line_of(node), where, "is not the number or the true/false that it looks like"))
            return node.value
    found.append((_line_of(node), where, f"the tag {node.tag} is not supported: leave it out"))
    return node.value


def _line_of(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
