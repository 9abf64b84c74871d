"""A chain to read: the prompt, then each step with its principle, revisions with what they changed.

All text from models and people is escaped here; nothing of theirs is ever live HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from pipeline.critique import Plan
from pipeline.records import Message, Principle, Step
from studio.components.diff import word_diff
from studio.live import Moment
from studio.store.chains import StoredChain

KINDS = {"response": "Response", "critique": "Critique", "revision": "Revision"}
MARKS = {
    "length": "cut at max tokens",
    "cancelled": "stopped here",
    "empty": "the model wrote nothing, twice",
}
STATUS = {
    "running": "being written",
    "finished": "finished",
    "stopped": "stopped",
    "failed": "failed",
    "interrupted": "interrupted",
}
Principles = Mapping[str, Principle]


def heading(chain: StoredChain, status: str) -> str:
    """The chain's prompt and where it comes from."""
    facts = [
        f'<span class="cai-status cai-status-{escape(status)}">{STATUS[status]}</span>',
        f"model <b>{escape(chain.model)}</b>",
        *([f"critic <b>{escape(chain.critic)}</b>"] if chain.critic != chain.model else []),
        f"constitution <b>{escape(chain.constitution_name)}</b> {escape(chain.constitution[:8])}",
        f"seed <b>{chain.seed}</b>",
        f"temperature <b>{chain.temperature:g}</b>",
        f"by <b>{escape(chain.author)}</b>",
        f"{chain.created:%Y-%m-%d %H:%M}",
    ]
    return f'<div class="cai-facts">{"".join(f"<span>{fact}</span>" for fact in facts)}</div>' + "".join(
        _turn(message) for message in chain.messages
    )


def steps(done: Sequence[Step], principles: Principles, since: int = 0) -> str:
    """The finished steps, from position `since` on."""
    return "".join(_step(i, done, principles) for i in range(since, len(done)))


def step_in_progress(moment: Moment) -> str:
    """The step at hand, its text so far; or what is being waited for."""
    waiting = f'<span class="cai-doing">{escape(moment.doing)}…</span>' if moment.doing else ""
    if moment.plan is None:
        return f'<div class="cai-waiting">{waiting}</div>' if waiting else ""
    body = f'<div class="cai-text">{escape(moment.text)}<span class="cai-caret"></span></div>'
    head = _label(moment.plan, len(moment.steps), waiting)
    return (
        f'<section class="cai-step cai-model cai-{moment.plan.kind}" aria-busy="true">{head}{body}</section>'
    )


def _turn(message: Message) -> str:
    who = {"user": "Prompt", "assistant": "Earlier answer", "system": "System"}[message.role]
    side = "cai-model" if message.role == "assistant" else "cai-person"
    return (
        f'<section class="cai-step {side}"><div class="cai-label">{who}</div>'
        f'<div class="cai-text">{escape(message.content)}</div></section>'
    )


def _label(plan: Plan, position: int, note: str) -> str:
    round_ = f" {(position + 1) // 2}" if position else ""
    chip = _chip(plan.principle) if plan.principle else ""
    return f'<div class="cai-label">{KINDS[plan.kind]}{round_} {note}</div>{chip}'


def _chip(principle: Principle) -> str:
    asks = "".join(
        f"<dt>{name}</dt><dd>{escape(text)}</dd>"
        for name, text in (
            ("critique", principle.critique_request),
            ("revision", principle.revision_request),
        )
        if text
    )
    return (
        f'<details class="cai-principle"><summary><span class="cai-chip">§ {escape(principle.title)}</span>'
        f"</summary><dl>{asks}</dl></details>"
    )


def _step(at: int, done: Sequence[Step], principles: Principles) -> str:
    step = done[at]
    # A principle that the version no longer holds still has its id.
    principle = (
        principles.get(step.principle, Principle(step.principle, step.principle)) if step.principle else None
    )
    marks = [MARKS[step.finish]] if step.finish in MARKS else []
    if step.author == "person":
        marks.append("written by a person")
    elif step.tokens and step.seconds:
        marks.append(f"{step.tokens} tokens, {step.tokens / step.seconds:.0f}/s")
    note = f'<span class="cai-muted cai-mark">{" · ".join(marks)}</span>'
    return (
        f'<section class="cai-step cai-{step.author} cai-{step.kind}">'
        f"{_label(Plan(step.kind, principle), at, note)}{_body(at, done)}</section>"
    )


def _body(at: int, done: Sequence[Step]) -> str:
    text = escape(done[at].text) or '<span class="cai-muted">(empty)</span>'
    plain = f'<div class="cai-text">{text}</div>'
    if done[at].kind != "revision":
        return plain
    before = next(step.text for step in reversed(done[:at]) if step.kind != "critique")
    if before == done[at].text:
        return f'<p class="cai-muted">No change to the text.</p>{plain}'
    changes = word_diff(before, done[at].text)
    if changes is None:
        return f'<p class="cai-muted">Written anew: too little in common for a diff.</p>{plain}'
    return (
        f'<div class="cai-diff">{changes}</div>'
        f'<details class="cai-clean"><summary>Without the marks</summary>{plain}</details>'
    )
