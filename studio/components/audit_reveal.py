"""What is shown of a pair once it is judged: the AI's probability by principle and order, its reasoning,
who wrote what, what others chose, and why the pair was asked.

Letters are those that the annotator saw. All text from models and people is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.records import Judgment, Label, PickedBy, Source
from studio.components.audit_sides import Shown
from studio.escaping import escape, exact

PICKED: dict[PickedBy, str] = {
    "random": "drawn at random",
    "uncertain": "asked because the AI was unsure",
    "disagreement": "asked because the principles disagreed",
    "order": "asked because the order of showing changed the AI’s answer",
    "chosen": "opened by hand, or left over by picks: not part of the random share",
    "imported": "imported",
}
NO_LABEL = 'No AI label of this pair yet: <a href="labels">label pairs</a>.'


@dataclass(frozen=True)
class Opinion:
    """One labeller's labels of a pair: `p_a` over the principles, by weight; `titles` go with the labels."""

    labeller: str
    p_a: float
    labels: tuple[Label, ...]
    titles: tuple[str, ...]


@dataclass(frozen=True)
class Revealed:
    """All that a judged pair may show. `sources` is False while the sources would give another pair away."""

    shown: Shown
    judgment: Judgment | None
    opinions: tuple[Opinion, ...]
    others: tuple[Judgment, ...] = ()
    sources: bool = True


def summary_html(revealed: Revealed) -> str:
    """The pair just judged, in one line."""
    judgment = revealed.judgment
    yours = (
        f'you <b class="cai-yours">■ {_choice(revealed.shown, judgment)}</b>' if judgment else "not judged"
    )
    if not revealed.opinions:
        return f"<span>{yours}</span><span>{NO_LABEL}</span>"
    said = " · ".join(_opinion(revealed, opinion) for opinion in revealed.opinions)
    return f"<span>{yours}</span><span>{said}</span>"


def reveal_html(revealed: Revealed) -> str:
    """The whole of it."""
    parts = [_table(revealed.shown, opinion) for opinion in revealed.opinions] or [f"<p>{NO_LABEL}</p>"]
    return f'<div class="cai-reveal">{"".join(parts)}<dl class="cai-behind">{_behind(revealed)}</dl></div>'


def last_html(revealed: Revealed | None, said: str = "") -> str:
    """The line below the next pair about the one just judged; what it unfolds is all of it."""
    if revealed is None:
        return f'<div class="cai-last">{said}</div>'
    return (
        f'<details class="cai-last"><summary><span class="cai-muted">Last pair</span>{summary_html(revealed)}'
        f'<span class="cai-more"><kbd>r</kbd> more</span></summary>{reveal_html(revealed)}</details>'
    )


def judged_html(revealed: Revealed) -> str:
    """The reveal below a judged pair."""
    return (
        f'<section class="cai-after" aria-label="Revealed">'
        f'<p class="cai-verdict-line">{summary_html(revealed)}</p>'
        f"{reveal_html(revealed)}</section>"
    )


def _choice(shown: Shown, judgment: Judgment) -> str:
    word = shown.letter(judgment.choice)
    return {"tie": "tie", "skip": "skipped"}.get(word, word)


def _opinion(revealed: Revealed, opinion: Opinion) -> str:
    p = revealed.shown.left(opinion.p_a)
    letter, sure = ("A", p) if p >= 0.5 else ("B", 1 - p)
    says = "undecided, 0.50" if p == 0.5 else f"{sure:.2f} for {letter}"
    return f'AI <b class="cai-theirs">◆ {says}</b>{_verdict(revealed, p)}'


def _verdict(revealed: Revealed, p: float) -> str:
    """Whether the AI chose the annotator's side, where both chose one."""
    if revealed.judgment is None or p == 0.5:
        return ""
    mine = revealed.shown.turned(revealed.judgment.choice)
    if mine not in ("a", "b"):
        return ""
    return ", agreed" if (mine == "a") == (p > 0.5) else ", <b>disagreed</b>"


def _table(shown: Shown, opinion: Opinion) -> str:
    rows = "".join(
        _row(shown, label, title) for label, title in zip(opinion.labels, opinion.titles, strict=True)
    )
    return (
        f'<table class="cai-labels"><caption>The AI’s probability that A is better · '
        f"{escape(opinion.labeller)}</caption>"
        '<thead><tr><th scope="col">Principle</th><th scope="col">both orders</th>'
        '<th scope="col">A first</th><th scope="col">B first</th><th scope="col" class="cai-scale">B … A</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def _row(shown: Shown, label: Label, title: str) -> str:
    """One principle. Where side b was on the left, the orders change places too."""
    orders = [(label.p_ab, label.rationale_ab), (label.p_ba, label.rationale_ba)]
    (first, why_first), (second, why_second) = orders if shown.first == "a" else orders[::-1]
    both, first, second = shown.left(label.p_a), shown.left(first), shown.left(second)
    turned = " cai-turned" if (first - 0.5) * (second - 0.5) < 0 else ""
    reasons = "".join(
        f'<details class="cai-why-row"><summary>Reasoning, {order} first</summary>'
        f'<div class="cai-said">{escape(why)}</div></details>'
        for order, why in (("A", why_first), ("B", why_second))
        if why
    )
    mark = f'<i style="left:{100 * both:.1f}%"></i>'
    return (
        f'<tr class="cai-label-row{turned}"><th scope="row">{escape(title)}{reasons}</th>'
        f"<td><b>{both:.2f}</b></td><td>{first:.2f}</td><td>{second:.2f}{' ⇄' if turned else ''}</td>"
        f'<td class="cai-scale"><span class="cai-rule" aria-hidden="true">{mark}</span></td></tr>'
    )


def _behind(revealed: Revealed) -> str:
    a, b = ("A", "B") if revealed.shown.first == "a" else ("B", "A")
    sides = f"{a} is this pair’s <b>a</b>, {b} its <b>b</b>: so the Agreement page and files call them"
    facts = [*_sources(revealed), ("Sides", sides)]
    judgment = revealed.judgment
    if judgment is not None:
        blind = "" if judgment.blind else "; judged <b>not blind</b>"
        facts.append(("Why this pair", PICKED[judgment.picked_by] + blind))
    if revealed.others:
        facts.append(("Others chose", _others(revealed.shown, revealed.others)))
    axis = f"&amp;axis={judgment.axis}" if judgment else ""
    link = f'<a href="audit?pair={exact(revealed.shown.pair.id)}{axis}">this pair by itself</a>'
    return "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in [*facts, ("Link", link)])


def _sources(revealed: Revealed) -> Sequence[tuple[str, str]]:
    if not revealed.sources:
        held = "said once you have judged all pairs of this prompt: the same responses are in others"
        return [("Written by", held)]
    return [
        (f"{letter} written by", _source(source))
        for letter, source in zip("AB", revealed.shown.sources, strict=True)
    ]


def _source(source: Source) -> str:
    facts = [
        f"<b>{escape(source.name or 'unknown')}</b>",
        *([f"weights {escape(source.revision[:12])}"] if source.revision else []),
        *([f"asked in {escape(source.form)} form"] if source.form else []),
        *([f"seed {source.seed}"] if source.seed is not None else []),
        *(["cut at max tokens"] if source.finish == "length" else []),
    ]
    return ", ".join(facts)


def _others(shown: Shown, others: Sequence[Judgment]) -> str:
    kinds = {"person": "", "imported": " (imported)", "model": " (a model)"}
    return ", ".join(
        f"{escape(other.annotator)}{kinds[other.annotator_kind]}: <b>{_choice(shown, other)}</b>"
        for other in others
    )
