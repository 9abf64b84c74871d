"""What a checkpoint came from, as a graph: constitution → chains, labels and files → PM → checkpoint.

Read from the card of the checkpoint (`checkpoint.json`) and, one after another, from the runs that it
names (their cards and `config.yaml`). Cards travel, and anyone may have written them: what they say is
text, and a run that can't be found is a node marked missing. Headless: `cai lineage`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pipeline import bundled, prompts
from pipeline import constitution as constitutions
from pipeline.bases import CARD, COMMIT, run_of
from pipeline.errors import UserError
from pipeline.models import bare
from pipeline.rundir import load_yaml
from pipeline.terminal import shown
from pipeline.train.saving import read_card

Kind = Literal["constitution", "chains", "labels", "file", "written", "base", "pm", "judge", "checkpoint"]

LARGEST = 2_000_000
"""Bytes of a config that is still read."""
LONGEST = 200
"""Characters of a card's text that are kept."""
OF_PROMPTS = ("helpful", "prompts")
"""Files of prompts alone, or shipped sets: those that SFT answered, and those of RL."""
OTHER_FILES = ("demonstrations", *OF_PROMPTS)


@dataclass(frozen=True)
class Node:
    """One thing that went in. `folder` is the run or checkpoint, where it was found.

    `missing`: it was looked for, and is not there; what it came from itself is then not known.
    """

    id: str
    kind: Kind
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    folder: Path | None = None
    missing: bool = False


@dataclass(frozen=True)
class Lineage:
    """The graph. The first node is the checkpoint itself; of each edge the first went into the second."""

    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]

    def into(self, id: str) -> list[Node]:
        """What went into a node, in the order in which its card names it."""
        by_id = {node.id: node for node in self.nodes}
        return [by_id[source] for source, target in self.edges if target == id]


def of(checkpoint: Path, within: Path | None = None) -> Lineage:
    """The lineage of a checkpoint's folder, of the run that holds it, or of a snapshot.

    A run that a card names is looked for at that path, and then by its name beside the run that names it.
    With `within` only what lies in that folder is opened. Raises UserError where there is no card.
    """
    if _card(checkpoint) is None:
        raise UserError(
            f"{checkpoint}: no {CARD} here that can be read: name a run of `cai sft`, `pm`, `rl` or `dpo`, "
            "or a checkpoint of one"
        )
    walk = _Walk(within.resolve() if within else None)
    walk.begin("checkpoint", checkpoint.resolve())
    for id, folder in walk.pending():
        walk.follow(id, folder, _card(folder) or {})
    return Lineage(tuple(walk.nodes.values()), tuple(walk.edges))


def tree(lineage: Lineage) -> str:
    """The graph as indented lines, the checkpoint first; what comes twice is written out once."""
    lines = []
    for depth, node, again in outline(lineage):
        notes = [f"{name} {value}" for name, value in node.facts] + (["NOT FOUND"] if node.missing else [])
        told = ", ".join(["as above"] if again else notes)
        lines.append(f"{'  ' * depth}{node.kind} {node.title}{f'  ({told})' if told else ''}")
    return "\n".join(lines)


def outline(lineage: Lineage) -> Iterator[tuple[int, Node, bool]]:
    """Each node with its depth, what went into it below; True for one whose inputs are written out above."""
    seen: set[str] = set()
    todo = [(0, lineage.nodes[0])]
    while todo:
        depth, node = todo.pop()
        into = lineage.into(node.id)
        yield depth, node, node.id in seen and bool(into)
        if node.id not in seen:
            seen.add(node.id)
            todo += [(depth + 1, below) for below in reversed(into)]


@dataclass
class _Walk:
    """The graph while it grows; `_todo` are the checkpoints that were found and not yet read."""

    within: Path | None
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)
    _todo: list[tuple[str, Path]] = field(default_factory=list)

    def begin(self, kind: Kind, folder: Path) -> str:
        """A checkpoint's node, which is to be read, once: so a circle of cards ends."""
        folder = folder.parent if folder.name == "checkpoint" else folder  # one node, by either path
        id = f"checkpoint:{folder}"
        if id not in self.nodes:
            named = f"{run_of(folder).name}/{folder.name}" if folder.parent.name == "snapshots" else ""
            named = next((name for name, (place, _) in bundled.TAUGHT.items() if place == folder), named)
            title = _text(named or run_of(folder).name)
            self.nodes[id] = Node(id, kind, title, folder=folder)
            self._todo.append((id, folder))
        return id

    def pending(self) -> Iterator[tuple[str, Path]]:
        """The checkpoints to read, those too that come up meanwhile."""
        while self._todo:
            yield self._todo.pop(0)

    def follow(self, id: str, folder: Path, card: Mapping[str, Any]) -> None:
        """Add what a card names."""
        lineage = _mapping(card.get("lineage"))
        facts = {name: card.get(name) for name in ("method", "step", "parameters")}
        facts |= {name: lineage.get(name) for name in ("seed", "gate", "override_gate")}
        self.nodes[id] = replace(self.nodes[id], facts=_facts(facts))
        self._constitution(id, lineage.get("constitution"), "")
        beside = run_of(folder)
        sources = lineage.get("sources")
        for source in sources if isinstance(sources, list) else ():
            self._source(id, _mapping(source), beside)
        for role in ("pm", "judge"):
            if lineage.get(role):
                self._model(id, role, lineage[role], lineage.get(f"{role}_revision"), beside)
        if card.get("base"):
            self._model(id, "base", card["base"], card.get("base_revision"), beside)

    def _source(self, target: str, source: Mapping[str, Any], beside: Path) -> None:
        kind = next((k for k in ("chains", "labels", "written", "human", *OTHER_FILES) if k in source), "")
        if kind in ("chains", "labels"):
            self._run(target, "chains" if kind == "chains" else "labels", source, beside)
        elif kind == "written":
            title = f"the project's own: {_text(source[kind])}"
            facts = {name: source.get(name) for name in ("count", "reserved", "skills", "responses_by")}
            name = f"written:{title}:{source.get('reserved', '')}"
            id = self._add(target, Node(name, "written", title, _facts(facts)))
            self._constitution(id, source.get("constitution"), "")
        elif kind:
            facts = {name: source.get(name) for name in ("axis", "count", "kinds", "model")}
            title = _text(source[kind])
            # What lies outside of `within` was not looked for.
            missing = self.within is None and not self._find(source[kind], beside)
            missing = missing and not (kind in OF_PROMPTS and prompts.shipped(source[kind]))
            told = _facts({"of": kind, **facts})
            name = f"file:{kind}:{title}:{_text(source.get('count'))}"  # a file's first 9 are another thing
            id = self._add(target, Node(name, "file", title, told, missing=missing))
            self._made(id, source.get("model"), beside)

    def _run(
        self, target: str, kind: Literal["chains", "labels"], source: Mapping[str, Any], at: Path
    ) -> None:
        """A run of `cai critique` or `cai label`, its constitutions, and its model where that was trained."""
        folder = self._find(source[kind], at)
        facts = {name: source.get(name) for name in ("count", "method", "calibration", "seed", "seeds")}
        by, critics = source.get("model") or source.get("models"), source.get("critics")
        title = _text(Path(str(source[kind])).name)
        told = _facts({**facts, "model": by, "critic": critics})
        id = f"{kind}:{folder or _text(source[kind])}"
        self._add(target, Node(id, kind, title, told, folder, missing=not folder))
        several = source.get("constitutions")
        versions = several if isinstance(several, list) else [source.get("constitution")]
        # A copy among a run's inputs may hold less than the run of that name beside it.
        places = {folder, self._find(Path(title).name, at)}
        names = dict(_constitution_in(place) for place in places if place)
        if isinstance(source.get("constitution"), str):
            names.setdefault(source["constitution"], _text(source.get("constitution_name")))
        for version in versions:
            self._constitution(id, version, names.get(_text(version), ""))
        self._made(id, by, at)
        self._made(id, critics, at)

    def _made(self, id: str, by: object, at: Path) -> None:
        """What wrote or judged a node's rows, a model or a list of them: one that was trained is followed."""
        for one in by if isinstance(by, list) else [by]:
            if not isinstance(one, str):
                continue
            found = None if bare(one) == "bundled" else self._find(one, at)
            if found and _card(found) is not None:
                self._edge(self.begin("checkpoint", found), id)

    def _model(self, target: str, kind: Kind, name: object, revision: object, at: Path) -> None:
        """A model that a card names: a trained one, which is followed, or one that training began from."""
        hub = isinstance(revision, str) and COMMIT.fullmatch(revision.rpartition("+")[2])
        found = None if hub or name == "bundled" else self._find(name, at)
        if found and _card(found) is not None:
            self._edge(self.begin("checkpoint" if kind == "base" else kind, found), target)
            return
        # A name alone may be a hub's; a path that leads nowhere, and a PM, are lost.
        path = isinstance(name, str) and (name.startswith((".", "~", "/")) or name.count("/") > 1)
        missing = not found and not hub and (kind != "base" or path)
        title, told = _text(name), _facts({"revision": revision})
        self._add(target, Node(f"{kind}:{title}", kind, title, told, missing=missing))

    def _constitution(self, target: str, version: object, name: object) -> None:
        known = _text(version)
        if known:
            title = f"{_text(name)} {known[:8]}".strip()
            told = _facts({"version": version})
            self._add(target, Node(f"constitution:{known}", "constitution", title, told))

    def _add(self, target: str, node: Node) -> str:
        """A node that goes into another."""
        old = self.nodes.get(node.id)
        # The same constitution may be named by one run, and be a bare version to another.
        if old is None or len(old.title) < len(node.title):
            self.nodes[node.id] = node
        self._edge(node.id, target)
        return node.id

    def _edge(self, source: str, target: str) -> None:
        self.edges[source, target] = None

    def _find(self, name: object, beside: Path) -> Path | None:
        """Where a card's path leads: as it stands, or the same name beside the run that names it.

        The adapters of this package are there, whatever folder is looked in.
        """
        if not isinstance(name, str) or not name.strip():
            return None
        name = bare(name)
        if name in bundled.TAUGHT:
            return bundled.TAUGHT[name][0]
        try:
            path = Path(name).expanduser()
            for place in (path, beside.parent / path.name):
                whole = place.resolve()
                if (self.within is None or whole.is_relative_to(self.within)) and whole.exists():
                    return whole
        except (OSError, ValueError, RuntimeError):  # no such home, a NUL, a circle of links
            return None
        return None


def _card(folder: Path) -> dict[str, Any] | None:
    """A checkpoint's card; of a training run that has none yet, what its config says."""
    try:
        card = read_card(folder)
        if isinstance(card, dict) and card:
            return card
        config = _config(folder)
    except (OSError, ValueError, RecursionError):
        return None
    if config.get("stage") not in ("sft", "pm", "rl", "dpo"):
        return None
    return {
        "method": f"{config['stage']}, not finished",
        "base": config.get("model"),
        "base_revision": config.get("model_revision"),
        "lineage": config,
    }


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.yaml"
    if not path.is_file() or path.stat().st_size > LARGEST:
        return {}
    return dict(_mapping(load_yaml(path)))


def _constitution_in(run: Path) -> tuple[str, str]:
    """The version and name of the constitution that a run was made under, by its content."""
    try:
        found = constitutions.load(run / "inputs" / "constitution.yaml")
    except (UserError, OSError):
        return "", ""
    return found.version, found.name


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _facts(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    told = {name: _text(value) for name, value in values.items() if value is not None}
    return tuple((name.replace("_", " "), text) for name, text in told.items() if text)


def _text(value: object) -> str:
    """A card's word as one line, without what a terminal would obey."""
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value[:8] if not isinstance(item, list))[:LONGEST]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000:
        return f"{value:,}"[:LONGEST] if abs(value) < 10**15 else "a very large number"
    if not isinstance(value, str | int | float | bool):
        return ""
    said = " ".join(str(value)[: 4 * LONGEST].split())
    return shown(said)[:LONGEST]
