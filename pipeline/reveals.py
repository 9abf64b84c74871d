"""Words by which an answer tells which model wrote it: a vote on it is not blind, and does not count.

A plain rule, and a strict one: it is told that it fired and by which words, so that a person can see where it
was wrong. It knows the names of the models that compete, those of well-known families, and what models say
of themselves ("I am … trained by …"). A name that the prompt says already reveals nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

FAMILIES = (
    r"SmolLM\w*",
    r"Hugging ?Face\w*",
    r"Chat ?GPT\w*",
    r"GPT-?\d\w*",
    r"Open ?AI",
    r"Anthropic",
    r"Qwen\w*",
    r"Alibaba Cloud",
    r"Deep ?Seek\w*",
    r"Mistral AI",
    r"Mi[sx]tral-\w+",
    r"Meta AI",
    r"(?:SL|RL)-CAI",
    r"Google (?:AI|DeepMind)",
    r"Gemma[- ]?\d\w*",
)
"""Families and makers that an answer names only when it speaks of models, whatever their case."""
_ANIMAL = re.compile(r"\b(?:LLaMA|Llama[- ]?\d\w*)\b")
SELF = re.compile(
    r"\b(?:I am|I'm|I was|as an? (?:AI|language|large|assistant|model))\b[^.!?\n]{0,80}"
    r"\b(?:trained|fine-?tuned|developed|created|made|built) by\b"
    r"|\bmy (?:base model|model name|checkpoint|creators?|developers?) (?:is|are|was|were)\b",
    re.IGNORECASE,
)
_FAMILY = re.compile(rf"\b(?:{'|'.join(FAMILIES)})\b", re.IGNORECASE)
_LONGEST = 60


def reveals(text: str, names: Iterable[str], prompt: str = "") -> str | None:
    """The words of an answer that tell its model, or another's; None where there are none.

    `names` are what the competing models are called. Of these only such count as no sentence has by chance:
    with a digit, a capital inside, or a sign between letters; so `bundled` and `first` do not.
    """
    plain, asked = _plain(text), _plain(prompt).casefold()
    patterns = [*map(_named, filter(telling, map(_plain, names))), _FAMILY, _ANIMAL, SELF]
    for pattern in patterns:
        for found in pattern.finditer(plain):
            if pattern is SELF or found[0].casefold() not in asked:
                return found[0] if len(found[0]) <= _LONGEST else f"{found[0][:_LONGEST]}…"
    return None


def telling(name: str) -> bool:
    """Whether a name in a text can only be meant as one."""
    return len(name) >= 4 and bool(
        re.search(r"[^\W\d_]", name) and re.search(r"\d|[^\W\d_][-_/][^\W\d_]|[a-z][A-Z]", name)
    )


def _named(name: str) -> re.Pattern[str]:
    """A name with any spaces or hyphens between its parts."""
    parts = [re.escape(part) for part in re.split(r"[\s_-]+", name) if part]
    return re.compile(r"(?<!\w)" + r"[\s_-]*".join(parts) + r"(?!\w)", re.IGNORECASE)


def _plain(text: str) -> str:
    return text.replace("’", "'").replace("ʼ", "'")
