"""The SL stage's chains: response → critique → revision, N rounds (paper section 3.1); or, as the paper
compares in its figure 7, revision at once, without a critique.

`plan` says what comes next in a chain, and is all that there is to know about the method; `extend`
runs one chain step by step and streams it, `draw_chains` runs many at once. Headless: `cai critique`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pipeline import constitution as constitutions
from pipeline import templates
from pipeline.configs import Drawing
from pipeline.engines import Cancelled, Completion, Context, Engine, OnText, Request, Sampling, TooLong, never
from pipeline.records import (
    Chain,
    Constitution,
    Message,
    Principle,
    Prompt,
    Step,
    StepKind,
    as_json,
    content_id,
)
from pipeline.seeds import hashed


class Writers(Protocol):
    """Who writes which steps of a chain."""

    def of(self, kind: StepKind) -> Engine:
        """The engine that writes such a step."""
        ...


@dataclass(frozen=True)
class Engines:
    """Who writes: the policy answers, the critic critiques and revises."""

    policy: Engine
    critic: Engine

    def of(self, kind: StepKind) -> Engine:
        return self.policy if kind == "response" else self.critic


@dataclass(frozen=True)
class Plan:
    """The next step of a chain. `principle` is None for the response."""

    kind: StepKind
    principle: Principle | None


@dataclass(frozen=True)
class Draft:
    """A chain on its way: where it starts and what it has. `key` names it in every random draw."""

    key: str
    messages: tuple[Message, ...]
    steps: tuple[Step, ...] = ()


def plan(draft: Draft, constitution: Constitution, drawing: Drawing) -> Plan | None:
    """What comes next, or None when the chain is complete.

    Raises UserError where no enabled principle has what a critique needs.
    """
    at = len(draft.steps)
    each = 2 if drawing.critiques else 1  # steps to a round
    if at == 0:
        return Plan("response", None)
    if at >= 1 + each * drawing.revisions:
        return None
    principles = constitutions.usable(constitution, "critique")
    if drawing.critiques and at % 2 == 0:
        # The critique's own, wherever it came from: a person may have chosen it, or changed the weights.
        for principle in principles:
            if principle.id == draft.steps[-1].principle:
                return Plan("revision", principle)
    # A round draws the same principle with critiques and without: that they are there is all that differs.
    round_ = (at - 1) // each
    principle = constitutions.draw(principles, drawing.seed, f"{draft.key}:round {round_}")
    return Plan("critique" if drawing.critiques and at % 2 else "revision", principle)


def ask(draft: Draft, step: Plan, constitution: Constitution, drawing: Drawing, engines: Writers) -> Context:
    """The context of a planned step, in the form of the model that will write it."""
    writer = engines.of(step.kind).info
    form = drawing.form or writer.form
    if step.principle is None:
        return templates.response(form, draft.messages)
    answer = next(s.text for s in reversed(draft.steps) if s.kind != "critique")
    unaided = step.kind in writer.skills and drawing.critiques and form == writer.form
    shots = () if unaided else constitution.few_shot.critique
    if step.kind == "critique":
        return templates.critique(form, draft.messages, answer, step.principle, shots)
    if not drawing.critiques:
        return templates.direct_revision(form, draft.messages, answer, step.principle, shots)
    return templates.revision(form, draft.messages, answer, draft.steps[-1].text, step.principle, shots)


def step_seed(run_seed: int, key: str, position: int, attempt: int = 0) -> int:
    """The seed of one step: a hash of run seed, chain and step, in 63 bits."""
    return hashed(f"{run_seed}:{key}:{position}:{attempt}")


def extend(
    draft: Draft,
    constitution: Constitution,
    drawing: Drawing,
    engines: Writers,
    on_plan: Callable[[Plan], None],
    on_text: OnText,
    cancelled: Cancelled = never,
) -> Iterator[Step]:
    """Write the rest of one chain, step by step; ends early, with what there is, on a cancel."""
    while not cancelled() and (todo := plan(draft, constitution, drawing)):
        on_plan(todo)
        step = _write(draft, todo, constitution, drawing, engines, on_text, cancelled)
        yield step
        if step.finish == "cancelled":
            return
        draft = replace(draft, steps=(*draft.steps, step))


def draw_chains(
    prompts: Sequence[Prompt],
    constitution: Constitution,
    drawing: Drawing,
    engines: Engines,
    on_text: OnText,
    cancelled: Cancelled = never,
    on_skip: Callable[[Prompt, TooLong], None] = lambda prompt, error: None,
    on_chain: Callable[[Chain], None] = lambda chain: None,
) -> list[Chain]:
    """Write one chain per prompt, many at once; on a cancel, only those that were already complete.

    `on_chain` gets each the moment it is complete. A prompt that has grown too long for the model is
    told to `on_skip` and left out.
    """
    batch = _Batch(prompts, constitution, drawing, engines, on_skip, on_chain)
    batch.write(engines.policy, range(len(prompts)), on_text, cancelled)
    if engines.critic is not engines.policy:
        answered = [i for i, draft in enumerate(batch.drafts) if draft.steps and i not in batch.chains]
        batch.write(engines.critic, answered, on_text, cancelled)
    return [batch.chains[i] for i in sorted(batch.chains)]


class _Batch:
    """Chains on their way, each as far as it has got. A completed step leads to the next at once."""

    def __init__(
        self,
        prompts: Sequence[Prompt],
        constitution: Constitution,
        drawing: Drawing,
        engines: Engines,
        on_skip: Callable[[Prompt, TooLong], None],
        on_chain: Callable[[Chain], None],
    ) -> None:
        self.prompts = prompts
        self.constitution, self.drawing, self.engines = constitution, drawing, engines
        self.on_skip, self.on_chain = on_skip, on_chain
        self.drafts = [Draft(prompt.id, prompt.messages) for prompt in prompts]
        self.chains: dict[int, Chain] = {}
        self.retried: set[int] = set()

    def write(self, engine: Engine, which: Sequence[int], on_text: OnText, cancelled: Cancelled) -> None:
        """Let one engine write all that is its own in these chains, from where they are."""
        if which and not cancelled():
            engine.flow(
                [self._request(i) for i in which],
                lambda at, outcome: self._take(which[at], outcome, engine),
                lambda at, text: on_text(which[at], text),
                cancelled,
            )

    def _take(self, i: int, outcome: Completion | TooLong, engine: Engine) -> Request | None:
        """Put a completion where it belongs; what the same engine is to write next in that chain."""
        if isinstance(outcome, TooLong):
            self.on_skip(self.prompts[i], outcome)
            return None
        if outcome.finish == "cancelled":
            return None
        draft = self.drafts[i]
        if outcome.finish == "empty" and i not in self.retried:
            self.retried.add(i)
            return self._request(i, attempt=1)
        step = _step(draft, self._todo(draft), outcome, self.drawing, engine, int(i in self.retried))
        self.retried.discard(i)
        self.drafts[i] = draft = replace(draft, steps=(*draft.steps, step))
        following = plan(draft, self.constitution, self.drawing)
        if following is None:
            self.chains[i] = _chain(self.prompts[i], draft, self.constitution, self.drawing)
            self.on_chain(self.chains[i])
            return None
        return self._request(i) if self.engines.of(following.kind) is engine else None

    def _request(self, i: int, attempt: int = 0) -> Request:
        draft = self.drafts[i]
        todo = self._todo(draft)
        return _request(draft, todo, self.constitution, self.drawing, self.engines, attempt)

    def _todo(self, draft: Draft) -> Plan:
        todo = plan(draft, self.constitution, self.drawing)
        if todo is None:
            raise RuntimeError("a complete chain needs no step")
        return todo


def chain_id(prompt: Prompt, constitution: Constitution, drawing: Drawing) -> str:
    """The same inputs make the same chain, and so the same id."""
    return content_id([prompt.id, constitution.version, as_row(drawing)])


def as_row(record: Chain | Drawing) -> dict[str, Any]:
    """As JSON. `critiques` is there only where there are none, so that a chain with them is what it ever was:
    in its id, and to whoever reads it."""
    row = as_json(record)
    if row["critiques"]:
        del row["critiques"]
    return row


def _chain(prompt: Prompt, draft: Draft, constitution: Constitution, drawing: Drawing) -> Chain:
    return Chain(
        id=chain_id(prompt, constitution, drawing),
        prompt_id=prompt.id,
        messages=prompt.messages,
        constitution=constitution.version,
        model=drawing.model,
        critic=drawing.critic_name,
        seed=drawing.seed,
        steps=draft.steps,
        critiques=drawing.critiques,
    )


def _write(
    draft: Draft,
    todo: Plan,
    constitution: Constitution,
    drawing: Drawing,
    engines: Writers,
    on_text: OnText,
    cancelled: Cancelled,
) -> Step:
    """One step of one chain. An empty text is retried once with another seed, then kept and marked."""
    engine = engines.of(todo.kind)
    for attempt in (0, 1):
        request = _request(draft, todo, constitution, drawing, engines, attempt)
        [completion] = engine.generate([request], on_text, cancelled)
        if completion.finish != "empty":
            break
    return _step(draft, todo, completion, drawing, engine, attempt)


def _request(
    draft: Draft, todo: Plan, constitution: Constitution, drawing: Drawing, engines: Writers, attempt: int
) -> Request:
    form = drawing.form or engines.of(todo.kind).info.form
    sampling = Sampling(
        max_tokens=drawing.max_tokens,
        temperature=drawing.temperature,
        top_p=drawing.top_p,
        stop=templates.stops(form),
        seed=step_seed(drawing.seed, draft.key, len(draft.steps), attempt),
    )
    return Request(ask(draft, todo, constitution, drawing, engines), sampling)


def _step(
    draft: Draft, todo: Plan, completion: Completion, drawing: Drawing, engine: Engine, attempt: int
) -> Step:
    return Step(
        kind=todo.kind,
        text=completion.text.strip(),
        principle=todo.principle.id if todo.principle else None,
        model=engine.info.name,
        seed=step_seed(drawing.seed, draft.key, len(draft.steps), attempt),
        finish=completion.finish,
        tokens=completion.tokens,
        seconds=round(completion.seconds, 3),
        revision=engine.info.revision,
        form=drawing.form or engine.info.form,
    )
