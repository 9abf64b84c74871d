"""What a feedback model is asked for a label, and what its answers say (paper section 4.1).

Four likelihoods make a label, whatever the method. `feedback.py` says which labels there are to be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pipeline import templates
from pipeline.configs import Labelling
from pipeline.engines import (
    Cancelled,
    Completion,
    Context,
    Engine,
    Form,
    OnText,
    Request,
    Sampling,
    Score,
    TooLong,
)
from pipeline.errors import UserError
from pipeline.records import Constitution, FewShot, Label, Method, Pair, Principle
from pipeline.seeds import hashed

Asked = tuple[Context, str]
"""A context, and the continuation whose likelihood is wanted."""


@dataclass(frozen=True)
class Task:
    """A pair to be judged under a principle; for cot, with its reasonings in both orders."""

    pair: Pair
    principle: Principle
    rationales: tuple[str, str] | None = None

    def shown(self, order: int) -> tuple[str, str]:
        """The responses as they are shown: a first in order 0, b first in order 1."""
        both = self.pair.response_a, self.pair.response_b
        return both if order == 0 else (both[1], both[0])


@dataclass(frozen=True)
class Tally:
    """What was done. `ties` are labels with p exactly 1/2; `skipped` counts labels that were left out.

    Tokens `computed` went through the model (for cot without the prompts of the reasonings); those `saved`
    would have too if no two sequences shared a beginning. Where the model gives no probabilities, they were
    estimated from so many `samples` each; else 0.
    """

    labels: int = 0
    ties: int = 0
    skipped: int = 0
    computed: int = 0
    saved: int = 0
    seconds: float = 0.0
    samples: int = 0

    @property
    def labels_per_second(self) -> float:
        return self.labels / self.seconds if self.seconds else 0.0


class Judge:
    """Labels, a window at a time. `skipped` are the pairs that the latest one left out, with the reason."""

    def __init__(
        self,
        constitution: Constitution,
        labelling: Labelling,
        engine: Engine,
        on_text: OnText,
        cancelled: Cancelled,
    ) -> None:
        if engine.info.scores and labelling.settled != "pointwise":
            raise UserError(f"{labelling.model}: scores answers, and so labels by the method pointwise alone")
        self.constitution = constitution
        self.shots = FewShot() if labelling.settled in engine.info.skills else constitution.few_shot
        self.labelling, self.engine = labelling, engine
        self.form: Form = labelling.form or engine.info.form
        self.on_text, self.cancelled = on_text, cancelled
        self.skipped: list[tuple[Pair, str]] = []
        self.tally = Tally()

    def ordered(self, tasks: Sequence[Task]) -> list[Task]:
        """By principle where its examples begin the prompt, else as they are: by pair."""
        begins = {
            "choice": self.shots.feedback,
            "cot": self.shots.reasoned,
            "contrast": True,
            "pointwise": (),
        }
        place = {p.id: i for i, p in enumerate(self.constitution.principles)}
        by_principle = begins[self.labelling.settled]
        return sorted(tasks, key=lambda task: place[task.principle.id]) if by_principle else list(tasks)

    def labels(self, tasks: Sequence[Task]) -> list[Label]:
        """The labels of a window, in its order, without those that are left out or were cancelled."""
        self.skipped = []
        if self.labelling.settled == "cot":
            tasks = self._reasoned(tasks)
        if self.labelling.settled == "contrast":
            tasks = self._with_words(tasks)
        labels = [self._label(task, *logits) for task, logits in self._scored(tasks)]
        self.tally = replace(
            self.tally,
            labels=self.tally.labels + len(labels),
            ties=self.tally.ties + sum(label.p_a == 0.5 for label in labels),
            skipped=self.tally.skipped + len(self.skipped),
        )
        return labels

    def _scored(self, tasks: Sequence[Task]) -> list[tuple[Task, tuple[float, float]]]:
        """The tasks that fit the model, with their logits in both orders."""
        left = list(tasks)
        while left:
            asked = [one for task in left for one in self._asked(task)]
            try:
                scores = self.engine.score([context for context, _ in asked], [text for _, text in asked])
            except TooLong as error:
                out = left.pop(error.index * len(left) // len(asked))
                self.skipped.append((out.pair, str(error)))
                continue
            self._count(sum(s.computed for s in scores), sum(s.saved for s in scores))
            samples = max((s.samples for s in scores), default=0)
            self.tally = replace(self.tally, samples=max(self.tally.samples, samples))
            read = from_scores if self.engine.info.scores else _READ[self.labelling.settled]
            each = len(scores) // len(left)
            return [(task, read(*scores[each * i : each * (i + 1)])) for i, task in enumerate(left)]
        return []

    def _asked(self, task: Task) -> list[Asked]:
        """The four likelihoods that make a label, or the two scores."""
        if self.labelling.settled == "contrast":
            return [
                (
                    templates.contrast(self.form, examples, task.pair.messages),
                    templates.continuation(self.form, response),
                )
                for response in task.shown(0)
                for examples in (task.principle.keeps, task.principle.breaks)
            ]
        if self.labelling.settled == "pointwise":
            return alone(self.form, task.pair, task.principle.comparison or "", self.engine.info.scores)
        return [(self._choice(task, order), option) for order in (0, 1) for option in templates.OPTIONS]

    def _choice(self, task: Task, order: int) -> Context:
        asked = self.form, task.pair.messages, task.principle.comparison or "", *task.shown(order)
        if task.rationales is None:
            return templates.choice(*asked, self.shots.feedback)
        return templates.conclusion(*asked, task.rationales[order], self.shots.reasoned)

    def _with_words(self, tasks: Sequence[Task]) -> list[Task]:
        empty = [task for task in tasks if not all(response.strip() for response in task.shown(0))]
        self.skipped += [(t.pair, "a response is empty, and contrast has nothing to score") for t in empty]
        return [task for task in tasks if task not in empty]

    def _reasoned(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks with their reasonings; none after a cancel, for one that was cut short is none."""
        said: dict[int, str] = {}
        failed: dict[int, str] = {}

        def take(i: int, outcome: Completion | TooLong) -> None:
            if isinstance(outcome, TooLong):
                failed[i // 2] = str(outcome)
            else:
                said[i] = outcome.text.strip()
                self._count(outcome.tokens, 0)

        requests = [self._reasoning(task, order) for task in tasks for order in (0, 1)]
        self.engine.flow(requests, take, self.on_text, self.cancelled)
        if self.cancelled():
            return []
        self.skipped += [(tasks[i].pair, reason) for i, reason in failed.items()]
        return [
            replace(task, rationales=(said[2 * i], said[2 * i + 1]))
            for i, task in enumerate(tasks)
            if i not in failed
        ]

    def _reasoning(self, task: Task, order: int) -> Request:
        question = task.principle.comparison or ""
        return Request(
            templates.reasoning(
                self.form, task.pair.messages, question, *task.shown(order), self.shots.reasoned
            ),
            Sampling(
                max_tokens=self.labelling.max_tokens,
                temperature=self.labelling.temperature,
                stop=templates.reasoning_stops(self.form),
                seed=reasoning_seed(self.labelling.seed, task.pair.id, task.principle.id, order),
            ),
        )

    def _label(self, task: Task, ab: float, ba: float) -> Label:
        clamped = self.labelling.settled == "cot"
        low, high = (self.labelling.clamp_low, self.labelling.clamp_high) if clamped else (0.0, 1.0)
        p_ab, p_ba, p_a = (min(max(probability(logit), low), high) for logit in (ab, ba, (ab + ba) / 2))
        rationale_ab, rationale_ba = task.rationales or (None, None)
        return Label(
            pair_id=task.pair.id,
            principle=task.principle.id,
            method=self.labelling.settled,
            model=self.labelling.model,
            constitution=self.constitution.version,
            seed=self.labelling.seed,
            logit_ab=ab,
            logit_ba=ba,
            p_ab=p_ab,
            p_ba=p_ba,
            p_a=p_a,
            revision=self.engine.info.revision,
            form=self.form,
            rationale_ab=rationale_ab,
            rationale_ba=rationale_ba,
        )

    def _count(self, computed: int, saved: int) -> None:
        self.tally = replace(
            self.tally, computed=self.tally.computed + computed, saved=self.tally.saved + saved
        )


def alone(form: Form, pair: Pair, question: str, scores: bool) -> list[Asked]:
    """What is asked of each response of a pair, a first: both verdicts, or its score of a head."""
    responses = pair.response_a, pair.response_b
    if scores:
        asked = templates.chosen(form, pair.messages, question)
        return [(asked, templates.continuation(form, response)) for response in responses]
    return [
        (templates.pointwise(form, pair.messages, question, response), said)
        for response in responses
        for said in templates.VERDICTS
    ]


def _from_letters(a_first: Score, b_second: Score, b_first: Score, a_second: Score) -> tuple[float, float]:
    """Log-odds of the letter that stands for a, with a shown first and with b shown first."""
    return a_first.logprob - b_second.logprob, a_second.logprob - b_first.logprob


def _from_likelihoods(
    a_keeps: Score, a_breaks: Score, b_keeps: Score, b_breaks: Score
) -> tuple[float, float]:
    """The difference of both responses' log-likelihood ratios, in nats a token.

    Each response is scored alone, so that there is no order: both orders have the same value.
    """
    ratio_a = (a_keeps.logprob - a_breaks.logprob) / a_keeps.tokens
    ratio_b = (b_keeps.logprob - b_breaks.logprob) / b_keeps.tokens
    return ratio_a - ratio_b, ratio_a - ratio_b


def from_verdicts(a_yes: Score, a_no: Score, b_yes: Score, b_no: Score) -> tuple[float, float]:
    """The difference of both responses' log-odds of "Yes"; each was alone, so there is no order."""
    logit = (a_yes.logprob - a_no.logprob) - (b_yes.logprob - b_no.logprob)
    return logit, logit


def from_scores(a: Score, b: Score) -> tuple[float, float]:
    """The difference of both responses' scores."""
    return a.logprob - b.logprob, a.logprob - b.logprob


_READ: dict[Method, Callable[[Score, Score, Score, Score], tuple[float, float]]] = {
    "choice": _from_letters,
    "cot": _from_letters,
    "contrast": _from_likelihoods,
    "pointwise": from_verdicts,
}


def probability(logit: float) -> float:
    """The logistic function, for any finite logit."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit))


def reasoning_seed(run_seed: int, pair: str, principle: str, order: int) -> int:
    """The seed of one reasoning: a hash of run seed, pair, principle and order, in 63 bits."""
    return hashed(f"{run_seed}:{pair}:{principle}:{order}")
