"""What a judge holds of pairs in a tournament: a feedback model by a constitution, or a preference model.

Both keep what they computed in the run's folder (labels, scores), so that nothing is judged twice: a stopped
run goes on, and two models that said the same are one pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline import feedback
from pipeline.compared_run import aggregated
from pipeline.configs import Labelling
from pipeline.engines import Cancelled, Engine
from pipeline.growing import Growing
from pipeline.judging import probability
from pipeline.records import Constitution, Label, Message, Pair, Principle, as_json, content_id, parse

Scorer = Callable[[Sequence[tuple[Sequence[Message], str]]], list[float]]
"""A preference model's `score`."""
AT_ONCE = 16
"""Pairs whose answers are scored together: there, or lost to a stop, together."""


@dataclass(frozen=True)
class Verdict:
    """The probability that response a is better: with a shown first, with b first, and both together."""

    p_ab: float
    p_ba: float
    p_a: float


TIE = Verdict(0.5, 0.5, 0.5)
OnVerdict = Callable[[Pair, Verdict], None]
OnSkip = Callable[[Pair, str], None]


class Judge(Protocol):
    """Judges pairs, each in both orders; `constitution` is the version that it judged under, if any."""

    @property
    def constitution(self) -> str | None: ...

    def judge(
        self, pairs: Sequence[Pair], on_verdict: OnVerdict, on_skip: OnSkip, cancelled: Cancelled
    ) -> None:
        """Tell each pair's verdict once it is there; why another is left out. A cancel ends it early."""
        ...


class FeedbackJudge:
    """A feedback model under a constitution, as `cai label` asks it. `load` is called when one is needed."""

    def __init__(
        self, constitution: Constitution, labelling: Labelling, load: Callable[[], Engine], labels: Growing
    ) -> None:
        self.constitution: str | None = constitution.version
        self._constitution, self._labelling = constitution, labelling
        self._load, self._labels = load, labels
        self._engine: Engine | None = None
        self._weights = {principle.id: principle.weight for principle in constitution.principles}

    def judge(
        self, pairs: Sequence[Pair], on_verdict: OnVerdict, on_skip: OnSkip, cancelled: Cancelled
    ) -> None:
        """See `Judge`."""
        left = [pair for pair in pairs if not self._tell(pair, on_verdict)]
        if not left:
            return
        of = {pair.id: pair for pair in left}
        if self._engine is None:
            self._engine = self._load()

        def keep(label: Label) -> None:
            self._labels.keep(as_json(label))
            self._tell(of[label.pair_id], on_verdict)

        feedback.label_pairs(
            left,
            self._constitution,
            self._labelling,
            self._engine,
            keep,
            on_skip,
            cancelled=cancelled,
            lacks=lambda pair, principle: label_key(pair.id, principle.id) not in self._labels.rows,
        )

    def _tell(self, pair: Pair, on_verdict: OnVerdict) -> bool:
        """Tell the verdict of a pair all of whose labels are there, and whether they are."""
        keys = [label_key(pair.id, principle.id) for principle in self._drawn(pair)]
        if not all(key in self._labels.rows for key in keys):
            return False
        labels = [parse(Label, self._labels.rows[key]) for key in keys]
        p_a, p_ab, p_ba = aggregated(labels, self._weights)[pair.id]
        on_verdict(pair, Verdict(p_ab, p_ba, p_a))
        return True

    def _drawn(self, pair: Pair) -> list[Principle]:
        return feedback.drawn(pair, self._constitution, self._labelling)


class PreferenceJudge:
    """A preference model: a is better with probability σ(score a - score b), whichever is shown first."""

    constitution: str | None = None

    def __init__(self, load: Callable[[], Scorer], scores: Growing) -> None:
        self._load, self._scores = load, scores
        self._scorer: Scorer | None = None

    def judge(
        self, pairs: Sequence[Pair], on_verdict: OnVerdict, on_skip: OnSkip, cancelled: Cancelled
    ) -> None:
        """See `Judge`. Nothing is left out: what is too long loses its beginning."""
        for start in range(0, len(pairs), AT_ONCE):
            if cancelled():
                return
            some = pairs[start : start + AT_ONCE]
            self._score(some)
            for pair in some:
                a, b = (self._scores.rows[key]["score"] for key in (score_key(pair, s) for s in (0, 1)))
                p = probability(a - b)
                on_verdict(pair, Verdict(p, p, p))

    def _score(self, pairs: Sequence[Pair]) -> None:
        answers = {
            score_key(pair, side): (pair, text) for pair in pairs for side, text in enumerate(_texts(pair))
        }
        lacking = {key: one for key, one in answers.items() if key not in self._scores.rows}
        if not lacking:
            return
        if self._scorer is None:
            self._scorer = self._load()
        scores = self._scorer([(pair.messages, text) for pair, text in lacking.values()])
        for (key, (pair, _)), score in zip(lacking.items(), scores, strict=True):
            self._scores.keep({"id": key, "prompt_id": pair.prompt_id, "score": score})


def label_key(pair: str, principle: str) -> str:
    """What tells a label from the others of a run."""
    return f"{pair}:{principle}"


def score_key(pair: Pair, side: int) -> str:
    """The id of an answer to its prompt, whoever gave it."""
    return content_id([[as_json(message) for message in pair.messages], _texts(pair)[side]])


def _texts(pair: Pair) -> tuple[str, str]:
    return pair.response_a, pair.response_b
