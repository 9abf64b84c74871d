"""The texts inside foreign files: how the paper and llm-swarm write requests, transcripts and pairs.

One `read_` and one `write_` for each kind of entry (paper, appendices C and E). A reader raises Malformed
with what it expected; `pipeline/foreign.py` adds the file and the place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pipeline.records import CritiqueExample, FeedbackExample, Message, Principle, ReasonedExample, Role

MAX_TITLE = 70

_SENTENCE_END = re.compile(r"(?<=[.?!])\s")
# Requests open alike («Identify specific ways in which the assistant's last response is ...»): what
# tells one from the next comes after the response is named.
_OPENING = re.compile(
    r".*?\b(?:assistant|responses?)\b(?:'s)?"
    r"(?: (?:last|precedings?|responses?|carefully|and|to the human|that's|that|which|is|are|was|as|if|may be"
    r"|in terms of))*[, ]+"
)
_LABEL = re.compile(r"(?:\A|\n\n)(Human|Assistant|CritiqueRequest|Critique|RevisionRequest|Revision):")
_SHORT_LABEL = re.compile(r"(?:\A|\n\n)(H|A):")
_ROLES: dict[str, Role] = {"Human": "user", "Assistant": "assistant", "H": "user", "A": "assistant"}
_LABELS = {"user": "Human", "assistant": "Assistant", "system": "System"}

_PREAMBLE = "Consider the following conversation between a human (H) and an assistant (A):\n\n"
_REASONED_MARKS = (
    "\n\n{}\n (A) [[[",  # {} is where the principle goes
    "]]]\n (B) [[[",
    "]]]\n\nAssistant: Let's think step by step:",
    "\n\nHuman:\nSo the answer is: (",
)


class Malformed(Exception):
    """An entry that is not of the form that its file seemed to have."""


def title_of(request: str) -> str:
    """A title from a request, always the same one, so that export need not carry it."""
    sentence = _SENTENCE_END.split(" ".join(request[:500].split()))[0].rstrip(".?!")
    opening = _OPENING.match(sentence)
    rest = sentence[opening.end() :] if opening else sentence
    title = rest if len(rest.split()) >= 3 else sentence
    title = title[:1].upper() + title[1:]
    if len(title) > MAX_TITLE:
        title = title[:MAX_TITLE].rsplit(" ", 1)[0].rstrip(",;") + "…"
    return title or "Untitled"


def request_principle(name: str, critique: str, revision: str) -> Principle:
    """A principle for the SL stage, titled after its critique request."""
    return Principle(name, title_of(critique), critique_request=critique, revision_request=revision)


def comparison_principle(name: str, comparison: str) -> Principle:
    """A principle for the RL stage, titled after its comparison."""
    return Principle(name, title_of(comparison), comparison=comparison)


def read_critique_pair(entry: Any) -> tuple[str, str]:
    """The requests in `{"prompt": ["\\n\\nCritiqueRequest: ...\\n\\nCritique:"], "edit_request": ...}`."""
    _expect(entry, {"prompt": list, "edit_request": str})
    if len(entry["prompt"]) != 1 or not isinstance(entry["prompt"][0], str):
        raise Malformed("prompt: expected a list of one text")
    critique = _unwrapped(entry["prompt"][0], "\n\nCritiqueRequest: ", "\n\nCritique:")
    return critique, _unwrapped(entry["edit_request"], "\n\nRevisionRequest: ", "\n\nRevision:")


def write_critique_pair(principle: Principle) -> dict[str, Any]:
    """The inverse of `read_critique_pair`."""
    return {
        "prompt": [f"\n\nCritiqueRequest: {principle.critique_request}\n\nCritique:"],
        "edit_request": f"\n\nRevisionRequest: {principle.revision_request}\n\nRevision:",
    }


def read_comparison(entry: Any) -> str:
    """The comparison in `"\\nWhich ...? Choose .... Options:"`."""
    if not isinstance(entry, str):
        raise Malformed("expected text")
    return _unwrapped(entry, "\n", " Options:")


def write_comparison(principle: Principle) -> str:
    """The inverse of `read_comparison`."""
    return f"\n{principle.comparison} Options:"


def read_swarm_pair(entry: Any) -> tuple[str, str]:
    """The requests in llm-swarm's `{"critic", "revision"}`."""
    _expect(entry, {"critic": str, "revision": str})
    return entry["critic"], entry["revision"]


def read_transcript(entry: Any) -> CritiqueExample:
    """A few-shot transcript: a conversation, then request, critique, request and revision."""
    if not isinstance(entry, str):
        raise Malformed("expected text")
    turns = _turns(_LABEL, entry)
    # The next transcript's "Human:" ends a revision; it is the delimiter, not part of it.
    if turns and turns[-1] == ("Human", ""):
        turns.pop()
    labels = [label for label, _ in turns]
    if labels[-4:] != ["CritiqueRequest", "Critique", "RevisionRequest", "Revision"]:
        raise Malformed("expected a transcript that ends with one critique and one revision")
    return CritiqueExample(_messages(turns[:-4]), *(text for _, text in turns[-4:]))


def write_transcript(example: CritiqueExample) -> str:
    """The inverse of `read_transcript`.

    The paper's file leaves the closing delimiter off one of its five; we write it on all, so the file
    comes back equal in content but not in every byte.
    """
    turns = [
        ("CritiqueRequest", example.critique_request),
        ("Critique", example.critique),
        ("RevisionRequest", example.revision_request),
        ("Revision", example.revision),
    ]
    return f"{_transcript(example.messages)}{_labelled(turns)}\n\nHuman:"


def read_judged(entry: Any) -> list[FeedbackExample]:
    """`{"prompt", "corrects", "incorrects"}`: each correct response with each incorrect one."""
    _expect(entry, {"prompt": str, "corrects": list, "incorrects": list})
    if not all(isinstance(text, str) for text in entry["corrects"] + entry["incorrects"]):
        raise Malformed("corrects, incorrects: expected lists of texts")
    if not entry["corrects"] or not entry["incorrects"]:
        raise Malformed("corrects, incorrects: expected at least one text in each")
    turns = _turns(_LABEL, entry["prompt"])
    if turns and turns[-1] == ("Assistant", ""):
        turns.pop()
    messages = _messages(turns)
    return [FeedbackExample(messages, good, bad) for good in entry["corrects"] for bad in entry["incorrects"]]


def write_judged(example: FeedbackExample) -> dict[str, Any]:
    """The inverse of `read_judged` for one pair."""
    prompt = f"{_transcript(example.messages)}\n\nAssistant:"
    return {"prompt": prompt, "corrects": [example.better], "incorrects": [example.worse]}


def read_reasoned(entry: Any) -> ReasonedExample:
    """A chain-of-thought judgment: conversation, `{}` for the principle, two options, thoughts, answer."""
    _expect(entry, {"prompt": str})
    parts, rest = [], entry["prompt"]
    for mark in _REASONED_MARKS:
        part, found, rest = rest.partition(mark)
        if not found:
            raise Malformed(f"prompt: expected {mark.strip()!r} after the parts before it")
        parts.append(part)
    head, option_a, option_b, rationale = parts
    preamble, found, talk = head.partition(":\n\n")
    if not found or "Consider the following conversation" not in preamble:
        raise Malformed(f"prompt: expected it to begin with {_PREAMBLE.strip()!r}")
    answer = rest.strip().removesuffix(")")
    if answer not in ("A", "B"):
        raise Malformed("prompt: expected the answer (A) or (B) at the end")
    # The paper's spacing varies from one to the next and says nothing.
    messages = tuple(Message(m.role, m.content.strip()) for m in _messages(_turns(_SHORT_LABEL, talk)))
    return ReasonedExample(messages, option_a, option_b, rationale.strip(), "a" if answer == "A" else "b")


def write_reasoned(example: ReasonedExample) -> dict[str, Any]:
    """The inverse of `read_reasoned`.

    The paper words and spaces the opening in three ways; we write the commonest, so its file comes back
    equal in content but not in every byte.
    """
    talk = "\n\n".join(f"{_LABELS[m.role][0]}: {m.content}" for m in example.messages)
    texts = (talk, example.response_a, example.response_b, f" {example.rationale}")
    body = "".join(text + mark for text, mark in zip(texts, _REASONED_MARKS, strict=True))
    return {"prompt": f"\n\nHuman: {_PREAMBLE}{body}{example.answer.upper()})"}


def read_chat(entry: Any) -> CritiqueExample:
    """llm-swarm's few-shot chat: a conversation, then request, critique, request and revision as turns."""
    if not isinstance(entry, list) or not all(_is_message(turn) for turn in entry):
        raise Malformed("expected a list of {role, content}")
    messages = tuple(Message(turn["role"], turn["content"]) for turn in entry)
    if [m.role for m in messages[-4:]] != ["user", "assistant"] * 2 or len(messages) < 6:
        raise Malformed("expected an answered question, then a request, critique, request and revision")
    return CritiqueExample(messages[:-4], *(m.content for m in messages[-4:]))


def write_chat(example: CritiqueExample) -> list[dict[str, str]]:
    """The inverse of `read_chat`."""
    asked = (example.critique_request, example.critique, example.revision_request, example.revision)
    chat = [{"role": m.role, "content": m.content} for m in example.messages]
    return chat + [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(asked)]


def _expect(entry: Any, expected: dict[str, type]) -> None:
    """Check that an entry has exactly these fields, of these types. Raises Malformed."""
    if not isinstance(entry, dict):
        raise Malformed(f"expected an object with {', '.join(expected)}")
    for name, kind in expected.items():
        if not isinstance(entry.get(name), kind):
            raise Malformed(f"{name}: expected {'text' if kind is str else 'a list'}")
    unknown = [name for name in entry if name not in expected]
    if unknown:
        named = ", ".join(ascii(name[:30])[1:-1] for name in unknown[:5])
        raise Malformed(f"{named}: unknown; known are {', '.join(expected)}")


def _unwrapped(text: str, before: str, after: str) -> str:
    """The text without what the form puts around it."""
    return text.removeprefix(before).removesuffix(after)


def _turns(label: re.Pattern[str], transcript: str) -> list[tuple[str, str]]:
    first, *rest = label.split(transcript)
    if first.strip():
        raise Malformed("expected the transcript to begin with a label such as 'Human:'")
    return [(rest[i], rest[i + 1].removeprefix(" ")) for i in range(0, len(rest), 2)]


def _messages(turns: Sequence[tuple[str, str]]) -> tuple[Message, ...]:
    strange = sorted({label for label, _ in turns if label not in _ROLES})
    if strange or not turns:
        got = f", got {', '.join(strange)}" if strange else ""
        raise Malformed(f"expected a conversation of human and assistant turns{got}")
    return tuple(Message(_ROLES[label], text) for label, text in turns)


def _transcript(messages: Sequence[Message]) -> str:
    return _labelled([(_LABELS[m.role], m.content) for m in messages])


def _labelled(turns: Sequence[tuple[str, str]]) -> str:
    return "".join(f"\n\n{label}: {text}" for label, text in turns)


def _is_message(turn: Any) -> bool:
    return (
        isinstance(turn, dict)
        and turn.keys() == {"role", "content"}
        and turn["role"] in ("system", "user", "assistant")
        and isinstance(turn["content"], str)
    )
