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
from pipeline import plain_yaml
from pipeline.constitution_rules import REQUESTS, describe, faults, field_path
from pipeline.errors import InputError, UserError
from pipeline.records import Constitution, Principle, parse

Stage = Literal["critique", "feedback"]

EXPECTED = "'name:' and 'principles:'"


def load(path: Path) -> Constitution:
    """The constitution in a YAML file. Raises InputError with every problem as `file:line: field: what`."""
    return loads(plain_yaml.read_text(path), str(path))


def loads(text: str, name: str) -> Constitution:
    """The constitution in YAML text; `name` stands for the file in the problems of an InputError."""
    document = plain_yaml.read(text, name, EXPECTED)
    data = document.data
    if not isinstance(data, dict):
        what = f"expected {EXPECTED} at the top, got {describe(data)}"
        raise InputError([f"{name}:{document.line(())}: {what}"])
    said = [(document.line(fault.where), fault.where, fault.what) for fault in faults(data)]
    if found := [*document.problems, *said]:
        found.sort(key=lambda problem: problem[0])
        raise InputError([f"{name}:{line}: {field_path(where)}: {what}" for line, where, what in found])
    return parse(Constitution, data)


def problems(data: object) -> list[str]:
    """What is wrong with plain data as a constitution, one `principles[3].title: what` each."""
    return [f"{field_path(fault.where)}: {fault.what}" for fault in faults(data)]


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
    return dumper.represent_scalar(plain_yaml.TEXT, text, style=style)


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
