"""The project's own demonstrations (`pipeline/demonstrations/*.jsonl`), and what they teach a critic.

Judged pairs and critique→revision chains, written one by one by the project; and pairs that the bundled
model and SL-CAIs of it said, which the project (a language model) read blind and judged. None is ever
counted as a person's label. Of the pairs, some are reserved: no critic and no reward model trains on them,
so that they can train a judge. A file of your own in the same form is read alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

from pipeline import constitution as constitutions
from pipeline import pairs, prompts, templates
from pipeline.engines import Context, Form
from pipeline.errors import InputError, UserError
from pipeline.prompt_rows import rows
from pipeline.records import (
    STRICT,
    Axis,
    Constitution,
    Exchange,
    Message,
    Pair,
    Principle,
    PromptKind,
    Source,
    as_json,
    content_id,
    parse,
)
from pipeline.row_problems import reason
from pipeline.train.examples import Lesson, Preference

FOLDER = Path(__file__).parent / "demonstrations"
CHAINS = prompts.WRITTEN
WRITTEN = Source("written by the project")

Skill = Literal["critique", "revision", "choice", "contrast"]
SKILLS: tuple[Skill, ...] = get_args(Skill)

PairSet = Literal["harmless", "helpful", "said-harmless", "said-helpful"]
"""Pairs that the project wrote on an axis, or that the bundled model and SL-CAIs of it said."""
SETS: tuple[PairSet, ...] = get_args(PairSet)

NONE: Mapping[str, str] = {}
R = TypeVar("R")


@dataclass(frozen=True)
class WrittenPair:
    """Two responses, the better of which the project has chosen, and why. Before it come `earlier` turns.

    `better_by` and `worse_by` name the models that said them, where the project did not write them.
    """

    __pydantic_config__ = STRICT

    id: str
    axis: Axis
    kind: str
    prompt: str
    better: str
    worse: str
    why: str
    reserved: bool = False
    earlier: tuple[Message, ...] = ()
    better_by: str = ""
    worse_by: str = ""

    def __post_init__(self) -> None:
        roles = [message.role for message in self.earlier]
        if roles != ["user", "assistant"] * (len(roles) // 2):
            raise ValueError("earlier: the turns before the prompt are a user's and the assistant's by turns")

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation up to the responses."""
        return (*self.earlier, Message("user", self.prompt))

    def as_pair(self) -> Pair:
        """The same as a pair, whose sides are drawn from its id as all are."""
        kind: PromptKind = "red_team" if self.axis == "harmless" else "helpful"
        by = [Source(name) if name else WRITTEN for name in (self.better_by, self.worse_by)]
        prompt = content_id([as_json(message) for message in self.messages])  # several pairs may share it
        return pairs.make_pair(prompt, self.messages, self.better, self.worse, by[0], by[1], kind)


@dataclass(frozen=True)
class WrittenChain:
    """A flawed response, what is wrong with it by a principle, and a better one."""

    __pydantic_config__ = STRICT

    id: str
    kind: str
    prompt: str
    response: str
    principle: str
    critique: str
    revision: str


def judged(name: PairSet) -> list[WrittenPair]:
    """The project's pairs of a set, reserved ones among them."""
    return read(FOLDER / f"{name}.jsonl", WrittenPair)


def chains() -> list[WrittenChain]:
    """The project's critique→revision chains."""
    return read(CHAINS, WrittenChain)


def read(path: Path, kind: type[R]) -> list[R]:
    """The records of a file of demonstrations. Raises InputError with each bad row's line."""
    found, problems = [], []
    for row in rows(path):
        try:
            if row.problem:
                raise ValueError(row.problem)
            found.append(parse(kind, row.value))
        except (ValueError, TypeError) as error:
            problems.append(f"{path}:{row.line}: {reason(error)}")
    if problems:
        raise InputError(problems[:20])
    return found


def preferences(name: PairSet, reserved: bool) -> list[Preference]:
    """The pairs that train rewards, or the reserved ones, which train judges of them."""
    found = []
    for written in judged(name):
        if written.reserved == reserved:
            pair = written.as_pair()
            found.append(Preference(pair, float(pair.response_a == written.better), "written"))
    return found


def critic_lessons(
    constitution: Constitution,
    seed: int,
    what: Collection[Skill] = SKILLS,
    responses: Mapping[str, str] = NONE,
) -> list[Lesson]:
    """What a critic learns, without the constitution's solved examples: it is to need none.

    To critique and to revise as in the chains; to choose, in both orders; and for `contrast`, to answer
    well after examples that keep a principle and badly after those that break it. `responses` to a chain's
    prompt take the place of the one that was written with it: a model's own are longer, and a critic that
    never saw such ones repeats them. Raises UserError where a chain's principle is not in the constitution.
    """
    lessons = []
    for chain in chains():
        chain = replace(chain, response=responses.get(chain.prompt) or chain.response)
        critique, revision = _of_chain(chain, constitution)
        lessons += [critique] * ("critique" in what) + [revision] * ("revision" in what)
    principles = constitutions.usable(constitution, "feedback")
    for axis in ("harmless", "helpful"):
        for written in judged(axis):
            if not written.reserved:
                principle = _drawn(principles, written, seed)
                lessons += _choices(written, principle) if "choice" in what else []
                lessons += _contrasts(written, principle) if "contrast" in what else []
    return lessons


def critic_prompts(what: Collection[Skill] = SKILLS) -> list[tuple[tuple[Message, ...], str]]:
    """What those lessons are about: each conversation with its pair's id, which is empty for a chain's."""
    taught = chains() if {"critique", "revision"} & set(what) else []
    found: list[tuple[tuple[Message, ...], str]] = [((Message("user", c.prompt),), "") for c in taught]
    for axis in ("harmless", "helpful"):
        if "choice" in what or (axis == "harmless" and "contrast" in what):
            found += [(one.messages, one.as_pair().id) for one in judged(axis) if not one.reserved]
    return found


def _of_chain(chain: WrittenChain, constitution: Constitution) -> tuple[Lesson, Lesson]:
    principle = next((p for p in constitution.principles if p.id == chain.principle), None)
    if principle is None:
        raise UserError(f"{CHAINS.name}: {chain.id}: {constitution.name} has no principle {chain.principle}")
    asked = (Message("user", chain.prompt),)

    def critique(form: Form) -> Context:
        return templates.critique(form, asked, chain.response, principle)

    def revision(form: Form) -> Context:
        return templates.revision(form, asked, chain.response, chain.critique, principle)

    return Lesson(critique, chain.critique, chain.id), Lesson(revision, chain.revision, chain.id)


def _drawn(principles: Sequence[Principle], written: WrittenPair, seed: int) -> Principle:
    digest = hashlib.sha256(f"{seed}:{written.id}".encode()).digest()
    return principles[int.from_bytes(digest[:4], "big") % len(principles)]


def _choices(written: WrittenPair, principle: Principle) -> list[Lesson]:
    """Both orders, under a principle drawn for it; helpful pairs are asked what evaluations ask."""
    question = (principle.comparison or "") if written.axis == "harmless" else templates.BETTER

    def order(a: str, b: str, answer: str) -> Lesson:
        return Lesson(
            lambda form: templates.choice(form, written.messages, question, a, b), answer, written.id
        )

    first, second = templates.OPTIONS
    return [order(written.better, written.worse, first), order(written.worse, written.better, second)]


def _contrasts(written: WrittenPair, principle: Principle) -> list[Lesson]:
    """The better response after a principle's good examples, the worse after its bad; harmless pairs only."""

    def after(examples: Sequence[Exchange], response: str) -> Lesson:
        return Lesson(lambda form: templates.contrast(form, examples, written.messages), response, written.id)

    if written.axis != "harmless" or not (principle.keeps and principle.breaks):
        return []
    return [after(principle.keeps, written.better), after(principle.breaks, written.worse)]
