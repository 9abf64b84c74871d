"""Every string ever sent to a model, in one place.

The paper's prompts (Bai et al. 2022, section 3.1 and appendix A) are a transcript of labelled turns:

    Human: ... Assistant: ... CritiqueRequest: ... Critique: ... RevisionRequest: ... Revision: ...

`plain` writes them so, for base models. `chat` gives the same content as turns of the model's own
chat template: what the paper labels a request is the user's turn, what it asks for the assistant's.
Each later round starts from the conversation with the response replaced by the latest revision. Without
critiques (figure 7) the two middle turns are left out.

For AI feedback (section 4.1) a pair is put as a multiple choice, whose answer's letter is compared
(`choice`), if need be after a reasoning (`reasoning`, `conclusion`). Or its responses are put one at a time:
as what follows examples that keep a principle, and examples that break it (`contrast`), or with the question
whether this one is to be chosen (`pointwise`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.engines import Context, Form
from pipeline.records import (
    CritiqueExample,
    Exchange,
    FeedbackExample,
    Message,
    Principle,
    ReasonedExample,
    Role,
)

LABELS = ("Human", "Assistant", "CritiqueRequest", "Critique", "RevisionRequest", "Revision")
ROLES = {"user": "Human", "assistant": "Assistant", "system": "System"}

OPTIONS = (" (A)", " (B)")
"""What is compared: whole continuations, in the order in which the responses are shown."""
VERDICTS = (" Yes", " No")
"""What is compared where a response is judged alone."""
CHOSEN = "Is the assistant's last response the one to choose?"
BETTER = "Which of these responses is the most helpful, honest and harmless?"
"""What evaluations of responses ask."""
ASKED_FOR = "The answer is:"
THINK = "Let's think step by step:"
CONCLUDE = "So the answer is:"
CONSIDER = "Consider the following conversation between a human and an assistant:"

_LINE = r"(?:^|(?<=[\r\v\f\x1c-\x1e\x85\u2028\u2029]))"
"""Where a line begins, by any of the characters that end one."""
_LABEL_LINE = re.compile(rf"{_LINE}(?=({'|'.join((*LABELS, 'System'))}):)", re.MULTILINE)

_MARKS = (
    *(f"{label}:" for label in (*LABELS, "System")),
    "Options:",
    CHOSEN,
    ASKED_FOR,
    THINK,
    CONCLUDE,
    CONSIDER,
)
_MARK_LINE = re.compile(
    rf"{_LINE}(?=\([A-Z]\)|{'|'.join(map(re.escape, _MARKS))})", re.MULTILINE | re.IGNORECASE
)


def stops(form: Form) -> tuple[str, ...]:
    """Strings that end a completion: in the plain form, the label of any next turn."""
    return tuple(f"\n\n{label}:" for label in (*LABELS, "System")) if form == "plain" else ()


def response(form: Form, messages: Sequence[Message]) -> Context:
    """Ask for the first answer to a conversation."""
    return _context(form, [(ROLES[m.role], m.content) for m in messages], "Assistant")


def critique(
    form: Form,
    messages: Sequence[Message],
    answer: str,
    principle: Principle,
    shots: Sequence[CritiqueExample] = (),
) -> Context:
    """Ask for a critique of `answer` under a principle, after solved examples."""
    return _context(form, _criticised(messages, answer, principle, shots), "Critique")


def revision(
    form: Form,
    messages: Sequence[Message],
    answer: str,
    criticism: str,
    principle: Principle,
    shots: Sequence[CritiqueExample] = (),
) -> Context:
    """Ask for a revision of `answer` in the light of the critique just made."""
    turns = [
        *_criticised(messages, answer, principle, shots),
        ("Critique", criticism),
        ("RevisionRequest", principle.revision_request or ""),
    ]
    return _context(form, turns, "Revision")


def direct_revision(
    form: Form,
    messages: Sequence[Message],
    answer: str,
    principle: Principle,
    shots: Sequence[CritiqueExample] = (),
) -> Context:
    """Ask for a revision of `answer` without a critique of it (figure 7); nor do the examples have one."""
    solved = [turn for shot in shots for turn in (*_answered(shot), *_revised(shot))]
    turns = [*_asked(messages, answer, solved), ("RevisionRequest", principle.revision_request or "")]
    return _context(form, turns, "Revision")


Turn = tuple[str, str]
"""(label, text)"""

WRITTEN_BY_MODEL = ("Assistant", "Critique", "Revision")


def _criticised(
    messages: Sequence[Message], answer: str, principle: Principle, shots: Sequence[CritiqueExample]
) -> list[Turn]:
    solved = [turn for shot in shots for turn in _shot(shot)]
    return [*_asked(messages, answer, solved), ("CritiqueRequest", principle.critique_request or "")]


def _asked(messages: Sequence[Message], answer: str, solved: Sequence[Turn]) -> list[Turn]:
    system = [(ROLES[m.role], m.content) for m in messages if m.role == "system"]
    conversation = [(ROLES[m.role], m.content) for m in messages if m.role != "system"]
    return [
        *system,  # before the examples: chat templates take it as the first turn only
        *solved,
        *conversation,
        ("Assistant", answer),
    ]


def _shot(example: CritiqueExample) -> list[Turn]:
    return [
        *_answered(example),
        ("CritiqueRequest", example.critique_request),
        ("Critique", example.critique),
        *_revised(example),
    ]


def _answered(example: CritiqueExample) -> list[Turn]:
    return [(ROLES[m.role], m.content) for m in example.messages]


def _revised(example: CritiqueExample) -> list[Turn]:
    return [("RevisionRequest", example.revision_request), ("Revision", example.revision)]


def _context(form: Form, turns: Sequence[Turn], ask: str) -> Context:
    if form == "plain":
        written = "".join(f"\n\n{label}: {_unlabelled(text)}" for label, text in turns)
        return Context(prefill=f"{written}\n\n{ask}:")
    return Context(messages=tuple(Message(_role(label), text) for label, text in turns))


def _role(label: str) -> Role:
    if label == "System":
        return "system"
    return "assistant" if label in WRITTEN_BY_MODEL else "user"


def _unlabelled(text: str) -> str:
    # A space before any label that starts a line of the text, so that no text can forge a turn.
    return _LABEL_LINE.sub(" ", text.strip())


def choice(
    form: Form,
    messages: Sequence[Message],
    principle_question: str,
    a: str,
    b: str,
    shots: Sequence[FeedbackExample] = (),
) -> Context:
    """Ask which of two responses is better; `OPTIONS` are its answers. `a` is shown first.

    Each example is solved before it, under the same question; the right letter alternates from A.
    """
    solved = [
        (
            _question(
                shot.messages,
                principle_question,
                *((shot.better, shot.worse), (shot.worse, shot.better))[i % 2],
            ),
            f"{ASKED_FOR}{OPTIONS[i % 2]}",
        )
        for i, shot in enumerate(shots)
    ]
    return _answering(form, solved, _question(messages, principle_question, a, b), ASKED_FOR)


def reasoning(
    form: Form,
    messages: Sequence[Message],
    principle_question: str,
    a: str,
    b: str,
    shots: Sequence[ReasonedExample] = (),
) -> Context:
    """Ask to think about which of two responses is better, before the answer (`conclusion`) is asked for."""
    solved = _reasoned(principle_question, shots)
    return _answering(form, solved, _question(messages, principle_question, a, b), THINK)


def conclusion(
    form: Form,
    messages: Sequence[Message],
    principle_question: str,
    a: str,
    b: str,
    rationale: str,
    shots: Sequence[ReasonedExample] = (),
) -> Context:
    """Ask for the answer to a choice after its reasoning; `OPTIONS` are its answers."""
    solved = _reasoned(principle_question, shots)
    return _answering(form, solved, _question(messages, principle_question, a, b), _thought(rationale))


def as_asked(form: Form, prompt: str) -> Context:
    """A prompt that holds a whole question and its options, as evaluations have it.

    For chat models, `ASKED_FOR` at its end begins the assistant's turn.
    """
    if form == "plain":
        return Context(prefill=prompt)
    asked = prompt.strip()
    begun = ASKED_FOR if asked.endswith(ASKED_FOR) else ""
    return Context(messages=(Message("user", asked.removesuffix(begun).rstrip()),), prefill=begun)


def reasoning_stops(form: Form) -> tuple[str, ...]:
    """Strings that end a reasoning: where it comes to its answer, or goes on to another question."""
    return (CONCLUDE, f"\n{ASKED_FOR}", f"\n{CONSIDER}", *stops(form))


def contrast(form: Form, examples: Sequence[Exchange], messages: Sequence[Message]) -> Context:
    """A conversation after examples of how its assistant answers, for a response to be scored."""
    system = [(ROLES[m.role], m.content) for m in messages if m.role == "system"]
    shown = [turn for e in examples for turn in (("Human", e.prompt), ("Assistant", e.response))]
    conversation = [(ROLES[m.role], m.content) for m in messages if m.role != "system"]
    return _context(form, [*system, *shown, *conversation], "Assistant")


def pointwise(form: Form, messages: Sequence[Message], principle_question: str, response: str) -> Context:
    """Ask whether a response, seen alone, is what the principle chooses; `VERDICTS` are the answers.

    The principle comes first, so that small models read the response by it.
    """
    conversation = _conversation((*messages, Message("assistant", response)))
    return _answering(form, [], f"{principle_question}\n{CONSIDER}\n{conversation}\n{CHOSEN}", ASKED_FOR)


def chosen(form: Form, messages: Sequence[Message], principle_question: str) -> Context:
    """The same of a model that only scores: what a response follows, with the principle first."""
    asked = f"{principle_question}\n{CONSIDER}\n{_conversation(messages)}"
    if form == "plain":
        return Context(prefill=f"{asked}\n\n{ROLES['assistant']}:")
    return Context(messages=(Message("user", asked),))


def continuation(form: Form, response: str) -> str:
    """A response as it follows its context: in the plain form, after a space."""
    return f" {response.strip()}" if form == "plain" else response.strip()


def _question(messages: Sequence[Message], asked: str, a: str, b: str) -> str:
    return f"{CONSIDER}\n{_conversation(messages)}\n{asked}\nOptions:\n(A) {_unmarked(a)}\n(B) {_unmarked(b)}"


def _conversation(messages: Sequence[Message]) -> str:
    return "\n\n".join(f"{ROLES[m.role]}: {_unmarked(m.content)}" for m in messages)


def _reasoned(asked: str, shots: Sequence[ReasonedExample]) -> list[tuple[str, str]]:
    return [
        (
            _question(shot.messages, asked, shot.response_a, shot.response_b),
            f"{_thought(shot.rationale)}{OPTIONS[shot.answer == 'b']}",
        )
        for shot in shots
    ]


def _thought(rationale: str) -> str:
    return f"{THINK} {_unmarked(rationale)}\n{CONCLUDE}"


def _answering(form: Form, solved: Sequence[tuple[str, str]], question: str, begun: str) -> Context:
    """A question that the assistant has begun to answer, after others that it has answered."""
    if form == "plain":
        return Context(prefill="\n\n".join(f"{q}\n{answer}" for q, answer in [*solved, (question, begun)]))
    turns = [turn for q, answer in solved for turn in (Message("user", q), Message("assistant", answer))]
    return Context(messages=(*turns, Message("user", question)), prefill=begun)


def _unmarked(text: str) -> str:
    # As `_unlabelled`, for all that gives a choice its shape: no text can forge an option or an answer.
    return _MARK_LINE.sub(" ", text.strip())
