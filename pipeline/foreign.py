"""Constitutions in other tools' forms: the paper's JSON files, and llm-swarm's.

A form is recognised by its content. Each carries a part of a constitution: the paper has a file of
critique and revision requests, one of comparisons, and three of few-shot examples (appendices C and E).
`export` writes a form only if reading it back gives that part again.
Command: `cai constitution import FILE...`, `cai constitution export FILE --form FORM`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal, TypeVar

from pipeline import constitution as own
from pipeline import foreign_forms as forms
from pipeline import plain_yaml
from pipeline.constitution_diff import diff
from pipeline.constitution_rules import faults, field_path
from pipeline.errors import InputError, UserError
from pipeline.records import Constitution, FewShot, Principle, as_json, parse

Form = Literal[
    "yaml",
    "paper-critique",
    "paper-comparison",
    "paper-few-shot-critique",
    "paper-few-shot-feedback",
    "paper-few-shot-reasoned",
    "llm-swarm",
]

T = TypeVar("T")


def import_files(paths: Sequence[Path], into: Constitution | None = None) -> Constitution:
    """One constitution from files of any form, in the order given; added to `into` if there is one.

    Name and description are those of `into`, else of the first file with principles. Raises InputError
    with the problems of all files, UserError if there are few-shot examples only.
    """
    parts = [into] if into else []
    problems: list[str] = []
    for path in paths:
        taken = {principle.id for part in parts for principle in part.principles}
        try:
            parts.append(_read(plain_yaml.read_text(path), path, taken))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    head = next((part for part in parts if part.principles), None)
    names = ", ".join(str(path) for path in paths)
    if head is None:
        raise UserError(
            f"{names}: holds few-shot examples only: pass a file of principles with it, "
            "or --into BASE.yaml to add the examples to a constitution"
        )
    merged = replace(
        head,
        principles=tuple(chain.from_iterable(part.principles for part in parts)),
        few_shot=_joined(part.few_shot for part in parts),
    )
    return _valid(merged, names)


def export(constitution: Constitution, form: Form, lossy: bool = False) -> str:
    """The part of a constitution that the form is for, as the text of a file.

    Raises UserError if that part is empty or, unless `lossy`, names what of it the form can't hold.
    Principles and examples that are no part of the form are left for their own file.
    """
    if form == "yaml":
        return own.dump(constitution)
    part = _part(constitution, form)
    text = json.dumps(_write(part, form), ensure_ascii=False, indent=2) + "\n"
    if not lossy:
        lost = _lost(part, text, form)
        if lost:
            head = f"{constitution.name}: the form {form} can't hold all of it; this would be lost:"
            raise UserError("\n".join([head, *lost, "pass --lossy to write the rest"]))
    return text


def recognise(data: Any) -> Form | None:
    """The form of parsed JSON, by its content; None for no form we know."""
    if isinstance(data, dict):
        if "constitutions" in data:
            return "llm-swarm"
        if "principles" in data:
            return "yaml"
        entries = list(data.values())
        return "paper-critique" if _any_has(entries, "edit_request") else None
    if not isinstance(data, list) or not data:
        return None
    if all(isinstance(entry, str) for entry in data):
        told = any("\n\nCritiqueRequest:" in entry for entry in data)
        return "paper-few-shot-critique" if told else "paper-comparison"
    if _any_has(data, "corrects"):
        return "paper-few-shot-feedback"
    return "paper-few-shot-reasoned" if _any_has(data, "prompt") else None


def _any_has(entries: list[Any], field: str) -> bool:
    return any(isinstance(entry, dict) and field in entry for entry in entries)


def _read(text: str, path: Path, taken: set[str]) -> Constitution:
    """What a file holds, as a constitution that may lack principles. Generated ids avoid `taken`."""
    data = _json(text, path)
    form = recognise(data)
    if form is None and isinstance(data, dict | list):
        raise InputError(
            [f"{path}:1: is no form we know: expected a constitution, the paper's, or llm-swarm's"]
        )
    if form is None:
        return own.loads(text, str(path))
    if form == "yaml":
        return _own(data, text, path)
    principles, few_shot = _read_form(form, data, path, taken)
    return Constitution(path.stem, tuple(principles), few_shot=few_shot)


def _own(data: Any, text: str, path: Path) -> Constitution:
    """Our own constitution as JSON: nearly YAML, but for its emoji, tabs and control characters."""
    found = faults(data)
    if not found:
        return parse(Constitution, data)
    said = [(fault.where, f"{field_path(fault.where)}: {fault.what}") for fault in found]
    try:
        lines = plain_yaml.read(text, str(path), own.EXPECTED)
    except InputError:
        raise InputError([f"{path}: {what}" for _, what in said]) from None
    raise InputError([f"{path}:{line}: {what}" for line, what in sorted((lines.line(w), s) for w, s in said)])


def _json(text: str, path: Path) -> Any:
    """The file as JSON; None if it is not JSON, and so may be YAML."""
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as error:
        if path.suffix == ".json":
            raise InputError([f"{path}:{error.lineno}: is not JSON: {error.msg}"]) from error
        return None
    except RecursionError as error:
        raise InputError([f"{path}:1: is nested too deeply"]) from error
    except ValueError as error:  # a key given twice, a number of 5,000 digits
        raise InputError([f"{path}:1: {error}"]) from error


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise ValueError("a key is given twice in one object: " + ", ".join(ascii(key) for key in data)[:80])
    return data


def _read_form(form: Form, data: Any, path: Path, taken: set[str]) -> tuple[list[Principle], FewShot]:
    match form:
        case "paper-critique":
            pairs = _each(path, "", data, forms.read_critique_pair)
            return [
                forms.request_principle(name, *pair) for name, pair in zip(data, pairs, strict=True)
            ], FewShot()
        case "paper-comparison":
            texts = _each(path, "", data, forms.read_comparison)
            ids = _fresh_ids("comparison", taken)
            return [forms.comparison_principle(next(ids), text) for text in texts], FewShot()
        case "paper-few-shot-critique":
            return [], FewShot(critique=tuple(_each(path, "", data, forms.read_transcript)))
        case "paper-few-shot-feedback":
            judged = _each(path, "", data, forms.read_judged)
            return [], FewShot(feedback=tuple(chain.from_iterable(judged)))
        case "paper-few-shot-reasoned":
            return [], FewShot(reasoned=tuple(_each(path, "", data, forms.read_reasoned)))
    return _read_swarm(data, path, taken)


def _read_swarm(data: dict[str, Any], path: Path, taken: set[str]) -> tuple[list[Principle], FewShot]:
    """llm-swarm's `constitutions`, and its `system_chat` of worked examples where there is one."""
    unknown = [key for key in data if key not in ("constitutions", "system_chat")]
    lists = [data["constitutions"], data.get("system_chat", [])]
    if unknown or not all(isinstance(entries, list) for entries in lists):
        raise InputError(
            [f"{path}:1: expected the lists 'constitutions' and 'system_chat', and nothing else"]
        )
    ids = _fresh_ids("principle", taken)
    pairs = _each(path, "constitutions", lists[0], forms.read_swarm_pair)
    chats = _each(path, "system_chat", lists[1], forms.read_chat)
    return [forms.request_principle(next(ids), *pair) for pair in pairs], FewShot(critique=tuple(chats))


def _each(path: Path, within: str, entries: Any, read: Callable[[Any], T]) -> list[T]:
    """Read every entry of a list or an object. Raises InputError with the problems of all."""
    pairs = entries.items() if isinstance(entries, dict) else enumerate(entries)
    results, problems = [], []
    for place, entry in pairs:
        try:
            results.append(read(entry))
        except forms.Malformed as error:
            where = f"{within}[{place}]" if isinstance(place, int) else ascii(place[:60])[1:-1]
            problems.append(f"{path}: {where}: {error}")
    if problems:
        raise InputError(problems)
    return results


def _fresh_ids(stem: str, taken: set[str]) -> Iterator[str]:
    return (name for name in (f"{stem}{i}" for i in count()) if name not in taken)


def _joined(shots: Iterable[FewShot]) -> FewShot:
    parts = list(shots)
    return FewShot(
        critique=tuple(chain.from_iterable(part.critique for part in parts)),
        feedback=tuple(chain.from_iterable(part.feedback for part in parts)),
        reasoned=tuple(chain.from_iterable(part.reasoned for part in parts)),
    )


def _valid(constitution: Constitution, names: str) -> Constitution:
    problems = own.problems(as_json(constitution))
    if problems:
        raise InputError([f"{names}: {problem}" for problem in problems])
    return constitution


def _part(constitution: Constitution, form: Form) -> Constitution:
    """What the form is for, of a constitution. Raises UserError if there is nothing of it."""
    shots, part = constitution.few_shot, replace(constitution, principles=(), few_shot=FewShot())
    requests = tuple(p for p in constitution.principles if p.critique_request is not None)
    match form:
        case "paper-critique":
            part, missing = replace(part, principles=requests), not requests
        case "llm-swarm":
            few_shot = FewShot(critique=shots.critique)
            part, missing = replace(part, principles=requests, few_shot=few_shot), not requests
        case "paper-comparison":
            compared = tuple(p for p in constitution.principles if p.comparison is not None)
            part, missing = replace(part, principles=compared), not compared
        case "paper-few-shot-critique":
            part, missing = replace(part, few_shot=FewShot(critique=shots.critique)), not shots.critique
        case "paper-few-shot-feedback":
            part, missing = replace(part, few_shot=FewShot(feedback=shots.feedback)), not shots.feedback
        case _:
            part, missing = replace(part, few_shot=FewShot(reasoned=shots.reasoned)), not shots.reasoned
    if missing:
        raise UserError(f"{constitution.name}: has nothing to write in the form {form}")
    return part


def _write(part: Constitution, form: Form) -> Any:
    match form:
        case "paper-critique":
            return {p.id: forms.write_critique_pair(p) for p in part.principles}
        case "paper-comparison":
            return [forms.write_comparison(p) for p in part.principles]
        case "paper-few-shot-critique":
            return [forms.write_transcript(example) for example in part.few_shot.critique]
        case "paper-few-shot-feedback":
            return [forms.write_judged(example) for example in part.few_shot.feedback]
        case "paper-few-shot-reasoned":
            return [forms.write_reasoned(example) for example in part.few_shot.reasoned]
    pairs = [{"critic": p.critique_request, "revision": p.revision_request} for p in part.principles]
    # llm-swarm's script reads system_chat without asking whether it is there.
    return {
        "constitutions": pairs,
        "system_chat": [forms.write_chat(shot) for shot in part.few_shot.critique],
    }


def _lost(part: Constitution, text: str, form: Form) -> list[str]:
    """What reading the text again would not give back: one line per principle, its fields named."""
    try:
        principles, few_shot = _read_form(form, json.loads(text), Path("export"), set())
    except InputError as error:
        return [f"  {problem}" for problem in error.problems]
    fields: dict[str, list[str]] = {}
    renamed = []
    for old, new in zip(part.principles, principles, strict=True):
        if old.id != new.id:
            fields[old.id] = ["id"]
        # The rest is compared with what became of it, whatever that is called.
        renamed.append(replace(new, id=old.id))
    again = replace(part, principles=tuple(renamed), few_shot=few_shot)
    for change in diff(part, again):
        owner = change.principle or "few-shot examples"
        # Of keeps[0].prompt, keeps is named: the whole list goes.
        name = re.split(r"[\[.]", change.field)[0] if change.principle else change.field
        if name not in fields.setdefault(owner, []):
            fields[owner].append(name)
    return [f"  {owner}: {', '.join(names)}" for owner, names in fields.items()]
