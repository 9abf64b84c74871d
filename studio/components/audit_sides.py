"""A pair as one annotator sees it: which response is on the left, and what the letters mean.

The letters A and B, on the page and on the keys, are those of the shown sides. What is stored is in the
pair's own sides: only here is one turned into the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.records import Choice, Pair, Source

Side = Literal["a", "b"]
LETTERS = "ABCDEFGHI"  # nine responses to a prompt are the most there are


@dataclass(frozen=True)
class Shown:
    """A pair with the side that this annotator sees on the left, as A."""

    pair: Pair
    first: Side

    @property
    def responses(self) -> tuple[str, str]:
        """The left and the right response."""
        texts = self.pair.response_a, self.pair.response_b
        return texts if self.first == "a" else (texts[1], texts[0])

    @property
    def sources(self) -> tuple[Source, Source]:
        """Who wrote the left and the right response."""
        sources = self.pair.source_a, self.pair.source_b
        return sources if self.first == "a" else (sources[1], sources[0])

    def turned(self, choice: Choice) -> Choice:
        """A choice by letter as one by the pair's sides, and back: it is the same turn."""
        other: dict[Choice, Choice] = {"a": "b", "b": "a"}
        return choice if self.first == "a" else other.get(choice, choice)

    def letter(self, choice: Choice) -> str:
        """What a stored choice is called on the page: A, B, a tie or a skip."""
        by_letter = self.turned(choice)
        return by_letter.upper() if by_letter in ("a", "b") else by_letter

    def left(self, p_a: float) -> float:
        """The probability that the left response is better, of that for the pair's side a."""
        return p_a if self.first == "a" else 1 - p_a


def shown(pair: Pair, annotator: str) -> Shown:
    """The pair as this annotator always sees it: the side is drawn from a hash of both."""
    return Shown(pair, first_side(pair.id, annotator))


def first_side(id: str, annotator: str) -> Side:
    """Which side of a pair this annotator sees on the left."""
    return "a" if _hash(annotator, id)[0] & 1 else "b"


def shuffled(responses: Sequence[str], group: str, annotator: str) -> list[str]:
    """A group's responses in the order of their letters, the same at each refresh."""
    return sorted(responses, key=lambda response: _hash(annotator, group, response))


def _hash(*parts: str) -> bytes:
    text = "\0".join(parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
