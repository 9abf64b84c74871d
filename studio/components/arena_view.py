"""A battle to read and vote on: the question, the prompt, two answers side by side.

As long as a battle is blind, nothing here tells who wrote what: no name, no seed, no speed, and not what a
model process does meanwhile. All text of people and models is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.records import Axis, Message
from studio.chatting import Moment
from studio.components.audit_view import address, conversation, question_html
from studio.components.chain_view import MARKS
from studio.components.chat_models import called
from studio.components.chat_view import CUT, facts
from studio.components.training_sources import Options
from studio.escaping import escape, exact
from studio.progress import plural
from studio.store.battles import Battle, Counts, Side, Vote
from studio.store.conversations import Turn

SIDES: tuple[Side, Side] = ("left", "right")
VOTES: dict[Vote, str] = {
    "left": "the left answer is better",
    "right": "the right answer is better",
    "tie": "a tie",
    "both_bad": "both bad, which is a tie to a rating",
}
EMPTY = """<section class="cai-empty" aria-label="How to begin"><h2>Which of two models do you prefer?</h2>
<ol>
<li>Choose two models, or leave <b>any of the session</b>: then not even the pair is known to you. It takes
two: the bundled one is there, others come of <a href="training">training</a>, or you type a hub id or a
folder.</li>
<li>Type a prompt and press Enter, or press <kbd>n</kbd>: a held-out starter prompt is drawn, red-team prompts
for “harmless”, everyday ones for “helpful”. No model of the session should have been trained on it.</li>
<li>Both answer, one after the other. Which side is whose was drawn. Vote by <kbd>1</kbd> left,
<kbd>2</kbd> right, <kbd>t</kbd> tie or <kbd>b</kbd> both bad; the names appear after it.</li>
</ol>
<p class="cai-muted">Each vote is a matchup like any other, of a person in the arena: ratings come of it, and
are never pooled with those of a model's judgments.</p></section>"""


def battle_html(battle: Battle, moments: Sequence[Moment], known: Options, who: str, last: str) -> str:
    """A battle as it stands; `moments` are those of answers that are being written, the left one first.

    `who` looks at it; `last` is as in `article`.
    """
    voted = battle.annotator == who and battle.state in ("voted", "void")
    bodies = [_live(one) for one in moments] or [text_html(turn.text) for turn in battle.sides]
    answers = "".join(
        answer_html(
            number,
            body,
            mark="your vote" if voted and battle.vote == side else "",
            head=_mark(turn) if battle.blind else _who(turn, known),
            foot="" if battle.blind else _why(turn) + facts(turn),
        )
        for number, side, turn, body in zip((1, 2), SIDES, battle.sides, bodies, strict=True)
    )
    query = {"battle": battle.id}
    html = answers + _end(battle, known, last)
    return article("battle", battle.state, battle.id, query, battle.axis, battle.messages, html, last)


def article(
    task: str,
    state: str,
    item: str,
    query: dict[str, str],
    axis: Axis,
    messages: tuple[Message, ...],
    html: str,
    last: str,
) -> str:
    """The question, the prompt, and what is below them, for the scripts that know `task`, `state`, `item`.

    `last` is the item that this person voted on last: what undo would take back.
    """
    return (
        f'<article class="cai-audit" data-task="{task}" data-state="{state}" data-item="{exact(item)}" '
        f'data-last="{exact(last)}" {address(query)}>{question_html(axis)}{conversation(messages)}'
        f'<div class="cai-answers">{html}</div></article>'
    )


def answer_html(number: int, body: str, mark: str = "", head: str = "", foot: str = "") -> str:
    """One side; all but `mark` is HTML."""
    chosen = f'<span class="cai-person"><span class="cai-who">{mark}</span></span>' if mark else ""
    return (
        f'<section class="cai-answer{" cai-chosen" if mark else ""}" aria-label="Answer {number}">'
        f'<h3><span class="cai-letter">{number}</span>{head}{chosen}</h3>'
        f'<div class="cai-said">{body}</div>{foot}</section>'
    )


def figures_html(counts: Counts, annotator: str, axis: Axis) -> str:
    """How many votes of a person count."""
    if not counts.counted + counts.void:
        return ""
    void = f", {counts.void:,} void" if counts.void else ""
    return (
        f'<p class="cai-muted cai-figures" role="status"><span><b>{plural(counts.counted, "vote")}</b> on '
        f"“{axis}” by <b>{escape(annotator)}</b>{void}</span></p>"
    )


def _end(battle: Battle, known: Options, last: str) -> str:
    """What has come of a battle that is not blind any more, in words."""
    left, right = (f"<b>{escape(_name(turn, known))}</b>" for turn in battle.sides)
    words = {"left": f"{left} beats {right}", "right": f"{right} beats {left}"}
    again = "<kbd>n</kbd> draws the next prompt"
    if battle.state == "voted":
        vote = words.get(battle.vote or "") or next(VOTES[v] for v in VOTES if v == battle.vote)
        undo = ", <kbd>u</kbd> takes the vote back" if battle.id == last else ""
        line = f"Kept: {vote}. {again}{undo}."
    elif battle.state == "void":
        line = (
            f"<b>Void.</b> An answer tells who wrote it (“{escape(battle.void or '')}”), so this vote "
            f"was not blind: it is kept, and counts for no rating. {again}."
        )
    elif battle.state == "taken back":
        line = (
            "Taken back: it counts for no rating. You have seen the names, so this battle takes no other "
            f"vote; Ask both draws the sides of the same prompt anew, {again}."
        )
    elif battle.state == "over":
        line = f"No vote: an answer is not whole, so it is not what the model would have said. {again}."
    else:
        return ""
    return f'<p class="cai-outcome cai-done" role="status" data-outcome="{battle.state}">{line}</p>'


def _live(moment: Moment) -> str:
    """A text on its way. What the model process does would name the model: it is ready, or is not yet."""
    if moment.status != "writing":
        return text_html(moment.text)
    if not moment.text:
        return '<span class="cai-doing">getting ready…</span>'
    return f'{escape(moment.text)}<span class="cai-caret"></span>'


def text_html(text: str) -> str:
    """An answer's text as it is."""
    return escape(text) or '<span class="cai-muted">(empty)</span>'


def _mark(turn: Turn) -> str:
    """That an answer was cut at its longest, which both could be; nothing else before the vote."""
    cut = turn.outcome.status == "finished" and turn.outcome.finish == "length"
    return f'<span class="cai-muted cai-mark">{MARKS["length"]}</span>' if cut else ""


def _who(turn: Turn, known: Options) -> str:
    outcome, marks = turn.outcome, []
    if outcome.status in CUT:
        marks.append(CUT[outcome.status])
    elif outcome.finish == "length":
        marks.append(MARKS["length"])
    if outcome.tokens and outcome.seconds:
        marks.append(f"{plural(outcome.tokens, 'token')}, {outcome.tokens / outcome.seconds:.1f}/s")
    return (
        f'<span class="cai-model"><span class="cai-who">{escape(_name(turn, known))}</span></span>'
        f'<span class="cai-muted cai-mark">{" · ".join(marks)}</span>'
    )


def _why(turn: Turn) -> str:
    if turn.outcome.status != "failed":
        return ""
    return f'<div class="cai-error" role="status">{escape(turn.outcome.detail)}</div>'


def _name(turn: Turn, known: Options) -> str:
    return called(turn.chatting.model if turn.chatting else "", known)
