"""Multiple-choice evaluations in the paper's form: `prompt`, `corrects`, `incorrects` (its figure 4).

Two kinds of question. Where the answers are letters, the prompt is asked as it is, and the letters are
compared as whole continuations. Where they are responses to a conversation, each right one is put
against each wrong one as a choice (templates.py), in both orders. A model that only scores compares the
responses, which a lettered row of the paper also has at length. Headless: `cai evals`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline import intervals, models, templates
from pipeline.engines import Cancelled, Context, Engine, Form, TooLong, never
from pipeline.errors import InputError
from pipeline.intervals import Figure
from pipeline.judging import probability
from pipeline.prompt_forms import is_transcript, transcript
from pipeline.prompt_rows import Columns, placed, rows
from pipeline.records import STRICT, Message, content_id, well_formed
from pipeline.row_problems import first, reason

ROWS = Columns(
    "evaluations",
    frozenset({"prompt"}),
    frozenset({"prompt", "corrects", "incorrects"}),
    frozenset({"corrects"}),
)
BATCH = 8
"""Questions that are put at once."""

_LETTER = re.compile(r"\s*\(?([A-Za-z])\)?[.:]?\s*")


@dataclass(frozen=True)
class Question:
    """One thing to decide: letters' continuations, or a right and a wrong response. `id` is its place.

    `responses` are the conversation, and the right and the wrong response to it, where they are known.
    """

    id: str
    line: int
    kind: Literal["letters", "responses"]
    prompt: str
    corrects: tuple[str, ...]
    incorrects: tuple[str, ...]
    responses: tuple[tuple[Message, ...], str, str] | None = None


@dataclass(frozen=True)
class Answer:
    """A model's, whose weights are `revision`, asked in `form`.

    `right` is 1, 0, or 0.5 for an exact tie; `first` the same for the first option, over all orders.

    `p` is the probability of what is right, among the options, by the mean logit of both orders.
    """

    __pydantic_config__ = STRICT

    id: str
    kind: Literal["letters", "responses"]
    prompt_id: str
    right: float
    first: float
    p: float
    model: str
    revision: str
    form: Form


@dataclass(frozen=True)
class EvalFile:
    """The questions of a file, and its bad rows as `file:line: what`."""

    questions: tuple[Question, ...]
    problems: tuple[str, ...] = ()

    def report(self) -> list[str]:
        """What a person should know of the reading."""
        return list(first(self.problems))


@dataclass(frozen=True)
class Report:
    """Figures with 95% intervals, clustered by prompt.

    `first` is how often the first option wins; not a number for a model that only scores.
    """

    accuracy: Figure
    first: Figure
    ties: int
    kinds: dict[str, int]


def read(path: Path) -> EvalFile:
    """The questions of a file. Raises InputError where nothing in it is one."""
    questions: list[Question] = []
    problems: list[str] = []
    for place, row in placed(rows(path, ROWS)):
        try:
            if row.problem:
                raise ValueError(row.problem)
            questions += _questions(row.value, place, row.line)
        except (ValueError, KeyError) as error:
            problems.append(f"{path}:{row.line}: {reason(error)}")
    if not questions:
        raise InputError([f"{path}: no evaluations in this file", *first(problems)])
    return EvalFile(tuple(questions), tuple(problems))


def _questions(row: object, place: str, line: int) -> Iterator[Question]:
    if not isinstance(row, dict):
        raise ValueError("is not an object with `prompt`, `corrects` and `incorrects`")
    prompt = row["prompt"]
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("prompt: is not text")
    corrects, incorrects = (_texts(row[name], name) for name in ("corrects", "incorrects"))
    if set(corrects) & set(incorrects):
        raise ValueError("corrects, incorrects: share an answer")
    if all(_LETTER.fullmatch(text) for text in (*corrects, *incorrects)):
        spelt = _at_length(row.get("text_correct"), row.get("text_incorrect"))
        yield Question(place, line, "letters", well_formed(prompt), corrects, incorrects, spelt)
        return
    if not is_transcript(prompt):
        raise ValueError(
            "prompt: is not a conversation that begins with `Human:`, and the answers are no letters"
        )
    asked = well_formed(prompt)
    messages = _conversation(asked)
    for i, (right, wrong) in enumerate(product(corrects, incorrects)):
        yield Question(f"{place}.{i}", line, "responses", asked, (right,), (wrong,), (messages, right, wrong))


def _at_length(right: object, wrong: object) -> tuple[tuple[Message, ...], str, str] | None:
    """Two transcripts of one conversation that end in responses to it."""
    if not (isinstance(right, str) and isinstance(wrong, str) and is_transcript(right)):
        return None
    told, other = transcript(right), transcript(wrong)
    asked = told[:-1]
    if not asked or asked != other[:-1] or not told[-1].role == other[-1].role == "assistant":
        return None
    return tuple(asked), told[-1].content, other[-1].content


def _texts(value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v.strip() for v in value):
        raise ValueError(f"{field}: is not a list of texts")
    return tuple(well_formed(text) for text in value)


def answer(
    questions: Sequence[Question],
    engine: Engine,
    form: Form | None = None,
    on_answer: Callable[[Answer], None] = lambda answer: None,
    on_skip: Callable[[Question, str], None] = lambda question, reason: None,
    cancelled: Cancelled = never,
) -> list[Answer]:
    """Put the questions to a model; on a cancel, those that are answered by then."""
    answers: list[Answer] = []
    for start in range(0, len(questions), BATCH):
        if cancelled():
            break
        for found in _answered(questions[start : start + BATCH], engine, form or engine.info.form, on_skip):
            answers.append(found)
            on_answer(found)
    return answers


def _answered(
    questions: Sequence[Question], engine: Engine, form: Form, on_skip: Callable[[Question, str], None]
) -> list[Answer]:
    scores_only = engine.info.scores
    left = []
    for question in questions:
        if scores_only and question.responses is None:
            on_skip(question, f"{engine.info.name} scores responses, and this asks for a letter alone")
        else:
            left.append(question)
    while left:
        asked = [(i, *one) for i, question in enumerate(left) for one in _asked(question, form, scores_only)]
        try:
            scores = engine.score([context for _, context, _ in asked], [text for _, _, text in asked])
        except TooLong as error:
            on_skip(left.pop(asked[error.index][0]), str(error))
            continue
        found: list[list[float]] = [[] for _ in left]
        for (i, _, _), score in zip(asked, scores, strict=True):
            found[i].append(score.logprob)
        said_by = engine.info.name, engine.info.revision, form
        by = _by_scores if scores_only else _answer
        return [by(question, logprobs, said_by) for question, logprobs in zip(left, found, strict=True)]
    return []


def _asked(question: Question, form: Form, scores_only: bool) -> list[tuple[Context, str]]:
    if scores_only and question.responses:
        messages, *both = question.responses
        context = templates.chosen(form, messages, templates.BETTER)
        return [(context, templates.continuation(form, response)) for response in both]
    if question.kind == "letters":
        context = templates.as_asked(form, question.prompt)
        texts = (*question.corrects, *question.incorrects)
        return [(context, text if context.prefill else text.strip()) for text in texts]
    messages = _conversation(question.prompt)
    right, wrong = question.corrects[0], question.incorrects[0]
    return [
        (templates.choice(form, messages, templates.BETTER, *shown), option)
        for shown in ((right, wrong), (wrong, right))
        for option in templates.OPTIONS
    ]


def _conversation(prompt: str) -> tuple[Message, ...]:
    turns = transcript(prompt)
    while turns and turns[-1].role == "assistant" and not turns[-1].content:
        turns.pop()
    return tuple(turns)


def _by_scores(question: Question, scores: Sequence[float], said_by: tuple[str, str, Form]) -> Answer:
    right, wrong = scores
    # Each was read alone, so that none comes first.
    return Answer(*_said(question), _side(right - wrong), 0.5, probability(right - wrong), *said_by)


def _said(question: Question) -> tuple[str, Literal["letters", "responses"], str]:
    # A lettered prompt holds its own options: what comes before them is what is shared.
    stem = question.prompt.split("\n (A)")[0].split("\n(A)")[0]
    return question.id, question.kind, content_id([stem])


def _answer(question: Question, logprobs: Sequence[float], said_by: tuple[str, str, Form]) -> Answer:
    said = _said(question)
    if question.kind == "responses":
        right_a, wrong_b, wrong_a, right_b = logprobs
        ab, ba = right_a - wrong_b, right_b - wrong_a
        return Answer(
            *said, _side(ab + ba), (_side(ab) + _side(-ba)) / 2, probability((ab + ba) / 2), *said_by
        )
    texts, many = (*question.corrects, *question.incorrects), len(question.corrects)
    right = max(logprobs[:many]) - max(logprobs[many:])
    by_letter = sorted(zip(texts, logprobs, strict=True), key=lambda option: option[0].strip(" ()").upper())
    first = by_letter[0][1] - max(p for _, p in by_letter[1:])
    p = float(np.exp(np.logaddexp.reduce(logprobs[:many]) - np.logaddexp.reduce(logprobs)))
    return Answer(*said, _side(right), _side(first), p, *said_by)


def _side(difference: float) -> float:
    return 0.5 if difference == 0 else float(difference > 0)


def report(answers: Sequence[Answer]) -> Report:
    """The figures. An exact tie counts half."""
    cluster = np.unique([a.prompt_id for a in answers], return_inverse=True)[1]
    kinds = [a.kind for a in answers]
    firsts = np.array([a.first for a in answers])
    alone = bool(answers) and models.scores(answers[0].model)
    return Report(
        accuracy=intervals.share(np.array([a.right for a in answers]), cluster),
        first=intervals.nothing(len(answers)) if alone else intervals.share(firsts, cluster),
        ties=sum(a.right == 0.5 for a in answers),
        kinds={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
    )
