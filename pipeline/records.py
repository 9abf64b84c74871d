"""The nouns of Constitutional AI, as frozen records.

Each record is plain data: it knows nothing of models, files or databases. `as_json` and `parse`
are the only way in and out of JSON, and `parse` names the field that is wrong.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter

Role = Literal["system", "user", "assistant"]
StepKind = Literal["response", "critique", "revision"]
Author = Literal["model", "person"]
Finish = Literal["stop", "length", "cancelled", "empty"]
PromptKind = Literal["red_team", "helpful"]
Axis = Literal["harmless", "helpful"]
Method = Literal["choice", "cot", "contrast", "pointwise"]
Choice = Literal["a", "b", "tie", "skip"]
AnnotatorKind = Literal["person", "imported", "model"]
PickedBy = Literal["random", "uncertain", "disagreement", "order", "chosen", "imported"]

ALONE: tuple[Method, ...] = ("contrast", "pointwise")
"""Methods that see one response at a time: their two orders are one value, which shows no bias by order."""

STRICT = ConfigDict(extra="forbid", str_max_length=1_000_000)


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    __pydantic_config__ = STRICT

    role: Role
    content: str


@dataclass(frozen=True)
class Exchange:
    """A prompt and one answer to it: an example of keeping or of breaking a principle."""

    __pydantic_config__ = STRICT

    prompt: str
    response: str


@dataclass(frozen=True)
class Principle:
    """One article of a constitution.

    The SL stage needs `critique_request` and `revision_request` (paper section 3.1), the RL stage
    needs `comparison` (section 4.1). `weight` is the relative chance of being drawn.
    """

    __pydantic_config__ = STRICT

    id: str
    title: str
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    enabled: bool = True
    critique_request: str | None = None
    revision_request: str | None = None
    comparison: str | None = None
    keeps: tuple[Exchange, ...] = ()
    breaks: tuple[Exchange, ...] = ()


@dataclass(frozen=True)
class CritiqueExample:
    """A worked critique and revision, shown to the model before its own (appendix E.1)."""

    __pydantic_config__ = STRICT

    messages: tuple[Message, ...]
    critique_request: str
    critique: str
    revision_request: str
    revision: str


@dataclass(frozen=True)
class FeedbackExample:
    """A judged pair, shown to the feedback model before its own (appendix E.2)."""

    __pydantic_config__ = STRICT

    messages: tuple[Message, ...]
    better: str
    worse: str


@dataclass(frozen=True)
class ReasonedExample:
    """A pair judged with chain of thought (appendix E.2)."""

    __pydantic_config__ = STRICT

    messages: tuple[Message, ...]
    response_a: str
    response_b: str
    rationale: str
    answer: Literal["a", "b"]


@dataclass(frozen=True)
class FewShot:
    """Constitution-level worked examples, by the prompt that they precede."""

    __pydantic_config__ = STRICT

    critique: tuple[CritiqueExample, ...] = ()
    feedback: tuple[FeedbackExample, ...] = ()
    reasoned: tuple[ReasonedExample, ...] = ()


@dataclass(frozen=True)
class Constitution:
    """A named list of principles. Its version is the hash of its whole content."""

    __pydantic_config__ = STRICT

    name: str
    principles: tuple[Principle, ...]
    description: str = ""
    few_shot: FewShot = field(default_factory=FewShot)

    @property
    def version(self) -> str:
        """First 16 hex digits of the SHA-256 of the content: equal content, equal version."""
        return content_id(as_json(self))


@dataclass(frozen=True)
class Prompt:
    """What a person asks; the last message is theirs."""

    __pydantic_config__ = STRICT

    id: str
    messages: tuple[Message, ...]
    kind: PromptKind = "red_team"
    split: Literal["train", "heldout"] = "train"
    tags: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class Step:
    """One turn of a chain. `principle` is set on critiques and revisions.

    `revision` identifies the weights that wrote it, `form` how they were asked (chat or plain).
    """

    __pydantic_config__ = STRICT

    kind: StepKind
    text: str
    principle: str | None = None
    author: Author = "model"
    model: str | None = None
    seed: int | None = None
    finish: Finish = "stop"
    tokens: int = 0
    seconds: float = 0.0
    revision: str | None = None
    form: str | None = None


@dataclass(frozen=True)
class Chain:
    """Response, then rounds of critique and revision (section 3.1), or of revision alone (figure 7)."""

    __pydantic_config__ = STRICT

    id: str
    prompt_id: str
    messages: tuple[Message, ...]
    constitution: str
    model: str
    critic: str
    seed: int
    steps: tuple[Step, ...]
    parent: str | None = None
    branch_step: int | None = None
    verdict: Literal["accepted", "rejected"] | None = None
    note: str = ""
    critiques: bool = True


@dataclass(frozen=True)
class Source:
    """Who wrote a response: a model with its weights, form and seed, or the file that it came from."""

    __pydantic_config__ = STRICT

    name: str = ""
    revision: str | None = None
    form: str | None = None
    seed: int | None = None
    finish: Finish | None = None


@dataclass(frozen=True)
class Pair:
    """One prompt with two responses (section 4.1).

    Which response is `a` is drawn from a hash of the id, so that a side says nothing. `group` names the
    set of three or more responses to one prompt that this pair is of: they are ranked together.
    """

    __pydantic_config__ = STRICT

    id: str
    prompt_id: str
    messages: tuple[Message, ...]
    response_a: str
    response_b: str
    kind: PromptKind = "red_team"
    source_a: Source = field(default_factory=Source)
    source_b: Source = field(default_factory=Source)
    group: str | None = None


@dataclass(frozen=True)
class Label:
    """A feedback model's judgment of a pair under one principle, in both orders (section 4.1).

    Methods that see one response at a time know no order: both are then the same.

    `logit_ab` is the log-odds that response a is better with a shown first, `logit_ba` with b shown first;
    `p_ab` and `p_ba` are their probabilities, `p_a` that of the mean logit; clamped for `cot`, whose
    reasoning is `rationale_ab` and `rationale_ba`.
    """

    __pydantic_config__ = STRICT

    pair_id: str
    principle: str
    method: Method
    model: str
    constitution: str
    seed: int
    logit_ab: float
    logit_ba: float
    p_ab: float
    p_ba: float
    p_a: float
    revision: str | None = None
    form: str | None = None
    rationale_ab: str | None = None
    rationale_ba: str | None = None


@dataclass(frozen=True)
class Judgment:
    """What an annotator holds of a pair on one axis. `seconds` is the time it took, `time` ISO 8601.

    `annotator_kind` says whether a person judged here, a data set brought it along, or a model did.
    `picked_by` says why this pair was asked: only `random` ones speak for all pairs. The pairs that one
    ranking implies share its `ranking_id`.
    """

    __pydantic_config__ = STRICT

    pair_id: str
    axis: Axis
    annotator: str
    annotator_kind: AnnotatorKind
    choice: Choice
    shown_first: Literal["a", "b"] | None = None
    picked_by: PickedBy = "random"
    ranking_id: str | None = None
    blind: bool = True
    seconds: float | None = None
    note: str = ""
    time: str = ""


def as_json(record: Any) -> dict[str, Any]:
    """A record as plain dicts, lists and scalars."""
    return asdict(record)


R = TypeVar("R")


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def parse(kind: type[R], data: object) -> R:
    """Read a record from plain data.

    Raises pydantic.ValidationError (a ValueError), whose errors carry the path of the bad field.
    """
    hashable: Any = kind  # a class is; mypy does not see it through the type variable
    record: R = _adapter(hashable).validate_python(data)
    return record


def well_formed(text: str) -> str:
    """Text as UTF-8 can hold it: a lone surrogate, as a broken paste may carry, becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def content_id(data: object) -> str:
    """Identity by content: 16 hex digits of the SHA-256 of canonical JSON."""
    # surrogatepass: an id must exist for any string a user can paste, even one that UTF-8 can't hold.
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
