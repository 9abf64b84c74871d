"""A chain to read: the prompt, then each step with its principle, revisions with what they changed.

All text from models and people is escaped here; nothing of theirs is ever live HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pipeline.critique import Plan
from pipeline.records import Message, Principle, Step, StepKind
from studio.components.diff import word_diff
from studio.escaping import escape, exact
from studio.live import Moment
from studio.progress import plural
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
VERDICTS = {"accepted": "✓ accepted", "rejected": "✕ rejected", "none": "not judged"}
FORMS = {"chat": "the chat template", "plain": "plain text"}
Principles = Mapping[str, Principle]
Acts = Callable[[int], str]


def verdict_chip(verdict: str) -> str:
    """A verdict by shape and word; nothing of colour is needed to read it."""
    return f'<span class="cai-chip cai-verdict cai-verdict-{escape(verdict)}">{VERDICTS[verdict]}</span>'


def heading(chain: StoredChain, status: str, verdict: str = "none") -> str:
    """The chain's prompt and where it comes from."""
    facts = [
        f'<span class="cai-status cai-status-{escape(status)}">{STATUS[status]}</span>',
        *([_judged(chain.id, verdict)] if status == "finished" else []),
        f"model <b>{escape(chain.model)}</b>",
        *([f"critic <b>{escape(chain.critic)}</b>"] if chain.critic != chain.model else []),
        f"constitution <b>{escape(chain.constitution_name)}</b> {escape(chain.constitution[:8])}",
        f"seed <b>{chain.seed}</b>",
        f"temperature <b>{chain.temperature:g}</b>",
        *([] if chain.critiques else ["revised <b>without critiques</b>"]),
        *_asked(chain),
        f"by <b>{escape(chain.author)}</b>",
        f"{chain.created:%Y-%m-%d %H:%M}",
    ]
    return f'<div class="cai-facts">{"".join(f"<span>{fact}</span>" for fact in facts)}</div>' + "".join(
        turn(message) for message in chain.messages
    )


def _judged(id: str, verdict: str) -> str:
    invite = "Judge it" if verdict == "none" else "Judge again"
    return f'{verdict_chip(verdict)} <a href="reading?chain={exact(id)}">{invite}</a>'


def _asked(chain: StoredChain) -> list[str]:
    """Which weights were asked, and how: as far as the written steps know it."""
    written = [step for step in chain.steps if step.revision]
    forms = " and ".join(sorted({FORMS.get(step.form or "", "") for step in written}))
    weights = ", ".join(sorted({step.revision or "" for step in written}))
    return [f'<span title="weights {escape(weights)}">asked in {forms}</span>'] if written else []


def steps(done: Sequence[Step], principles: Principles, acts: Acts = lambda at: "", since: int = 0) -> str:
    """The finished steps from `since` on; `acts` makes what can be done with the one at a position."""
    return "".join(step(i, done, principles, acts(i)) for i in range(since, len(done)))


def step_in_progress(moment: Moment) -> str:
    """The step at hand, its text so far; or what is being waited for."""
    waiting = f'<span class="cai-doing">{escape(moment.doing)}…</span>' if moment.doing else ""
    if moment.plan is None:
        return f'<div class="cai-waiting">{waiting}</div>' if waiting else ""
    body = f'<div class="cai-text">{escape(moment.text)}<span class="cai-caret"></span></div>'
    head = _label(moment.plan, moment.steps, waiting)
    return (
        f'<section class="cai-step cai-model cai-{moment.plan.kind}" aria-busy="true">{head}{body}</section>'
    )


def turn(message: Message) -> str:
    """One message of the prompt."""
    who = {"user": "Prompt", "assistant": "Earlier answer", "system": "System"}[message.role]
    side = "cai-model" if message.role == "assistant" else "cai-person"
    return (
        f'<section class="cai-step {side}"><div class="cai-label">{who}</div>'
        f'<div class="cai-text">{escape(message.content)}</div></section>'
    )


def step_name(kind: StepKind, before: Sequence[Step]) -> str:
    """`Response`, `Critique 1`, `Revision 1`, ...: what a step is called after these."""
    return numbered(kind, 1 + sum(step.kind == kind for step in before))


def numbered(kind: StepKind, number: int) -> str:
    """The same for the step that is the `number`-th of its kind."""
    return KINDS[kind] if kind == "response" else f"{KINDS[kind]} {number}"


def _label(plan: Plan, before: Sequence[Step], note: str) -> str:
    chip = _chip(plan.principle) if plan.principle else ""
    return f'<div class="cai-label">{step_name(plan.kind, before)} {note}</div>{chip}'


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


def step(
    at: int, done: Sequence[Step], principles: Principles, acts: str = "", body: str | None = None
) -> str:
    """One finished step among the others.

    `acts` is HTML of ours that follows its label; `body` stands for its text and must be escaped.
    """
    step = done[at]
    # A principle that the version no longer holds still has its id.
    principle = (
        principles.get(step.principle, Principle(step.principle, step.principle)) if step.principle else None
    )
    marks = [MARKS[step.finish]] if step.finish in MARKS else []
    if step.author == "person":
        marks.append("written by a person")
    elif step.tokens and step.seconds:
        marks.append(f"{plural(step.tokens, 'token')}, {step.tokens / step.seconds:.1f}/s")
    note = f'<span class="cai-muted cai-mark">{" · ".join(marks)}</span>'
    label = _label(Plan(step.kind, principle), done[:at], note + acts)
    shown = _body(at, done) if body is None else body
    return f'<section class="cai-step cai-{step.author} cai-{step.kind}">{label}{shown}</section>'


def _body(at: int, done: Sequence[Step]) -> str:
    if done[at].kind != "revision":
        return plain(done[at].text)
    return revised(next(step.text for step in reversed(done[:at]) if step.kind != "critique"), done[at].text)


def plain(text: str) -> str:
    """A text as it is."""
    shown = escape(text) or '<span class="cai-muted">(empty)</span>'
    return f'<div class="cai-text">{shown}</div>'


def revised(before: str, after: str) -> str:
    """A text with what it changed of the one before."""
    if before == after:
        return f'<p class="cai-muted">No change to the text.</p>{plain(after)}'
    return (
        f'<div class="cai-diff">{word_diff(before, after)}</div>'
        f'<details class="cai-clean"><summary>Without the marks</summary>{plain(after)}</details>'
    )
