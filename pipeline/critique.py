"""The SL stage's chains: response → critique → revision, N rounds (paper section 3.1).

`plan` says what comes next in a chain, and is all that there is to know about the method; `extend`
runs one chain step by step and streams it, `draw_chains` runs many at once. Headless: `cai critique`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

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
    if at == 0:
        return Plan("response", None)
    if at >= 1 + 2 * drawing.revisions:
        return None
    principles = constitutions.usable(constitution, "critique")
    if at % 2 == 0:
        # The critique's own, wherever it came from: a person may have chosen it, or changed the weights.
        for principle in principles:
            if principle.id == draft.steps[-1].principle:
                return Plan("revision", principle)
    round_ = (at - 1) // 2
    principle = constitutions.draw(principles, drawing.seed, f"{draft.key}:round {round_}")
    return Plan("critique" if at % 2 else "revision", principle)


def ask(draft: Draft, step: Plan, constitution: Constitution, drawing: Drawing, engines: Engines) -> Context:
    """The context of a planned step, in the form of the model that will write it."""
    form = drawing.form or engines.of(step.kind).info.form
    if step.principle is None:
        return templates.response(form, draft.messages)
    answer = next(s.text for s in reversed(draft.steps) if s.kind != "critique")
    if step.kind == "critique":
        return templates.critique(form, draft.messages, answer, step.principle, constitution)
    criticism = draft.steps[-1].text
    return templates.revision(form, draft.messages, answer, criticism, step.principle, constitution)


def step_seed(run_seed: int, key: str, position: int, attempt: int = 0) -> int:
    """The seed of one step: a hash of run seed, chain and step, in 63 bits."""
    digest = hashlib.sha256(f"{run_seed}:{key}:{position}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def extend(
    draft: Draft,
    constitution: Constitution,
    drawing: Drawing,
    engines: Engines,
    on_plan: Callable[[Plan], None],
    on_text: OnText,
    cancelled: Cancelled = never,
) -> Iterator[Step]:
    """Write the rest of one chain, step by step; ends early, with what there is, on a cancel."""
    while not cancelled() and (todo := plan(draft, constitution, drawing)):
        on_plan(todo)
        [step] = _write([draft], [todo], constitution, drawing, engines, on_text, cancelled)
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
) -> list[Chain]:
    """Write one chain per prompt, all at once; on a cancel, only those that were already complete.

    A prompt that has grown too long for the model is told to `on_skip` and left out.
    """
    prompts = list(prompts)
    drafts = [Draft(prompt.id, prompt.messages) for prompt in prompts]
    while todo := [step for draft in drafts if (step := plan(draft, constitution, drawing))]:
        if cancelled():
            return []
        try:
            steps = _write(drafts, todo, constitution, drawing, engines, on_text, cancelled)
        except TooLong as error:
            on_skip(prompts.pop(error.index), error)
            del drafts[error.index]
            continue
        drafts = [replace(d, steps=(*d.steps, s)) for d, s in zip(drafts, steps, strict=True)]
    return [
        _chain(prompt, draft, constitution, drawing)
        for prompt, draft in zip(prompts, drafts, strict=True)
        if draft.steps[-1].finish != "cancelled"
    ]


def chain_id(prompt: Prompt, constitution: Constitution, drawing: Drawing) -> str:
    """The same inputs make the same chain, and so the same id."""
    return content_id([prompt.id, constitution.version, as_json(drawing)])


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
    )


def _write(
    drafts: Sequence[Draft],
    plans: Sequence[Plan],
    constitution: Constitution,
    drawing: Drawing,
    engines: Engines,
    on_text: OnText,
    cancelled: Cancelled,
) -> list[Step]:
    """One step for each draft. All are of one kind: the chains of a batch go in step."""
    engine = engines.of(plans[0].kind)

    def generate(which: Sequence[int], attempt: int) -> list[Completion]:
        requests = [
            Request(
                ask(drafts[i], plans[i], constitution, drawing, engines),
                _sampling(drafts[i], drawing, engine, attempt),
            )
            for i in which
        ]
        return engine.generate(requests, lambda i, text: on_text(which[i], text), cancelled)

    done = generate(range(len(drafts)), 0)
    # An empty text is retried once with another seed, then kept and marked as empty.
    empty = [i for i, completion in enumerate(done) if completion.finish == "empty"]
    for i, again in zip(empty, generate(empty, 1) if empty else [], strict=True):
        done[i] = again
    return [
        Step(
            kind=todo.kind,
            text=completion.text.strip(),
            principle=todo.principle.id if todo.principle else None,
            model=engine.info.name,
            seed=step_seed(drawing.seed, draft.key, len(draft.steps), int(i in empty)),
            finish=completion.finish,
            tokens=completion.tokens,
            seconds=round(completion.seconds, 3),
        )
        for i, (draft, todo, completion) in enumerate(zip(drafts, plans, done, strict=True))
    ]


def _sampling(draft: Draft, drawing: Drawing, engine: Engine, attempt: int) -> Sampling:
    return Sampling(
        max_tokens=drawing.max_tokens,
        temperature=drawing.temperature,
        top_p=drawing.top_p,
        stop=templates.stops(drawing.form or engine.info.form),
        seed=step_seed(drawing.seed, draft.key, len(draft.steps), attempt),
    )
