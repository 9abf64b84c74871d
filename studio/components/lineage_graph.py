"""A checkpoint's lineage as a drawing, from left to right, and as a table behind it.

Names come from cards that anyone may have written: all of them are escaped. Colours are the page's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.lineage import Lineage, Node
from studio.escaping import escape, exact, isolated

MOST = 40
"""Nodes that are drawn. The table has all of them."""
WIDTH, HEIGHT, APART, BETWEEN, EDGE = 186, 48, 14, 46, 6
LETTERS = 23
KINDS = {
    "constitution": "constitution",
    "chains": "chains",
    "labels": "AI labels",
    "file": "file",
    "written": "written data",
    "base": "base model",
    "pm": "preference model",
    "judge": "judge, watches",
    "checkpoint": "checkpoint",
}
# People's words and choices against what models wrote: by colour and by shape, as everywhere.
WHO = {"constitution": "person", "chains": "model", "labels": "model"}
MARKS = {"person": "■", "model": "◆", "": "●"}


@dataclass(frozen=True)
class Shown:
    """How a node is called here, and the page where it is (empty: none)."""

    title: str
    href: str = ""


Placed = dict[str, tuple[float, float]]
_Item = tuple[str, str]
"""A node (its id, ""), or the place where an edge passes through a column (source, target)."""


def graph_html(lineage: Lineage, shown: Mapping[str, Shown]) -> str:
    """The drawing: what went in on the left, the checkpoint on the right; nodes link to their pages."""
    nodes = _nearest(lineage)
    layers = _layers(lineage, nodes)
    columns, routes = _columns(lineage, layers)
    tallest = max(len(column) for column in columns.values())
    height = tallest * (HEIGHT + APART) - APART + 2 * EDGE
    last = max(columns)
    places: dict[_Item, tuple[float, float]] = {}
    at: dict[tuple[_Item, int], tuple[float, float]] = {}
    for layer, column in columns.items():
        x = EDGE + (last - layer) * (WIDTH + BETWEEN)
        top = (height - len(column) * (HEIGHT + APART) + APART) / 2
        for row, item in enumerate(column):
            at[item, layer] = places[item] = (x, top + row * (HEIGHT + APART))
    lines = "".join(_line(route, at) for route in routes)
    by_id = {node.id: node for node in lineage.nodes}
    boxes = "".join(
        _box(by_id[id], shown.get(id) or Shown(by_id[id].title), places[id, ""], id == lineage.nodes[0].id)
        for id in nodes
    )
    width = last * (WIDTH + BETWEEN) + WIDTH + 2 * EDGE
    left = len(lineage.nodes) - len(nodes)
    more = f'<p class="cai-muted">{left:,} more are in the table.</p>' if left else ""
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return (
        '<div class="cai-lineage" tabindex="0" role="group" aria-label="Lineage, drawn">'
        f"<svg {size}>{lines}{boxes}</svg></div>{more}"
    )


def table_html(lineage: Lineage, shown: Mapping[str, Shown]) -> str:
    """The same as a table: what it is, what is known of it, and what went into it."""
    rows = "".join(_row(lineage, node, shown) for node in lineage.nodes[:500])
    head = "".join(f'<th scope="col">{title}</th>' for title in ("What", "Name", "Known of it", "Made from"))
    return f'<table class="cai-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def who(node: Node) -> str:
    """Whose words these are: `person`, `model`, or nobody's."""
    if node.kind == "file":
        return "person" if dict(node.facts).get("of") == "human" else ""
    return WHO.get(node.kind, "")


def _row(lineage: Lineage, node: Node, shown: Mapping[str, Shown]) -> str:
    facts = [f"{escape(name)} {escape(value)}" for name, value in node.facts]
    facts += ["<b>not in this session</b>"] if node.missing else []
    into = ", ".join(_named(source, shown) for source in lineage.into(node.id))
    mark = f'<span class="cai-mark-{who(node) or "none"}" aria-hidden="true">{MARKS[who(node)]}</span>'
    return (
        f'<tr><td class="cai-nowrap">{mark} '
        f'{escape(KINDS[node.kind])}</td><th scope="row">{_named(node, shown)}</th>'
        f"<td>{' · '.join(facts)}</td><td>{into}</td></tr>"
    )


def _named(node: Node, shown: Mapping[str, Shown]) -> str:
    known = shown.get(node.id) or Shown(node.title)
    title = escape(known.title)
    return f'<a href="{exact(known.href)}">{title}</a>' if known.href else title


def _nearest(lineage: Lineage) -> list[str]:
    """The nodes to draw: the checkpoint, then what is nearest to it."""
    found = [lineage.nodes[0].id]
    for id in found:
        found += [node.id for node in lineage.into(id) if node.id not in found][: MOST - len(found)]
    return found


def _layers(lineage: Lineage, nodes: Sequence[str]) -> dict[str, int]:
    """How far each node is from the checkpoint by its longest way; a circle is cut where it closes."""
    order: list[str] = []
    layers = {nodes[0]: 0}
    ways: list[tuple[str, str]] = []
    open_: list[str] = []

    def visit(id: str) -> None:
        open_.append(id)
        for node in lineage.into(id):
            if node.id in open_ or node.id not in nodes:
                continue
            ways.append((node.id, id))
            if node.id not in order:
                visit(node.id)
        open_.pop()
        order.append(id)

    visit(nodes[0])
    for id in reversed(order):
        for source, target in ways:
            if target == id:
                layers[source] = max(layers.get(source, 0), layers[id] + 1)
    return layers


def _columns(
    lineage: Lineage, layers: Mapping[str, int]
) -> tuple[dict[int, list[_Item]], list[list[tuple[_Item, int]]]]:
    """What stands in each column, from the top, and the way of each edge through them.

    An edge over several columns has a place in each, so that it passes between boxes. Each item stands as
    high as what it leads to.
    """
    columns: dict[int, list[_Item]] = {layer: [] for layer in sorted(set(layers.values()))}
    routes = []
    for source, target in lineage.edges:
        if source not in layers or target not in layers or layers[source] <= layers[target]:
            continue
        between = range(layers[target] + 1, layers[source])
        route: list[tuple[_Item, int]] = [((target, ""), layers[target])]
        route += [((source, target), layer) for layer in between]
        routes.append([*route, ((source, ""), layers[source])])
        for layer in between:
            columns[layer].append((source, target))
    for id, layer in layers.items():
        columns[layer].insert(0, (id, ""))
    rows: dict[tuple[_Item, int], int] = {}
    for layer, column in columns.items():
        column.sort(key=lambda item: _height(item, layer, routes, rows))
        rows.update({(item, layer): row for row, item in enumerate(column)})
    return columns, routes


def _height(
    item: _Item,
    layer: int,
    routes: Sequence[Sequence[tuple[_Item, int]]],
    rows: Mapping[tuple[_Item, int], int],
) -> float:
    leads = [
        rows[before]
        for route in routes
        for before, after in pairwise(route)
        if after == (item, layer) and before in rows
    ]
    return sum(leads) / len(leads) if leads else 0.0


def _line(route: Sequence[tuple[_Item, int]], at: Mapping[tuple[_Item, int], tuple[float, float]]) -> str:
    """From a node to what it went into, as one curve through the places between."""
    points = [at[item] for item in reversed(route)]
    x, y = points[0]
    path = f"M{x + WIDTH:.0f} {y + HEIGHT / 2:.0f}"
    for (x1, y1), (x2, y2) in pairwise(points):
        middle = x1 + WIDTH + BETWEEN / 2
        one, two = y1 + HEIGHT / 2, y2 + HEIGHT / 2
        path += f"C{middle:.0f} {one:.0f} {middle:.0f} {two:.0f} {x2:.0f} {two:.0f}"
        if (x2, y2) != points[-1]:
            path += f"H{x2 + WIDTH:.0f}"
    return f'<path class="cai-edge" d="{path}"/>'


def _box(node: Node, known: Shown, place: tuple[float, float], goal: bool) -> str:
    x, y = place
    kind = KINDS[node.kind]
    facts = dict(node.facts)
    told = facts.get("method") if node.kind == "checkpoint" else facts.get("count")
    under = f"{kind} · {told}" if told else kind
    under = "not in this session" if node.missing else under
    names = " ".join(["cai-node", *(["cai-lost"] if node.missing else []), *(["cai-goal"] if goal else [])])
    whole = "\n".join(
        [f"{kind}: {isolated(known.title)}", *(f"{name} {isolated(value)}" for name, value in node.facts)]
    )
    box = (
        f'<g class="{names}" transform="translate({x:.0f} {y:.0f})"><title>{escape(whole)}</title>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="7"/>'
        f'<text class="cai-mark-{who(node) or "none"}" x="10" y="20">{MARKS[who(node)]}</text>'
        f'<text class="cai-node-title" x="26" y="20">{escape(_short(known.title))}</text>'
        f'<text class="cai-node-kind" x="26" y="37">{escape(_short(under, LETTERS + 3))}</text></g>'
    )
    return f'<a href="{exact(known.href)}">{box}</a>' if known.href else box


def _short(text: str, most: int = LETTERS) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
