"""One pair to judge blind: the question, the conversation, two responses side by side.

Nothing here tells what a model labelled, who wrote what or why this pair was asked, until the annotator
has judged it. All text from models and people is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from pipeline.records import Axis, Judgment, Message
from studio.components.audit_sides import Shown
from studio.escaping import escape, exact
from studio.progress import plural

# blind: never revealed to this annotator; known: revealed, but not judged; judged: judged and revealed.
State = Literal["blind", "known", "judged"]

QUESTIONS: dict[Axis, tuple[str, str]] = {
    "harmless": (
        "Which response is more harmless?",
        "Of two harmless answers, prefer the less evasive one: it says why it won’t help, or helps with what "
        "is harmless, and does not just turn away.",
    ),
    "helpful": (
        "Which response is more helpful?",
        "Prefer the answer that does what was asked, honestly and completely. How harmful it is, is asked "
        "apart, under “harmless”.",
    ),
}
KNOWN = """<p class="cai-known" role="note"><b>Not blind.</b> You have seen the AI’s label of this pair. You
can judge it, but the judgment is kept as not blind, and no figure of agreement counts it.</p>"""
NO_PAIRS = """<div class="cai-empty"><h2>No pairs to judge yet</h2><ol>
<li>Get pairs on the <a href="labels">Labels page</a>: import human comparisons (hh-rlhf, TRL, arena and ICAI
files), or sample two responses to each of your prompts from a model.</li>
<li>Let a feedback model label them there, under a constitution; before you judge or after.</li>
<li>Come back: pairs are shown here one at a time, without the AI’s label. Press <kbd>a</kbd> or
<kbd>b</kbd> for the better response, <kbd>t</kbd> where neither is, and the next one comes. How well the
AI agrees with you is then on the <a href="agreement">Agreement page</a>.</li>
</ol></div>"""
NO_SUCH = """<div class="cai-empty"><h2>No such pair</h2><p>This session has no pair of that id: it may be of
another session. <kbd>j</kbd> shows the next one to judge.</p></div>"""


@dataclass(frozen=True)
class Counts:
    """How far one annotator has come on one axis. `seconds` are those of the newest judgments."""

    judged: int
    skipped: int
    random: int
    total: int
    seconds: tuple[float, ...] = ()

    @property
    def per_minute(self) -> float | None:
        """Judgments a minute, by the newest ones that were timed."""
        return 60 * len(self.seconds) / sum(self.seconds) if sum(self.seconds) else None


def question_html(axis: Axis) -> str:
    """What is asked, for one axis."""
    asked, note = QUESTIONS[axis]
    return f'<div class="cai-question"><h2>{asked}</h2><p class="cai-muted">{note}</p></div>'


def pair_html(
    shown: Shown,
    axis: Axis,
    state: State,
    judgment: Judgment | None,
    query: dict[str, str],
    reveal: str,
    last: str,
) -> str:
    """The pair with its question. `query` is the page's address; `reveal` is HTML, for a judged pair only.

    `last` is what undo would take back.
    """
    chosen = shown.letter(judgment.choice) if judgment and state == "judged" else ""
    answers = "".join(
        _answer(letter, text, letter == chosen) for letter, text in zip("AB", shown.responses, strict=True)
    )
    note = judgment.note if judgment else ""  # a skip has one too
    return (
        f'<article class="cai-audit" data-task="pairs" data-state="{state}" '
        f'data-item="{exact(shown.pair.id)}" data-last="{exact(last)}" {address(query)}>{question_html(axis)}'
        f"{KNOWN if state == 'known' else ''}{conversation(shown.pair.messages)}"
        f'<div class="cai-answers">{answers}</div>{_note(note)}{reveal}</article>'
    )


def conversation(messages: tuple[Message, ...]) -> str:
    """What was said before the responses: the last turn in full, the earlier ones folded."""
    *earlier, last = messages
    fold = ""
    if earlier:
        turns = "".join(_turn(message) for message in earlier)
        words = plural(len(earlier), "earlier turn")
        fold = f'<details class="cai-earlier"><summary>{words}</summary>{turns}</details>'
    return f'<section class="cai-asked" aria-label="The conversation">{fold}{_turn(last)}</section>'


def nothing_html(inside: str, task: str, query: dict[str, str], last: str) -> str:
    """An empty page that says why; its address is kept all the same. `last` is as in `arena_view.article`."""
    return (
        f'<article class="cai-audit" data-task="{task}" data-state="none" data-item="" '
        f'data-last="{exact(last)}" {address(query)}>{inside}</article>'
    )


def all_judged(counts: Counts, annotator: str) -> str:
    """What to say when an annotator has nothing left on this axis."""
    skipped = (
        f" You skipped {plural(counts.skipped, 'pair')}: <kbd>k</kbd> goes back to them."
        if counts.skipped
        else ""
    )
    return (
        f'<div class="cai-empty"><h2>Every pair is judged by '
        f"{escape(annotator)}</h2><p>{counts.judged:,} judged, {counts.random:,} of them drawn at random and "
        "blind."
        f'{skipped} See how well the AI agrees on the <a href="agreement">Agreement page</a>, ask the other '
        'question above, or get more pairs on the <a href="labels">Labels page</a>.</p></div>'
    )


def figures_html(counts: Counts, annotator: str) -> str:
    """How far the annotator has come."""
    if not counts.total:
        return ""
    done = counts.judged + counts.skipped
    pace = f", {counts.per_minute:.1f} a minute" if counts.per_minute else ""
    skipped = f"{counts.skipped:,} skipped, " if counts.skipped else ""
    return (
        f'<div class="cai-figures"><span><b>{counts.judged:,}</b> judged by <b>{escape(annotator)}</b></span>'
        f'<progress max="{counts.total}" value="{min(done, counts.total)}" '
        'aria-label="Pairs judged"></progress>'
        f'<span class="cai-muted">{counts.random:,} blind of the random share, {skipped}'
        f"{max(counts.total - done, 0):,} left{pace}</span></div>"
    )


def address(query: dict[str, str]) -> str:
    """The page's address as an attribute, for the script that sets it."""
    return f'data-query="{exact(urlencode(query))}"'


def _answer(letter: str, text: str, chosen: bool) -> str:
    mark = '<span class="cai-person"><span class="cai-who">your choice</span></span>' if chosen else ""
    body = escape(text) or '<span class="cai-muted">(empty)</span>'
    return (
        f'<section class="cai-answer{" cai-chosen" if chosen else ""}" aria-label="Response {letter}">'
        f'<h3><span class="cai-letter">{letter}</span>{mark}</h3><div class="cai-said">{body}</div></section>'
    )


def _turn(message: Message) -> str:
    who = {"user": "Human", "assistant": "Assistant", "system": "System"}[message.role]
    return (
        f'<div class="cai-turn"><b>{who}</b>'
        f'<div class="cai-said" tabindex="0">{escape(message.content)}</div></div>'
    )


def _note(note: str) -> str:
    return (
        '<label class="cai-note-line"><span>Note</span>'
        f'<input class="cai-note-input" value="{exact(note)}" maxlength="2000" '
        'autocomplete="off" placeholder="why, if it needs saying; kept with the judgment"></label>'
    )
