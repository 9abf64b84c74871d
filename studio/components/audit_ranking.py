"""Several responses to one prompt, to order from best to worst: as RLHF's second step asks people to.

The letters are drawn anew for each annotator, and say nothing of who wrote what. All text is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.records import Axis, Message, Pair
from studio.components.audit_sides import LETTERS
from studio.components.audit_view import QUESTIONS, address, conversation
from studio.escaping import escape, exact
from studio.progress import plural

NO_GROUPS = """<div class="cai-empty"><h2>No responses to rank yet</h2><p>A ranking needs three or more
responses to one prompt: sample that many on the <a href="labels">Labels page</a>, or with
<code>cai pairs --samples 4</code>. One ranking of four stands for six pairs, and is quicker than judging
them one by one.</p></div>"""

HOW = """<p class="cai-muted cai-how">Take a response by its letter and put it in its place with a number, or
with <kbd>↑</kbd> and <kbd>↓</kbd>; <kbd>=</kbd> ties it with the one above; <kbd>Enter</kbd> saves. Cards can
be dragged too.</p>"""


@dataclass(frozen=True)
class Ranked:
    """A pair that a ranking implies, with the AI's probability that its side a is better, if there is one."""

    pair: Pair
    p_a: float | None


def ranking_html(
    group: str,
    messages: tuple[Message, ...],
    responses: Sequence[str],
    axis: Axis,
    query: Mapping[str, str],
    known: bool,
    last: str,
) -> str:
    """The responses as cards, in the order of their letters; the script beside this orders them.

    `last` is what undo would take back.
    """
    cards = "".join(
        _card(letter, at, text) for at, (letter, text) in enumerate(zip(LETTERS, responses, strict=False), 1)
    )
    seen = (
        '<p class="cai-known" role="note"><b>Not blind.</b> You have judged pairs of these responses before, '
        "or taken this ranking back: the ranking is kept as not blind.</p>"
        if known
        else ""
    )
    return (
        f'<article class="cai-audit" data-task="ranking" data-state="{"known" if known else "blind"}" '
        f'data-item="{exact(group)}" data-last="{exact(last)}" {address(dict(query))}>'
        f'<div class="cai-question"><h2>Rank the responses, the most {axis} first</h2>'
        f'<p class="cai-muted">{QUESTIONS[axis][1]}</p></div>{seen}'
        f'{conversation(messages)}{HOW}<ol class="cai-ranking">{cards}</ol></article>'
    )


def all_ranked(annotator: str) -> str:
    """What to say when an annotator has ranked every group."""
    return (
        f'<div class="cai-empty"><h2>Every prompt with several responses is ranked by '
        f"{escape(annotator)}</h2><p>Each ranking was kept as all the pairs it implies. See how well the AI "
        'agrees on the <a href="agreement">Agreement page</a>.</p></div>'
    )


def ranking_figures_html(ranked: int, total: int, annotator: str) -> str:
    """How far the annotator has come."""
    if not total:
        return ""
    return (
        f'<div class="cai-figures"><span><b>{ranked:,}</b> of <b>{total:,}</b> ranked by '
        f'<b>{escape(annotator)}</b></span><progress max="{total}" value="{ranked}" '
        'aria-label="Prompts ranked"></progress>'
        f'<span class="cai-muted">{total - ranked:,} left</span></div>'
    )


def last_html(order: Sequence[Sequence[str]], letters: Mapping[str, str], rows: Sequence[Ranked]) -> str:
    """The ranking just kept, in a line that unfolds: its pairs beside the AI's labels, and the sources.

    `order` holds letters, best first; `letters` has the letter of each response.
    """
    place = {letter: at for at, level in enumerate(order) for letter in level}
    lines, agreed, decided = [], 0, 0
    for row in rows:
        one, two = letters[row.pair.response_a], letters[row.pair.response_b]
        mine = place[two] - place[one]  # above 0: side a is ranked better
        if row.p_a is not None and row.p_a != 0.5 and mine:
            decided += 1
            agreed += (mine > 0) == (row.p_a > 0.5)
        lines.append(_line(one, two, mine, row.p_a))
    said = " &gt; ".join(" = ".join(level) for level in order)
    share = (
        f"AI <b class='cai-theirs'>◆ agrees on {agreed} of {plural(decided, 'pair')}</b>"
        if decided
        else "no pair that you and the AI both decided"
        if any(row.p_a is not None for row in rows)
        else "no AI label of these pairs yet"
    )
    return (
        '<details class="cai-last"><summary><span class="cai-muted">Last ranking</span>'
        f'<span>you <b class="cai-yours">■ {said}</b></span><span>{share}</span>'
        '<span class="cai-more"><kbd>r</kbd> more</span></summary>'
        f'<div class="cai-reveal"><table class="cai-labels"><thead><tr><th scope="col">Pair</th>'
        '<th scope="col">you</th><th scope="col">AI</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
        f'<dl class="cai-behind">{_writers(letters, rows)}</dl></div></details>'
    )


def _line(one: str, two: str, mine: int, p_a: float | None) -> str:
    yours = "tie" if mine == 0 else one if mine > 0 else two
    if p_a is None:
        theirs = "–"
    elif p_a == 0.5:
        theirs = "undecided"
    else:
        theirs = f"{p_a:.2f} for {one}" if p_a > 0.5 else f"{1 - p_a:.2f} for {two}"
    pair = " or ".join(sorted((one, two)))
    return f'<tr><th scope="row">{pair}</th><td>{yours}</td><td>{theirs}</td></tr>'


def _writers(letters: Mapping[str, str], rows: Sequence[Ranked]) -> str:
    names = {}
    for row in rows:
        names[letters[row.pair.response_a]] = row.pair.source_a.name
        names[letters[row.pair.response_b]] = row.pair.source_b.name
    return "".join(
        f"<dt>{letter} written by</dt><dd><b>{escape(names[letter] or 'unknown')}</b></dd>"
        for letter in sorted(names)
    )


def _card(letter: str, place: int, text: str) -> str:
    body = escape(text) or '<span class="cai-muted">(empty)</span>'
    return (
        f'<li class="cai-answer" data-letter="{letter}" data-tied="false" draggable="true" tabindex="0" '
        f'aria-label="Response {letter}, place {place}"><h3><span class="cai-place">{place}</span>'
        f'<span class="cai-letter">{letter}</span><span class="cai-grip" aria-hidden="true">⠿</span></h3>'
        f'<div class="cai-said">{body}</div></li>'
    )
