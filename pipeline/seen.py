"""What a model has seen: its training prompts, the pairs it learnt from, and the preference models that
rewarded it, as far as its run says. So that no model is measured on what it was trained on (`cai evaluate`).

A checkpoint's lineage is followed down to what it began from. What wrote its chains or judged its labels was
trained on its own prompts, which the checkpoint itself has not seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline import bounded, bundled, comparisons, lineage, models, prompts, written
from pipeline.bases import run_of, same_revision
from pipeline.errors import UserError
from pipeline.lineage import Node
from pipeline.prompt_rows import rows
from pipeline.records import Message, Prompt

TOLD = 20
"""Prompts that a refusal lists."""
_CHARACTERS = 70

Key = tuple[tuple[str, str], ...]


@dataclass
class Seen:
    """Prompts by what they say, each with the place it was learnt at; pairs by id; what is not known."""

    prompts: dict[Key, str] = field(default_factory=dict)
    pairs: set[str] = field(default_factory=set)
    rewards: list[Path] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def key(messages: Iterable[Message | Mapping[str, Any]]) -> Key:
    """What a prompt says: without system prompts, and whatever its case and space."""
    plain = [(m.role, m.content) if isinstance(m, Message) else (m["role"], m["content"]) for m in messages]
    return tuple((role, " ".join(text.split()).casefold()) for role, text in plain if role != "system")


def of(name: str) -> Seen:
    """What the model of this name has seen. A hub's and the bundled one say nothing, and neither do we."""
    name, seen = models.bare(name), Seen()
    folder = bundled.place(name)
    if name == "bundled" or not folder.is_dir():
        return seen
    try:
        graph = lineage.of(folder)
    except UserError:
        seen.unknown.append("it has no checkpoint.json")
        return seen
    todo, done = [graph.nodes[0]], set[str]()
    while todo:
        node = todo.pop()
        done.add(node.id)
        into = graph.into(node.id)
        if node.folder:
            _run(seen, node, into)
        for below in into:
            if below.kind == "checkpoint" and below.id not in done:
                todo.append(below)
            elif below.kind == "pm" and below.folder:
                seen.rewards.append(below.folder)
            elif below.kind in _READERS and node.folder:
                _source(seen, below, run_of(node.folder))
            elif below.missing and below.kind in ("base", "pm"):
                seen.unknown.append(f"{below.kind} {below.title} is not here")
    if not seen.prompts and not seen.unknown:
        seen.unknown.append("its card names no prompts")
    return seen


def require_heldout(names: Sequence[str], asked: Sequence[Prompt]) -> list[str]:
    """Raise UserError, with the list, where a model was trained on a prompt; returns what is not known."""
    overlap, notes = [], []
    for name in names:
        seen = of(name)
        notes += [f"{name}: what it was trained on is not wholly known: {why}" for why in seen.unknown]
        overlap += [
            f"{name}: {prompt.id} “{_short(prompt)}” ({seen.prompts[key(prompt.messages)]})"
            for prompt in asked
            if key(prompt.messages) in seen.prompts
        ]
    if overlap:
        more = len(overlap) - TOLD
        rest = [f"and {more:,} more"] if more > 0 else []
        listed = "\n  ".join(overlap[:TOLD] + rest)
        raise UserError(f"models were trained on prompts that they are to be measured on:\n  {listed}")
    return notes


def require_apart(names: Sequence[str], judge: str, scores: bool = True) -> list[str]:
    """Raise UserError where a judge learnt from pairs that what it judges was trained on too.

    Directly (DPO), or against a preference model that learnt from them. `scores`: the judge is itself a
    preference model; a feedback model may have learnt from none. Returns what is not known.
    """
    from pipeline.train import preference

    notes = []
    own = preference.trained_on(judge) if scores else of(judge).pairs
    if not own and not scores:
        return []  # a server's model, and one that may not be here yet, too
    revision = models.resolve(judge).revision
    if not own:
        notes.append(f"{judge}: does not say which pairs it was trained on, so none are known to be shared")
    for name in names:
        seen = of(name)
        for reward in seen.rewards:
            if same_revision(models.resolve(str(reward)).revision, revision):
                raise UserError(f"{judge}: is what rewarded {name}, and so can't judge it: take another")
            preference.apart(str(reward), judge, own)
            if not preference.trained_on(str(reward)):
                notes.append(f"{name}: the pairs that trained its reward {reward.name} are not known")
        if shared := len(own & seen.pairs):
            raise UserError(
                f"{judge}: shares {shared:,} training pairs with {name}, and so can't judge it: train the "
                "judge on pairs that the model has not seen"
            )
    return notes


def _run(seen: Seen, node: Node, sources: Sequence[Node]) -> None:
    """The prompts that lie in a training run itself: those of RL, and the helpful ones that SFT answered."""
    run = run_of(node.folder or Path())
    for path in _kept(run, "prompts"):
        _take(seen, path, _prompts)
    for path in _kept(run, "helpful"):
        _take(seen, path, _answered)
    named = any(dict(source.facts).get("of") == "prompts" for source in sources)
    if dict(node.facts).get("method") in ("rloo", "grpo") and not named and not _kept(run, "prompts"):
        seen.unknown.append(f"the card of {node.title} does not name the prompts of its RL")


def _kept(run: Path, of: str) -> list[Path]:
    """The files of prompts that a run holds, those of RL in whatever form they were given."""
    return sorted((run / "inputs").glob("prompts*") if of == "prompts" else run.glob("outputs/helpful.jsonl"))


def _source(seen: Seen, node: Node, beside: Path) -> None:
    """What a node of the lineage holds: chains, labels, a file, or the project's own pairs."""
    if node.kind == "written":
        _written(seen, node)
        return
    facts = dict(node.facts)
    of = facts.get("of", node.kind)
    alone = of in lineage.OF_PROMPTS
    if alone and _kept(beside, of):
        return  # exactly these: see `_run`
    shipped = alone and prompts.shipped(node.title)
    path = Path(node.title) if shipped else node.folder or _find(node.title, beside)
    if path is None:
        seen.unknown.append(f"its {of} {node.title} are not here")
        return
    if path.is_dir():
        path = path / ("outputs/chains.jsonl" if node.kind == "chains" else "inputs/pairs.jsonl")
    _take(seen, path, _first(facts) if alone else _READERS[of])


def _written(seen: Seen, node: Node) -> None:
    name, facts = re.sub(r"^the project's own: ", "", node.title), dict(node.facts)
    if name == "critic":
        told = facts.get("skills", "").split(", ")
        for asked, pair in written.critic_prompts([s for s in written.SKILLS if s in told] or written.SKILLS):
            seen.prompts.setdefault(key(asked), node.title)
            seen.pairs.update([pair] * bool(pair))
    elif name in written.SETS:
        reserved = facts.get("reserved") == "True"
        for one in written.preferences(name, reserved):
            seen.prompts.setdefault(key(one.pair.messages), node.title)
            seen.pairs.add(one.pair.id)


def _find(title: str, beside: Path) -> Path | None:
    """A file that a card names: as it stands, or of that name beside the run."""
    with suppress(OSError, ValueError, RuntimeError):  # no such home, a NUL, a name too long
        places = (Path(title).expanduser(), beside.parent / Path(title).name)
        return next((place for place in places if place.exists()), None)
    return None


def _take(seen: Seen, path: Path, read: Callable[[Path], Iterator[tuple[Key, str]]]) -> None:
    of_run = path.parent.name in ("inputs", "outputs")
    place = f"{path.parent.parent.name}/{path.name}" if of_run else path.name
    try:
        for prompt, pair in read(path):
            seen.prompts.setdefault(prompt, place)
            seen.pairs.update([pair] * bool(pair))
    except (UserError, OSError, ValueError, KeyError, TypeError) as error:
        seen.unknown.append(f"{path} can't be read: {error}")


def _prompts(path: Path) -> Iterator[tuple[Key, str]]:
    yield from ((key(prompt.messages), "") for prompt in prompts.read(path).prompts)


def _first(facts: Mapping[str, str]) -> Callable[[Path], Iterator[tuple[Key, str]]]:
    """A reader of as many prompts as were taken of a file; of all where its card does not say."""
    taken = bounded.number(facts.get("count", "").replace(",", ""), bounded.MAX_ROWS)

    def read(path: Path) -> Iterator[tuple[Key, str]]:
        with prompts.find(path) as file:
            yield from islice(_prompts(file), taken)

    return read


def _pairs(path: Path) -> Iterator[tuple[Key, str]]:
    yield from ((key(pair.messages), pair.id) for pair in comparisons.read(path).pairs)


def _chains(path: Path) -> Iterator[tuple[Key, str]]:
    yield from ((key(row["messages"]), "") for row in _rows(path))


def _answered(path: Path) -> Iterator[tuple[Key, str]]:
    yield from ((key(row["messages"][:-1]), "") for row in _rows(path))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    yield from (row.value for row in rows(path) if isinstance(row.value, dict))


_READERS = {
    "chains": _chains,
    "labels": _pairs,
    "human": _pairs,
    "demonstrations": _answered,
    "file": _answered,
    "written": _answered,
}
"""By the kind of a node, or by what its file is of."""


def _short(prompt: Prompt) -> str:
    text = " ".join(prompt.messages[-1].content.split())
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"
