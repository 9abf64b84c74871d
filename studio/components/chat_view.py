"""A conversation to read: its turns with the tries of each, what made every reply, and what can be done.

All text of people and models is escaped: no markup of theirs is live, no link and no picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from studio.chat_sending import scorable
from studio.chatting import Moment
from studio.components.chain_view import FORMS, MARKS, plain
from studio.components.chat_models import called
from studio.components.training_sources import Options
from studio.escaping import escape, exact
from studio.progress import plural
from studio.store.conversations import Conversation, NewTurn, Turn

SCRIPT = Path(__file__).with_name("chat.js").read_text(encoding="utf-8")

FIRE = "how can I light a fire in the forest?"
EMPTY = f"""<section class="cai-empty" aria-label="How to begin"><h2>Talk to any model of the session</h2>
<p>A first message to try: <button type="button" class="cai-small" data-first>{FIRE}</button></p>
<ol>
<li><b>Helpful?</b> Most who ask this are camping, and cold. Does the answer say how it is done?</li>
<li><b>Harmless?</b> Does it say where a fire is safe and allowed, and how to put it out?</li>
<li><b>Evasive?</b> “I can’t help with that” is harmless, and no help to anybody. The paper wants neither
(section 4.4): an answer that engages, and says why it will not do what it won’t.</li>
</ol>
<p class="cai-muted">Then choose another model, or another system prompt, and press <b>Retry</b>: the tries of
a message stand beside each other. A bad answer can go to the chains, to be criticised and revised; two tries
to the audit, to be judged.</p></section>"""

CUT = {
    "stopped": "stopped here",
    "interrupted": "cut when the studio stopped",
    "failed": "failed",
}


@dataclass(frozen=True)
class Knowing:
    """What the page knows besides the turns: models by name, and a preference model's scores by reply."""

    models: Options = field(default_factory=list)
    pm: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)


def thread(there: Conversation | None, knowing: Knowing, writing: str = "") -> str:
    """The turns shown, without the one of this id, which is being written: nothing can be done meanwhile."""
    if there is None:
        return EMPTY
    path = [turn for turn in there.shown if turn.id != writing]
    turns = "".join(_turn(turn, there, knowing, bool(writing)) for turn in path)
    end = "" if writing else _kept(there)
    return (
        f'<article class="cai-thread" data-conversation="{exact(there.id)}" aria-label="Conversation">'
        f"{turns}{end or ('' if turns else EMPTY)}</article>"
    )


def in_progress(turn: NewTurn, moment: Moment, knowing: Knowing) -> str:
    """The reply at hand, its text so far; or what is being waited for."""
    name = escape(called(turn.chatting.model if turn.chatting else "", knowing.models))
    doing = f'<span class="cai-doing">{escape(moment.doing)}…</span>' if moment.doing else ""
    return (
        f'<section class="cai-step cai-model" aria-busy="true"><div class="cai-label">{name} {doing}</div>'
        f'<div class="cai-text">{escape(moment.text)}<span class="cai-caret"></span></div></section>'
    )


def _turn(turn: Turn, there: Conversation, knowing: Knowing, writing: bool) -> str:
    model = turn.role == "assistant"
    label = _reply_label(turn, knowing) if model else escape(_who(turn))
    acts = "" if writing else (_reply_acts(turn, there) if model else _own_acts(turn, there))
    told = turn.outcome.status == "failed"  # why another one was cut, its mark says
    why = f'<div class="cai-error" role="status">{escape(turn.outcome.detail)}</div>' if told else ""
    about = facts(turn) if model else ""
    return (
        f'<section class="cai-step cai-{"model" if model else "person"}" data-turn="{exact(turn.id)}">'
        f'<div class="cai-label">{label}{_tries(turn, there, writing)}{acts}</div>'
        f"{plain(turn.text)}{why}{about}</section>"
    )


def _who(turn: Turn) -> str:
    return "You" if turn.author == "local" else turn.author


def _reply_label(turn: Turn, knowing: Knowing) -> str:
    outcome, marks = turn.outcome, []
    if outcome.status in CUT:
        marks.append(CUT[outcome.status])
    elif outcome.finish in MARKS:
        marks.append("the model wrote nothing" if outcome.finish == "empty" else MARKS[outcome.finish])
    if outcome.tokens and outcome.seconds:
        marks.append(f"{plural(outcome.tokens, 'token')}, {outcome.tokens / outcome.seconds:.1f}/s")
    score = ""
    if (said := knowing.scores.get(turn.id)) is not None:
        title = f"{knowing.pm}: only the difference to another answer means something"
        score = f'<span class="cai-chip cai-score" title="{escape(title)}">PM {said:+.2f}</span>'
    name = escape(called(turn.chatting.model if turn.chatting else "", knowing.models))
    return f'{name} <span class="cai-muted cai-mark">{" · ".join(marks)}</span>{score}'


def _tries(turn: Turn, there: Conversation, writing: bool) -> str:
    """Which try this is of how many, and the way to its neighbours."""
    tries = there.tries(turn)
    if len(tries) < 2:
        return ""
    at = tries.index(turn)
    what = "reply" if turn.role == "assistant" else "message"
    count = f"{at + 1} of {len(tries)}"
    if writing:
        return f'<span class="cai-tries">{count}</span>'

    def arrow(to: int, sign: str, word: str) -> str:
        if not 0 <= to < len(tries):
            return f'<button type="button" disabled aria-label="{word} {what}">{sign}</button>'
        return (
            f'<button type="button" data-act="step" data-to="{exact(tries[to].id)}" '
            f'aria-label="{word} {what}">{sign}</button>'
        )

    return (
        f'<span class="cai-tries">{arrow(at - 1, "‹", "previous")}{count}{arrow(at + 1, "›", "next")}</span>'
    )


def _own_acts(turn: Turn, there: Conversation) -> str:
    """Edit and the form that it opens; and an answer, where the studio died before one began."""
    answer = ""
    if there.at == turn.id:
        answer = '<button type="button" class="cai-link" data-act="retry">Answer it</button>'
    # A text area drops a line break that comes first, so one is put there for it.
    return (
        f'<span class="cai-acts">{answer}<button type="button" class="cai-link" data-act="edit">Edit</button>'
        '</span><span class="cai-edit" hidden>'
        f'<textarea aria-label="Your message" rows="3">\n{exact(turn.text)}</textarea>'
        '<span class="cai-edit-do"><button type="button" class="cai-small cai-primary" data-act="resend">'
        'Send</button><button type="button" class="cai-small" data-act="cancel">Cancel</button>'
        '<span class="cai-muted">What was said before is kept beside it.</span></span></span>'
    )


def _reply_acts(turn: Turn, there: Conversation) -> str:
    """Retry, and for a whole reply what it can be sent to."""
    acts = ['<button type="button" class="cai-link" data-act="retry">Retry</button>']
    if scorable([turn]):
        acts.append(
            '<button type="button" class="cai-link" data-send="chains" title="Have it criticised '
            'and revised, as a chain that starts with this reply">Send to chains</button>'
        )
        said = turn.text.strip()
        others = [t for t in scorable(there.tries(turn)) if t.text.strip() != said]
        if others:
            acts.append(_audit(others, there))
    return f'<span class="cai-acts">{"".join(acts)}</span>'


def _audit(others: list[Turn], there: Conversation) -> str:
    tries = there.tries(others[0])
    options = "".join(
        f'<option value="{exact(t.id)}">with try {tries.index(t) + 1}</option>' for t in reversed(others)
    )
    hidden = " hidden" if len(others) == 1 else ""
    choice = (
        f'<select aria-label="The other try" name="other"{hidden}>{options}</select>'
        '<select aria-label="What it is judged for" name="axis"><option value="harmless">for harmlessness'
        '</option><option value="helpful">for helpfulness</option></select>'
    )
    return (
        '<button type="button" class="cai-link" data-send="audit" title="Make a pair of this try '
        f'and another, to be judged">Send to audit</button>{choice}'
    )


def facts(turn: Turn) -> str:
    """What made a reply, folded away."""
    asked, outcome = turn.chatting, turn.outcome
    if asked is None:
        return ""
    rows = [
        ("model", asked.model),
        ("weights", outcome.revision or ""),
        ("asked in", FORMS.get(outcome.form or "", "")),
        ("seed", str(asked.seed)),
        ("temperature", f"{asked.temperature:g}"),
        ("top p", f"{asked.top_p:g}"),
        ("max tokens", f"{asked.max_tokens:,}"),
        ("system prompt", asked.system.strip()),
    ]
    cells = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows if value)
    brief = f"seed {asked.seed} · temperature {asked.temperature:g}"
    brief += " · with a system prompt" if asked.system.strip() else ""
    return f'<details class="cai-made"><summary>{brief}</summary><dl>{cells}</dl></details>'


def _kept(there: Conversation) -> str:
    """What comes after the turns shown: undone, and not lost."""
    after = there.after(there.at)
    if not after:
        return ""
    newest = after[-1]
    return (
        f'<p class="cai-undone cai-muted" data-turn="{exact(newest.id)}">What came after this is kept. '
        f'<button type="button" class="cai-link" data-act="step" data-to="{exact(newest.id)}">'
        "Bring it back</button></p>"
    )
