"""The pairs behind a figure, and triage: where AI and human disagree most, with all that the AI said.

All text from models and people is escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from pipeline.records import Axis, Label, Pair, Principle
from studio.components.audit_sides import shown
from studio.components.chain_view import plain, turn
from studio.escaping import escape, exact
from studio.progress import plural

SIDES = {1.0: "a", 0.0: "b", 0.5: "tie"}


LETTERS = "a and b are the pair’s own sides; the Audit page shows them as A and B in an order drawn for you."

NOT_BLIND = "The AI’s labels stand here: a pair that you have yet to judge, you judge no longer blind."


@dataclass(frozen=True)
class Held:
    """One judgment of a pair beside the AI's label. `choice` is 1 for a, 0 for b, ½ for a tie."""

    pair: Pair
    p_a: float
    p_ab: float
    p_ba: float
    choice: float
    who: str = "human"  # whose choice it is: a data set's, or another model's, is never called a human's
    viewer: str = ""  # who looks: the audit page shows each annotator the sides in an order of their own

    @property
    def apart(self) -> float:
        """How far the AI is from the human, 0 to 1."""
        return abs(self.p_a - self.choice)

    def shown_as(self, side: str) -> str:
        """“shown as A”: a side's letter on the viewer's audit page; empty where nobody is said to look."""
        first = shown(self.pair, self.viewer).first if self.viewer else ""
        return f"shown as {'A' if first == side else 'B'}" if first else ""


def list_html(title: str, held: Sequence[Held], total: int, axis: Axis) -> str:
    """The pairs behind a figure, in a drawer; `total` where there are more than are listed."""
    more = f", the first {len(held):,} of them" if total > len(held) else ""
    rows = "".join(_row(one, axis) for one in held) or '<li class="cai-muted">None.</li>'
    return (
        f'<aside class="cai-drawer" role="dialog" aria-label="Pairs behind the figure" tabindex="-1">'
        f'<div class="cai-drawer-head"><h2>{title}</h2>'
        '<button type="button" class="cai-small" data-open="" aria-keyshortcuts="Escape">Close</button></div>'
        f'<p class="cai-muted">{plural(total, "judgment")}{more}. {LETTERS} {NOT_BLIND}</p>'
        f'<ul class="cai-list cai-behind">{rows}</ul></aside>'
    )


def pair_link(id: str, axis: Axis) -> str:
    """Where a pair is judged and looked at, relative to the page's base.

    Beside the link stands the AI's label: who has not judged the pair yet does so no longer blind.
    """
    return escape("audit?" + urlencode({"pair": id, "axis": axis, "shown": 1}))


def asked(pair: Pair, most: int = 140) -> str:
    """The person's last message, shortened; escaped."""
    text = " ".join(next((m.content for m in reversed(pair.messages) if m.role == "user"), "").split())
    return escape(text if len(text) <= most else f"{text[: most - 1]}…")


def meter(p: float, choice: float | None = None) -> str:
    """The AI's probability as a bar from b (left) to a (right), the human's choice as a mark."""
    human = "" if choice is None else f'<i class="cai-p-human" style="left:{choice:.0%}"></i>'
    return (
        f'<span class="cai-p" title="the AI: {p:.1%} for a"><i class="cai-p-ai" '
        f'style="left:{p:.1%}"></i>{human}'
        "</span>"
    )


def said(one: Held) -> str:
    """What both hold, in words with their shapes."""
    order = "" if (one.p_ab > 0.5) == (one.p_ba > 0.5) else ' <span class="cai-muted">orders disagree</span>'
    return (
        f'<span class="cai-person"><span class="cai-who">{one.who}: {SIDES[one.choice]}</span></span> '
        f'<span class="cai-model"><span class="cai-who">AI: {one.p_a:.1%} for a</span></span>{order}'
        f"{_quiet(f'a {as_a}' if (as_a := one.shown_as('a')) else '')}"
    )


def _quiet(words: str) -> str:
    return f' <span class="cai-muted">{words}</span>' if words else ""


def triage_html(
    held: Sequence[Held],
    labels: Mapping[str, Sequence[Label]],
    principles: Mapping[str, Principle],
    constitution: str,
    axis: Axis,
) -> str:
    """A card for each pair, the furthest apart first; its principles link to the Constitution page."""
    if not held:
        return '<p class="cai-muted">The AI takes the other side on no judged pair.</p>'
    cards = [_card(one, labels.get(one.pair.id, ()), principles, constitution, axis) for one in held]
    return f'<div class="cai-triage">{"".join(cards)}</div>'


def _row(one: Held, axis: Axis) -> str:
    return (
        f'<li><a href="{pair_link(one.pair.id, axis)}"><span class="cai-list-prompt">{asked(one.pair)}</span>'
        f'<span class="cai-behind-said">{said(one)} {meter(one.p_a, one.choice)}</span></a></li>'
    )


def _card(
    one: Held,
    labels: Sequence[Label],
    principles: Mapping[str, Principle],
    constitution: str,
    axis: Axis,
) -> str:
    turns = "".join(turn(message) for message in one.pair.messages)
    table = "".join(_label(label, one, principles, constitution) for label in labels)
    return (
        f'<details class="cai-triage-card" data-pair="{exact(one.pair.id)}"><summary>'
        f'<span class="cai-list-prompt">{asked(one.pair)}</span>'
        f'<span class="cai-behind-said">{said(one)} {meter(one.p_a, one.choice)}</span></summary>'
        f"{turns}<div class='cai-pair'>{_response(one, 'a')}{_response(one, 'b')}</div>"
        '<table class="cai-table"><thead><tr><th>Principle</th><th>P(a better)</th><th>a shown first</th>'
        f"<th>b shown first</th><th></th></tr></thead><tbody>{table}</tbody></table>"
        f'<p><a href="{pair_link(one.pair.id, axis)}">Open this pair on the Audit page</a></p></details>'
    )


def _response(one: Held, side: str) -> str:
    text = one.pair.response_a if side == "a" else one.pair.response_b
    marks = ""
    if SIDES[one.choice] == side:
        marks += f'<span class="cai-person"><span class="cai-who">{one.who}’s choice</span></span>'
    if one.p_a != 0.5 and (one.p_a > 0.5) == (side == "a"):
        marks += '<span class="cai-model"><span class="cai-who">AI’s choice</span></span>'
    label = f"{side}{_quiet(one.shown_as(side))} {marks}"
    return f'<section class="cai-step"><div class="cai-label">{label}</div>{plain(text)}</section>'


def _label(label: Label, one: Held, principles: Mapping[str, Principle], constitution: str) -> str:
    principle = principles.get(label.principle)
    title = escape(principle.title if principle else label.principle)
    where = escape("constitution?" + urlencode({"name": constitution, "principle": label.principle}))
    off = f" · against the {one.who}" if abs(label.p_a - one.choice) > 0.5 else ""
    return (
        f"<tr><td>§ {title}</td><td><b>{label.p_a:.1%}</b> {meter(label.p_a)}</td>"
        f"<td>{label.p_ab:.1%}</td><td>{label.p_ba:.1%}</td>"
        f'<td><a href="{where}">Open the principle</a>{off}</td></tr>'
        f"{_rationale(label)}"
    )


def _rationale(label: Label) -> str:
    said = [text for text in (label.rationale_ab, label.rationale_ba) if text]
    if not said:
        return ""
    inside = "".join(map(plain, said))
    return f'<tr><td colspan="5"><details><summary>Its reasoning</summary>{inside}</details></td></tr>'
