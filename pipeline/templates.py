"""Every string ever sent to a model, in one place.

The paper's prompts (Bai et al. 2022, section 3.1 and appendix A) are a transcript of labelled turns:

    Human: ... Assistant: ... CritiqueRequest: ... Critique: ... RevisionRequest: ... Revision: ...

`plain` writes them so, for base models. `chat` gives the same content as turns of the model's own
chat template: what the paper labels a request is the user's turn, what it asks for the assistant's.
Each later round starts from the conversation with the response replaced by the latest revision.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.engines import Context, Form
from pipeline.records import Constitution, CritiqueExample, Message, Principle, Role

LABELS = ("Human", "Assistant", "CritiqueRequest", "Critique", "RevisionRequest", "Revision")
ROLES = {"user": "Human", "assistant": "Assistant", "system": "System"}

_LABEL_LINE = re.compile(rf"^(?=({'|'.join((*LABELS, 'System'))}):)", re.MULTILINE)


def stops(form: Form) -> tuple[str, ...]:
    """Strings that end a completion: in the plain form, the label of any next turn."""
    return tuple(f"\n\n{label}:" for label in LABELS) if form == "plain" else ()


def response(form: Form, messages: Sequence[Message]) -> Context:
    """Ask for the first answer to a conversation."""
    return _context(form, [(ROLES[m.role], m.content) for m in messages], "Assistant")


def critique(
    form: Form, messages: Sequence[Message], answer: str, principle: Principle, constitution: Constitution
) -> Context:
    """Ask for a critique of `answer` under a principle."""
    return _context(form, _asked(messages, answer, principle, constitution), "Critique")


def revision(
    form: Form,
    messages: Sequence[Message],
    answer: str,
    criticism: str,
    principle: Principle,
    constitution: Constitution,
) -> Context:
    """Ask for a revision of `answer` in the light of the critique just made."""
    turns = [
        *_asked(messages, answer, principle, constitution),
        ("Critique", criticism),
        ("RevisionRequest", principle.revision_request or ""),
    ]
    return _context(form, turns, "Revision")


Turn = tuple[str, str]
"""(label, text)"""

WRITTEN_BY_MODEL = ("Assistant", "Critique", "Revision")


def _asked(
    messages: Sequence[Message], answer: str, principle: Principle, constitution: Constitution
) -> list[Turn]:
    system = [(ROLES[m.role], m.content) for m in messages if m.role == "system"]
    conversation = [(ROLES[m.role], m.content) for m in messages if m.role != "system"]
    return [
        *system,  # before the examples: chat templates take it as the first turn only
        *_shots(constitution),
        *conversation,
        ("Assistant", answer),
        ("CritiqueRequest", principle.critique_request or ""),
    ]


def _shots(constitution: Constitution) -> list[Turn]:
    return [turn for example in constitution.few_shot.critique for turn in _shot(example)]


def _shot(example: CritiqueExample) -> list[Turn]:
    return [
        *((ROLES[m.role], m.content) for m in example.messages),
        ("CritiqueRequest", example.critique_request),
        ("Critique", example.critique),
        ("RevisionRequest", example.revision_request),
        ("Revision", example.revision),
    ]


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
