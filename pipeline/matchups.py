"""Matchups: two models' answers to one prompt, and which was held better. Read by `cai elo`.

Files are our own JSONL, a `Matchup` a line, and the arena's: `model_a`, `model_b` with a `winner`, or with
`winner_model_a`, `winner_model_b` and `winner_tie`; as CSV, TSV, JSONL, a JSON array or Parquet.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from pipeline.comparison_forms import FLAGS, winner
from pipeline.errors import InputError, UserError
from pipeline.prompt_rows import Columns, placed, rows
from pipeline.records import (
    STRICT,
    AnnotatorKind,
    Axis,
    Message,
    PromptKind,
    content_id,
    parse,
    well_formed,
)
from pipeline.row_problems import first, reason

Question = Literal["harmless", "helpful", "overall"]
"""What was judged; `overall` where a file from elsewhere does not say."""
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Annotator:
    """Who judged: a person here, someone in a data set that was brought along, or a model."""

    __pydantic_config__ = STRICT

    name: str
    kind: AnnotatorKind


@dataclass(frozen=True)
class Matchup:
    """A pair whose sides are two models, and the judgment of it.

    `p_ab` is the probability that `response_a` is better as judged with a shown first, `p_ba` with b shown
    first, `p_a` both together; a vote is 1, 0 or, for a tie, 1/2. Ratings are by `judge`: for people and
    imports it names what they judged in, and `annotator` who did. `time` is ISO 8601.
    """

    __pydantic_config__ = STRICT

    id: str
    prompt_id: str
    axis: Question
    model_a: str
    model_b: str
    judge: str
    annotator: Annotator
    p_ab: Share
    p_ba: Share
    p_a: Share
    kind: PromptKind = "red_team"
    response_a: str = ""
    response_b: str = ""
    constitution: str | None = None
    time: str = ""


@dataclass(frozen=True)
class Waiting:
    """Two models' answers to one prompt, by the weights of these revisions, that people are to judge.

    Which of them is `a` says nothing, and is not how a person sees them. `id` is that of the match.
    """

    __pydantic_config__ = STRICT

    id: str
    prompt_id: str
    axis: Axis
    messages: tuple[Message, ...]
    model_a: str
    model_b: str
    response_a: str
    response_b: str
    kind: PromptKind = "red_team"
    revision_a: str | None = None
    revision_b: str | None = None


@dataclass(frozen=True)
class MatchupFile:
    """What a file held: its matchups in order, its bad rows as `file:line: what`, and counted repeats."""

    matchups: tuple[Matchup, ...]
    problems: tuple[str, ...] = ()
    duplicates: int = 0

    def report(self) -> list[str]:
        """What a person should know of the reading."""
        lines = first(self.problems)
        if self.duplicates:
            lines.append(f"repeats of earlier matchups, left out: {self.duplicates:,}")
        return lines


WAITING = "waiting.jsonl"
"""The pairs of a tournament that people judge, below a run's outputs."""
_SAID = {"model_a", "model_b", "winner", *FLAGS}
_ABOUT = {"prompt_id", "prompt", "question_id", "axis", "judge", "annotator", "kind"}
_ANSWERS = {"response_a", "response_b", "conversation_a", "conversation_b"}
_OURS = {field.name for field in fields(Matchup)}
MATCHUPS = Columns(
    "matchups",
    frozenset(_SAID | _ABOUT | _ANSWERS),
    frozenset(_SAID | _ABOUT | _ANSWERS | _OURS),
    frozenset({"model_a"}),
)
_SHARES = {"first": 1.0, "tie": 0.5, "second": 0.0}
_VISITOR = "arena_user"
"""So the arena's own files begin a `judge` who is one of its many visitors, and no judge to rate by."""


def read(path: Path, axis: Question = "overall") -> MatchupFile:
    """Read a file of matchups, or a run of `cai evaluate`. `axis` is what rows that name none are about.

    Raises InputError where nothing in it is a matchup, UserError for a run that has none yet.
    """
    path = _file(path)
    file = path.name
    found: dict[str, Matchup] = {}
    problems: list[str] = []
    duplicates = 0
    for place, row in placed(rows(path, MATCHUPS)):
        try:
            if row.problem:
                raise ValueError(row.problem)
            made = _matchup(row.value, f"{file}:{place}", file, axis)
            if made.id in found and found[made.id] != made:
                raise ValueError(f"the id {made.id} is already another matchup's")
        except (ValueError, KeyError, RecursionError) as error:
            problems.append(f"{path}:{row.line}: {reason(error)}")
            continue
        duplicates += made.id in found
        found[made.id] = made
    if not found:
        raise InputError([f"{path}: no matchups in this file", *first(problems)])
    return MatchupFile(tuple(found.values()), tuple(problems), duplicates)


def _file(path: Path) -> Path:
    if not os.path.isdir(path):
        return path
    whole = path / "outputs" / "matchups.jsonl"
    if whole.is_file():
        return whole
    if whole.with_name("matchups.jsonl.part").is_file():
        raise UserError(f"{path}: this run is not finished: give its command again")
    if whole.with_name(WAITING).is_file():
        raise UserError(
            f"{path}: its pairs wait for people: import the run in the studio, and vote in its arena"
        )
    raise UserError(f"{path}: has no outputs/matchups.jsonl: name a run of `cai evaluate`, or a file")


def _matchup(row: object, place: str, file: str, axis: Question) -> Matchup:
    """The matchup in a row. Raises ValueError or KeyError that says what is wrong with it."""
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    made = parse(Matchup, row) if row.get("p_a") is not None else _vote(row, place, file, axis)
    if not made.model_a or not made.model_b:
        raise ValueError(f"{'model_a' if not made.model_a else 'model_b'}: no model is named")
    if made.model_a == made.model_b:
        raise ValueError(f"model_a, model_b: both are {made.model_a[:80]}")
    return made


def _vote(row: dict[str, Any], place: str, file: str, axis: Question) -> Matchup:
    """A row in the arena's form."""
    won = winner(row)
    if won is None:
        raise ValueError(f"no winner here: expected `winner`, or {', '.join(FLAGS)}")
    named = _text(row, "axis").lower()
    if named and named not in get_args(Question):
        raise ValueError(f"axis: {named[:40]!r} is none of {', '.join(get_args(Question))}")
    judge, annotator = _text(row, "judge"), _text(row, "annotator")
    if judge.startswith(_VISITOR):
        judge, annotator = "", annotator or judge
    kind = _text(row, "kind")
    return Matchup(
        id=place,
        prompt_id=_prompt(row),
        axis=named or axis,  # type: ignore[arg-type]  # one of them, as was just seen
        model_a=_text(row, "model_a"),
        model_b=_text(row, "model_b"),
        judge=judge or file,
        annotator=Annotator(annotator or judge or file, "imported"),
        p_ab=_SHARES[won],
        p_ba=_SHARES[won],
        p_a=_SHARES[won],
        kind="red_team" if kind == "red_team" else "helpful",
        response_a=_text(row, "response_a"),
        response_b=_text(row, "response_b"),
    )


def _prompt(row: dict[str, Any]) -> str:
    """What tells this row's prompt from others: an id, else its text; empty where there is neither.

    The text comes before the arena's `question_id`, which may be another one at each visit.
    """
    if id := _text(row, "prompt_id"):
        return id
    if asked := _text(row, "prompt") or _first_turn(row.get("conversation_a")):
        return _id(asked)
    return _text(row, "question_id")


@lru_cache(maxsize=100_000)
def _id(asked: str) -> str:
    """The id that a prompt file gives this text. Kept, for the rows of a large file repeat their prompts."""
    return content_id([{"role": "user", "content": asked}])


def _first_turn(conversation: object) -> str:
    if isinstance(conversation, str) and conversation.lstrip().startswith("["):
        try:
            conversation = json.loads(conversation)
        except ValueError:
            return ""
    turn = conversation[0] if isinstance(conversation, list) and conversation else None
    return _text(turn, "content") if isinstance(turn, dict) else ""


def _text(row: dict[str, Any], name: str) -> str:
    """A cell as text; a number is one too, as Parquet and JSON may have it."""
    value = row.get(name)
    if value is None or value == "":
        return ""
    if type(value) is str and value.isascii():
        return value.strip()  # as nearly all are, of which a large file has millions
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    text = str(value)
    return (text if text.isascii() else well_formed(text)).strip()
