"""Records to what a trainer eats: token ids, made by the same encoder that asks the model later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import templates
from pipeline.comparison_forms import UNKNOWN
from pipeline.engines import Context, Form
from pipeline.engines.encoding import Encoder
from pipeline.records import Chain, Message, Pair, as_json, content_id

Row = tuple[list[int], int]
"""The tokens of a conversation with its answer, and how many come before the answer."""


@dataclass(frozen=True)
class Lesson:
    """What a model is asked, in either form, and what it is to say. `source` is where it came from.

    An answer that was cut off does not end: the end of the turn, in mid-sentence, is not to be learnt.
    """

    ask: Callable[[Form], Context]
    answer: str
    source: str
    ends: bool = True


def lesson(messages: Sequence[Message], answer: str, source: str, ends: bool = True) -> Lesson:
    """To answer a conversation."""
    return Lesson(lambda form: templates.response(form, messages), answer, source, ends)


@dataclass(frozen=True)
class Preference:
    """A pair and the probability that its response a is the better one. `origin` says who says so.

    With a `question`, each response is read after it and the conversation; else as its conversation's end.
    """

    pair: Pair
    p: float
    origin: str
    question: str = ""

    @property
    def prompt(self) -> str:
        """What is answered, by what it says: the same prompt may have other ids in other files.

        Comparisons may lack their prompt; then it is the pair's own id of it.
        """
        plain = [as_json(message) for message in self.pair.messages]
        return self.pair.prompt_id if self.pair.messages == UNKNOWN else content_id(plain)


def lessons_of(chains: Iterable[Chain], every: bool) -> list[Lesson]:
    """The last revision of each chain, or all of them; the response of a chain without revisions is none."""
    lessons = []
    for chain in chains:
        revisions = [step for step in chain.steps if step.kind == "revision" and step.text.strip()]
        for step in revisions if every else revisions[-1:]:
            whole = step.finish != "length"
            lessons.append(lesson(chain.messages, step.text, chain.id, whole))
    return lessons


def answered(encoder: Encoder, messages: Sequence[Message], answer: str) -> Row:
    """The tokens of a conversation with its answer and the turn's end; and how many are the question's."""
    return said(encoder, templates.response(encoder.form, messages), answer)


def said(encoder: Encoder, asked: Context, answer: str, ends: bool = True) -> Row:
    """The tokens of what is asked, the answer and, if it `ends`, the turn's end; and how many are the
    question's."""
    before = encoder.encode(asked)
    written = encoder.after(before, answer if encoder.form == "chat" else f" {answer.strip()}")
    return [*before, *written, *[encoder.tokenizer.eos_token_id] * ends], len(before)


def supervised(encoder: Encoder, lessons: Iterable[Lesson], longest: int) -> tuple[Any, int]:
    """A `datasets.Dataset` of `input_ids`, `labels` (-100 where nothing is learnt) and `length`.

    A lesson that another one begins with, as a revision does with its critique, is learnt within it: one
    pass over the tokens that they share. The second value counts the lessons that are left out as longer
    than `longest` tokens.
    """
    from datasets import Dataset

    rows: list[dict[str, Any]] = []
    out = 0
    for one in lessons:
        ids, start = said(encoder, one.ask(encoder.form), one.answer, one.ends)
        if len(ids) > longest:
            out += 1
            continue
        rows.append({"input_ids": ids, "labels": [-100] * start + ids[start:], "length": len(ids)})
    within = beginning_others([row["input_ids"] for row in rows])
    for short, long in within.items():
        for at, label in enumerate(rows[short]["labels"]):
            if label != -100:
                rows[long]["labels"][at] = label
    return Dataset.from_list([row for at, row in enumerate(rows) if at not in within]), out


def beginning_others(sequences: Sequence[Sequence[Any]]) -> dict[int, int]:
    """Of each sequence that a longer one begins with: its place, and that one's."""
    found: dict[int, int] = {}
    longer: int | None = None
    # From the end of the alphabet: what begins a sequence comes right after it and its like.
    for at in sorted(range(len(sequences)), key=lambda at: (sequences[at], at), reverse=True):
        own = sequences[at]
        if longer is not None and len(own) < len(sequences[longer]) and sequences[longer][: len(own)] == own:
            found[at] = longer
        else:
            longer = at
    return found


def preferred(encoder: Encoder, preferences: Iterable[Preference], longest: int) -> tuple[Any, int]:
    """A `datasets.Dataset` of `chosen_ids`, `rejected_ids`, `p` >= 0.5 that chosen is better, and `length`.

    The second value counts the pairs that are left out as longer than `longest` tokens.
    """
    return _dataset(
        encoder,
        preferences,
        longest,
        lambda better, worse, start, p: {
            "chosen_ids": better,
            "rejected_ids": worse,
            "p": p,
            "length": len(better) + len(worse),
        },
    )


def opposed(encoder: Encoder, preferences: Iterable[Preference], longest: int) -> tuple[Any, int]:
    """A `datasets.Dataset` of `prompt_ids`, `chosen_ids` and `rejected_ids`, the last two without the prompt.

    The second value counts the pairs that are left out as longer than `longest` tokens.
    """
    return _dataset(
        encoder,
        preferences,
        longest,
        lambda better, worse, start, p: {
            "prompt_ids": better[:start],
            "chosen_ids": better[start:],
            "rejected_ids": worse[start:],
        },
    )


def _read(encoder: Encoder, preference: Preference, response: str) -> Row:
    """The tokens of a response as it is put to a scorer; and how many come before its own."""
    messages, form = preference.pair.messages, encoder.form
    if not preference.question:
        return answered(encoder, messages, response)
    asked = templates.chosen(form, messages, preference.question)
    return said(encoder, asked, templates.continuation(form, response))


def both_read(
    encoder: Encoder, preferences: Iterable[Preference], longest: int
) -> tuple[list[tuple[Preference, Row, Row]], int]:
    """The pairs that are short enough, each with its responses a and b; and how many are left out."""
    found, out = [], 0
    for preference in preferences:
        a = _read(encoder, preference, preference.pair.response_a)
        b = _read(encoder, preference, preference.pair.response_b)
        if max(len(a[0]), len(b[0])) > longest:
            out += 1
        else:
            found.append((preference, a, b))
    return found, out


def _dataset(
    encoder: Encoder,
    preferences: Iterable[Preference],
    longest: int,
    row: Callable[[list[int], list[int], int, float], dict[str, Any]],
) -> tuple[Any, int]:
    """A row for each pair that is short enough, of both sides' tokens, the prompt's length and p >= 0.5."""
    from datasets import Dataset

    found, out = both_read(encoder, preferences, longest)
    rows = [
        row(a, b, start, preference.p) if preference.p >= 0.5 else row(b, a, start, 1 - preference.p)
        for preference, (a, start), (b, _) in found
    ]
    return Dataset.from_list(rows), out
