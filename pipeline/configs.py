"""One frozen dataclass per stage. The command line, the forms and the docs are made from it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from pipeline import bounded
from pipeline.bundled import CRITIC, FEEDBACK
from pipeline.engines import Form
from pipeline.errors import UserError
from pipeline.models import bare, scores
from pipeline.records import Method, parse
from pipeline.rundir import read_config

C = TypeVar("C")
OWN = "the model's own"
METHOD = (
    "how it judges: a multiple choice, the same after reasoning, likelihoods against examples, or each "
    "response alone; empty: choice, but of a model that only scores each alone"
)


def knob(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    empty: str = OWN,
    kept: bool = True,
) -> Any:
    """A field with the words that explain it, the closed range that it may have, and what empty is called.

    `kept`: a run that goes on has it as it was; else the machine that it goes on with decides.
    """
    about = {"help": help, "low": low, "high": high, "empty": empty, "kept": kept}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Drawing:
    """How chains are made (paper section 3.1), on a page or headless."""

    model: str = knob(
        "bundled", "who answers: bundled, a hub id, a folder, an adapter, a run or a server's URL#MODEL"
    )
    critic: str = knob(
        "", "who critiques and revises; empty: the same model, and bundled-critic after the bundled one"
    )
    revisions: int = knob(2, "rounds of critique and revision, or of revision alone", low=0, high=16)
    critiques: bool = knob(True, "write a critique before each revision; without, it is revised at once")
    seed: int = knob(0, "the same seed draws the same principles and texts", low=0, high=2**63 - 1)
    temperature: float = knob(0.7, "0 is greedy; the paper samples at 1", low=0, high=2)
    top_p: float = knob(
        0.8,
        "keep the most likely tokens up to this mass; what is left out makes small models wander",
        low=0.01,
        high=1,
    )
    max_tokens: int = knob(256, "the longest that a step may get, in tokens", low=1, high=8192)
    form: Form | None = knob(None, "chat template, or plain Human/Assistant text; empty: the model's own")

    def __post_init__(self) -> None:
        check(self)
        # It has learnt critiques, and the revisions that come of them, in the chat form; nothing else.
        learnt = self.revisions and self.critiques and self.form != "plain"
        if not self.critic and learnt and bare(self.model) == "bundled":
            object.__setattr__(self, "critic", self.model.replace("bundled", CRITIC))

    @property
    def critic_name(self) -> str:
        return self.critic or self.model


@dataclass(frozen=True)
class Answering:
    """How the responses of pairs are sampled (section 4.1)."""

    model: str = knob(
        "bundled", "who answers: bundled, a hub id, a folder, an adapter, a run or a server's URL#MODEL"
    )
    model_b: str = knob("", "a second model that answers too; empty: all answers are the first one's")
    samples: int = knob(2, "responses to each prompt; of more than two, each pair is taken", low=2, high=9)
    seed: int = knob(0, "the same seed samples the same texts", low=0, high=2**63 - 1)
    temperature: float = knob(
        1.0, "0 is greedy, and answers all alike; the paper samples at 1", low=0, high=2
    )
    top_p: float = knob(1.0, "keep the most likely tokens up to this mass", low=0.01, high=1)
    max_tokens: int = knob(256, "the longest that a response may get, in tokens", low=1, high=8192)
    form: Form | None = knob(None, "chat template, or plain Human/Assistant text; empty: the model's own")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Labelling:
    """How a feedback model judges pairs (section 4.1)."""

    model: str = knob(
        FEEDBACK,
        "the feedback model: bundled-feedback, a hub id, a folder, an adapter, a run or a server's URL#MODEL",
    )
    method: Method | None = knob(None, METHOD, empty="by the model")
    principles: str = knob("1", "how many principles judge each pair, drawn by weight: a number, or all")
    seed: int = knob(0, "the same seed draws the same principles and reasonings", low=0, high=2**63 - 1)
    clamp_low: float = knob(0.4, "cot: no probability is below this; the paper says 0.4", low=0, high=0.5)
    clamp_high: float = knob(0.6, "cot: no probability is above this; the paper says 0.6", low=0.5, high=1)
    temperature: float = knob(0.7, "cot: 0 reasons greedily", low=0, high=2)
    max_tokens: int = knob(192, "cot: the longest that a reasoning may get, in tokens", low=1, high=8192)
    form: Form | None = knob(None, "chat template, or plain Human/Assistant text; empty: the model's own")
    selection: str = knob(
        "", "what the pairs were chosen for, if for what an AI said of them: then they are no random share"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.principles != "all" and not bounded.number(self.principles, 10**9):
            raise UserError(f"principles: {self.principles[:40]!r} is neither a number from 1 nor `all`")
        alone = scores(self.model)
        if self.method is None:
            object.__setattr__(self, "method", "pointwise" if alone else "choice")
        if alone and self.method != "pointwise":
            raise UserError(
                f"{self.model}: scores responses and has no words: its method is pointwise. Name another "
                "model for another method, such as --model bundled"
            )

    @property
    def settled(self) -> Method:
        """The method, which is known once the settings are there."""
        return cast(Method, self.method)

    @property
    def many(self) -> int | None:
        """How many principles are drawn for each pair; None for all."""
        return None if self.principles == "all" else int(self.principles)


@dataclass(frozen=True)
class Evaluating:
    """How models answer held-out prompts, and how their answers are judged (figures 2 and 3)."""

    samples: int = knob(1, "answers of each model to each prompt", low=1, high=64)
    budget: int = knob(
        0, "matchups to judge, where the intervals are widest; 0: all pairs of models", low=0, high=10**9
    )
    seed: int = knob(0, "the same seed draws the same answers and matchups", low=0, high=2**63 - 1)
    temperature: float = knob(1.0, "of the answers; 0 is greedy; the paper samples at 1", low=0, high=2)
    top_p: float = knob(1.0, "keep the most likely tokens up to this mass", low=0.01, high=1)
    max_tokens: int = knob(256, "the longest that an answer may get, in tokens", low=1, high=8192)
    form: Form | None = knob(None, "chat template, or plain Human/Assistant text; empty: the model's own")
    method: Method | None = knob(None, METHOD, empty="by the model")
    principles: str = knob("1", "how many principles judge each matchup, drawn by weight: a number, or all")

    def __post_init__(self) -> None:
        check(self)
        if self.samples > 1 and not self.temperature:
            raise UserError("temperature 0 makes all answers of a model alike: raise it, or take 1 sample")

    def labelling(self, judge: str) -> Labelling:
        """How a feedback model of this name judges here."""
        return Labelling(model=judge, method=self.method, principles=self.principles, seed=self.seed)


@dataclass(frozen=True)
class Scoring:
    """Which preference model scores the answers of chains (figures 5 and 7)."""

    pm: str = knob("", "the preference model: a run of `cai pm`, a folder or a hub id")

    def __post_init__(self) -> None:
        if not self.pm:
            raise UserError("--pm: name a preference model: a run of `cai pm`")


@dataclass(frozen=True)
class Measuring:
    """Which model answers multiple-choice questions (figure 4)."""

    model: str = knob(
        "bundled", "who answers: bundled, a hub id, a folder, an adapter, a run or a server's URL#MODEL"
    )
    form: Form | None = knob(None, "chat template, or plain Human/Assistant text; empty: the model's own")


def check(config: Any) -> None:
    """Raise UserError for a value outside its field's range."""
    for f in fields(config):
        value, low, high = getattr(config, f.name), f.metadata.get("low"), f.metadata.get("high")
        # Written so that NaN fails.
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            raise UserError(f"{f.name.replace('_', ' ')}: {value} is not between {low} and {high}")


def add_arguments(parser: argparse.ArgumentParser, kind: type) -> None:
    """Give a parser one option per field. What is not typed is no default, but absent: see `not_typed`."""
    hints = get_type_hints(kind)
    for f in fields(kind):
        option = f"--{f.name.replace('_', '-')}"
        parser.add_argument(option, help=_help(f), default=argparse.SUPPRESS, **_type(hints[f.name]))
    parser.set_defaults(settings=kind)


def from_arguments(kind: type[C], args: argparse.Namespace) -> C:
    """The dataclass that a parsed command line describes. Raises UserError.

    What was not typed is as the run's folder has it, where there is one; else the default. Names of models
    are not: the folder may be another's, and prompts would go to a server that nobody here named.
    """
    typed = {f.name: getattr(args, f.name) for f in fields(kind) if hasattr(args, f.name)}  # type: ignore[arg-type]
    before = not_typed(kind, args, getattr(args, "run", None))
    if before := {name: before[name] for name in before.keys() & unnamed(kind)}:
        # What can't stand together, or is of another stage, is refused by the run, which says what differs.
        with suppress(UserError, ValueError):
            return parse(kind, {**before, **typed})
    return kind(**typed)


def unnamed(kind: type) -> set[str]:
    """The settings that are numbers, switches and choices: whatever they say, they name nothing."""
    return {f.name for f in fields(kind) if f.type != "str"}


def not_typed(kind: type, args: argparse.Namespace, run: Path | None) -> dict[str, Any]:
    """The settings that a command leaves out, as the run in this folder has them.

    A default may have changed since the run began, and the run has not.
    """
    config = read_config(run) if run else {}
    return {
        f.name: config[f.name]
        for f in fields(kind)
        if f.name in config and f.metadata.get("kept", True) and not hasattr(args, f.name)
    }


def as_arguments(config: Any) -> list[str]:
    """The options that make this config: what a page shows as the equal command."""
    options: list[str] = []
    for f in fields(config):
        value = getattr(config, f.name)
        if value != f.default and f.default is not MISSING:
            options += [f"--{f.name.replace('_', '-')}", str(value)]
    return options


def _help(f: Field[Any]) -> str:
    default = "" if f.default in ("", None) else f" (default {f.default})"
    text: Mapping[str, Any] = f.metadata
    return f"{text['help']}{default}".replace("%", "%%")


def _type(hint: Any) -> dict[str, Any]:
    kinds = [
        k for k in (get_args(hint) if get_origin(hint) is not Literal else (hint,)) if k is not type(None)
    ]
    kind = kinds[0] if kinds else hint
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if kind is bool:
        return {"type": _switch, "metavar": "true|false"}
    return {"type": kind, "metavar": kind.__name__.upper()}


def _switch(word: str) -> bool:
    if word.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
    return word.lower() == "true"
