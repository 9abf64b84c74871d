"""Branching from a step of a chain, and what branched: the controls, the family, two chains side by side.

A branch is a new chain; nothing here changes one that there is. All text of models and people is escaped;
the only live markup is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from pipeline.records import Step
from studio.components.chain_view import STATUS, Principles, numbered, plain, revised, step_name, verdict_chip
from studio.components.chain_view import step as step_html
from studio.escaping import escape, exact
from studio.progress import plural
from studio.store.chains import StoredChain
from studio.store.families import Member

SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def step_acts(chain: str, at: int, steps: Sequence[Step], model: str) -> str:
    """Edit and Redraw for the step at a position, and the form that Edit opens."""
    step = steps[at]
    label = escape(f"{step_name(step.kind, steps[:at])}: ")
    # What opens a round draws its principle: the critique, or the revision where there is none.
    opens = step.principle is not None and steps[at - 1].kind != "critique"
    rest = "the step, its principle and the rest" if opens else "the step and the rest"
    # A text area drops a line break that comes first, so one is put there for it.
    return (
        f'<span class="cai-acts" data-chain="{exact(chain)}" data-position="{at}">'
        f'<button type="button" class="cai-link" data-branch="edit" aria-label="{label}edit">Edit</button>'
        f'<button type="button" class="cai-link" data-branch="redraw" aria-label="{label}redraw"'
        f' title="Draw {rest} with a new seed, as a branch">Redraw</button></span>'
        f'<span class="cai-edit" hidden data-chain="{exact(chain)}" data-position="{at}">'
        f'<textarea aria-label="{label}your text" rows="5">\n{exact(step.text)}</textarea>'
        '<span class="cai-edit-do"><button type="button" class="cai-small cai-primary" data-branch="run">'
        "Branch</button>"
        '<button type="button" class="cai-small" data-branch="cancel">Cancel</button>'
        f'<span class="cai-muted">A new chain with your text here; {escape(model)} writes what comes after.'
        " This chain stays.</span></span></span>"
    )


def family_html(kin: Sequence[Member], current: str, beside: str = "") -> str:
    """The chain's family as a tree of links, each said by where and how it branched; empty if it is alone."""
    if len(kin) < 2:
        return ""
    items = "".join(_member(member, _depth(member, kin), current, beside) for member in kin)
    return (
        f'<details class="cai-family" open><summary>Family of {plural(len(kin), "chain")}</summary>'
        f"<ul>{items}</ul></details>"
    )


def compare_html(left: StoredChain, right: StoredChain, principles: Principles, kin: Sequence[Member]) -> str:
    """Two chains in columns, a row a position; on the right, what differs from the left."""
    names = {member.id: _branched(member) for member in kin}
    rows = "".join(
        f'<div class="cai-pair">{_side(at, left, principles)}{_other(at, left, right, principles)}</div>'
        for at, _ in enumerate(zip_longest(left.steps, right.steps))
    )
    heads = "".join(
        f'<div class="cai-pair-head"><a href="chains?chain={exact(chain.id)}">{names[chain.id]}</a>'
        f'<span class="cai-muted">seed {chain.seed} · {STATUS[chain.status]}</span></div>'
        for chain in (left, right)
    )
    close = f'<a class="cai-small" href="chains?chain={exact(left.id)}">Close the comparison</a>'
    return (
        f'<section class="cai-compare" aria-label="Two chains side by side">{close}'
        f'<div class="cai-pair">{heads}</div>{rows}</section>'
    )


def _member(member: Member, depth: int, current: str, beside: str) -> str:
    here = member.id == current
    name = f"{_branched(member)}, {member.created:%b %d %H:%M} by {escape(member.author)}"
    mark = ' aria-current="true"' if here else ""
    link = f'<a href="chains?chain={exact(member.id)}"{mark}>{name}</a>'
    compare = f'<a href="chains?chain={exact(current)}&amp;with={exact(member.id)}">Compare</a>'
    facts = f'<span class="cai-muted">seed {member.seed} · {STATUS[member.status]}</span>'
    chip = verdict_chip(member.verdict) if member.verdict != "none" else ""
    tail = '<span class="cai-muted">shown here</span>' if here else compare
    if member.id == beside:
        tail = '<span class="cai-muted">shown beside</span>'
    return f'<li style="--depth: {depth}">{link}{facts}{chip}{tail}</li>'


def _branched(member: Member) -> str:
    if member.branch_step is None:
        return "First chain"
    if member.kind is None:
        return f"Branch at step {member.branch_step + 1}"
    how = "edited" if member.step_author == "person" else "redrawn"
    who = {"person": "■", "model": "◆"}.get(member.step_author or "", "")
    return f"{who} {numbered(member.kind, member.number)} {how}"


def _depth(member: Member, kin: Sequence[Member]) -> int:
    parents = {other.id: other.parent for other in kin}
    depth, id = 0, member.parent
    while id is not None and depth < len(kin):
        depth, id = depth + 1, parents.get(id)
    return depth


def _side(at: int, chain: StoredChain, principles: Principles) -> str:
    if at >= len(chain.steps):
        return '<div class="cai-muted">no such step</div>'
    return f"<div>{_plainly(at, chain, principles, plain(chain.steps[at].text))}</div>"


def _other(at: int, left: StoredChain, right: StoredChain, principles: Principles) -> str:
    if at >= len(left.steps) or at >= len(right.steps):
        return _side(at, right, principles)
    one, two = left.steps[at], right.steps[at]
    same = '<p class="cai-muted">The same text.</p>'
    body = same if one.text == two.text else revised(one.text, two.text)
    return f"<div>{_plainly(at, right, principles, body)}</div>"


def _plainly(at: int, chain: StoredChain, principles: Principles, body: str) -> str:
    return step_html(at, chain.steps, principles, body=body)
