"""Constitutions as YAML files: read, check, write, find, and draw principles from.

Paper: sections 3.1 (a principle is drawn for each critique and revision) and 4.1 (one for each
comparison). Command: `cai constitution check FILE`, `cai constitution list`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

import constitutions
from pipeline.constitution_rules import REQUESTS, Where, describe, faults, field_path
from pipeline.errors import InputError, UserError
from pipeline.records import Constitution, Principle, parse

Stage = Literal["critique", "feedback"]

MAX_BYTES = 2_000_000
# A constitution is six levels deep; more is a mistake or an attack on the parser's stack.
MAX_DEPTH = 20

_STR, _NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{t}" for t in ("str", "null", "bool", "int", "float"))
# YAML 1.1 would make a date of 2022-12-15 and an object of "="; here both are text.
_AS_TEXT = {_STR, "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}


def load(path: Path) -> Constitution:
    """The constitution in a YAML file. Raises InputError with every problem as `file:line: field: what`."""
    return loads(read_text(path), str(path))


def loads(text: str, name: str) -> Constitution:
    """The constitution in YAML text; `name` stands for the file in the problems of an InputError."""
    root = _compose(text.removeprefix("\ufeff"), name)
    found: list[tuple[int, Where, str]] = []
    data = _plain(root, (), found)
    if not isinstance(data, dict):
        what = f"expected 'name:' and 'principles:' at the top, got {describe(data)}"
        raise InputError([f"{name}:{_line_of(root)}: {what}"])
    found += [(_line(root, fault.where), fault.where, fault.what) for fault in faults(data)]
    if found:
        found.sort(key=lambda problem: problem[0])
        raise InputError([f"{name}:{line}: {field_path(where)}: {what}" for line, where, what in found])
    return parse(Constitution, data)


def problems(data: object) -> list[str]:
    """What is wrong with plain data as a constitution, one `principles[3].title: what` each."""
    return [f"{field_path(fault.where)}: {fault.what}" for fault in faults(data)]


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
            [f"{path}:1: is larger than {MAX_BYTES // 1_000_000} MB, too large for a constitution"]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        hint = " (it looks like UTF-16)" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise InputError([f"{path}:{line}: is not UTF-8 text{hint}: save it as UTF-8"]) from error


def dump(constitution: Constitution) -> str:
    """YAML for people: fields in the record's order, defaults left out, multi-line text as blocks.

    `loads(dump(c), name) == c` for every valid constitution.
    """
    return yaml.dump(_sparse(constitution), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def usable(constitution: Constitution, stage: Stage) -> list[Principle]:
    """The enabled principles of positive weight that have what the stage needs. Raises UserError if none."""
    wanted = REQUESTS[:2] if stage == "critique" else REQUESTS[2:]
    fit, reasons = [], []
    for principle in constitution.principles:
        lacks = [field for field in wanted if getattr(principle, field) is None]
        if not principle.enabled:
            reasons.append(f"  {principle.id}: is disabled")
        elif principle.weight <= 0:
            reasons.append(f"  {principle.id}: has weight 0")
        elif lacks:
            reasons.append(f"  {principle.id}: has no {' and no '.join(lacks)}")
        else:
            fit.append(principle)
    if not fit:
        head = f"{constitution.name}: no principle can be used for {stage}:"
        raise UserError("\n".join([head, *reasons]))
    return fit


def draw(principles: Sequence[Principle], seed: int, key: str) -> Principle:
    """One principle, by weight. The same seed and key draw the same one on every platform.

    Raises ValueError if no weight is above 0: `usable` returns none such.
    """
    digest = hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogatepass")).digest()
    uniform = (int.from_bytes(digest[:8], "big") >> 11) / 2**53  # in [0, 1), exact in a double
    candidates = [principle for principle in principles if principle.weight > 0]
    if not candidates:
        raise ValueError("no principle has a weight above 0")
    heaviest = max(principle.weight for principle in candidates)
    # Relative to the heaviest: finite weights can add up to infinity.
    shares = [principle.weight / heaviest for principle in candidates]
    left = uniform * sum(shares)
    for principle, share in zip(candidates, shares, strict=True):
        left -= share
        if left < 0:
            return principle
    return candidates[-1]


def draw_several(principles: Sequence[Principle], seed: int, key: str, count: int) -> list[Principle]:
    """So many distinct principles, drawn by weight one after another; all where there are no more."""
    left = list(principles)
    if count >= len(left):
        return left
    drawn = []
    for i in range(count):
        drawn.append(draw(left, seed, f"{key}:{i}"))
        left.remove(drawn[-1])
    return drawn


def shipped() -> dict[str, Path]:
    """The constitutions that come with the package, by name."""
    folder = Path(constitutions.__file__).parent
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find(name_or_path: str) -> Path:
    """A file as it is, or the shipped constitution of that name. Raises UserError that lists the names."""
    if os.path.isfile(name_or_path):
        return Path(name_or_path)
    known = shipped()
    if name_or_path in known:
        return known[name_or_path]
    raise UserError(f"{name_or_path}: is neither a file nor a shipped constitution ({', '.join(known)})")


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


def _compose(text: str, name: str) -> yaml.Node:
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
        raise InputError([f"{name}:1: is empty: expected 'name:' and 'principles:'"])
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


def _line(root: yaml.Node, where: Where) -> int:
    """The line of the field, or of the nearest thing around it that is there."""
    node, line = root, _line_of(root)
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


class _Dumper(yaml.SafeDumper):
    """Indents list items under their field and never writes aliases, which the loader refuses."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if re.search("[\r\x85\u2028\u2029]", text):
        style = '"'  # YAML reads these as line breaks too, and outside double quotes makes spaces of them
    elif "\n" in text and not re.search(r"^\s|\n\Z", text):
        # Where a block can't hold the text (trailing blanks, control characters), PyYAML quotes it instead.
        style = "|"
    return dumper.represent_scalar(_STR, text, style=style)


_Dumper.add_representer(str, _text_node)


def _sparse(value: Any) -> Any:
    """Records as plain data without the fields that have their default."""
    if isinstance(value, tuple):
        return [_sparse(item) for item in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    sparse = {}
    for field in fields(value):
        factory = field.default_factory
        default = field.default if factory is MISSING else factory()
        content = getattr(value, field.name)
        if content != default:
            sparse[field.name] = _sparse(content)
    return sparse
