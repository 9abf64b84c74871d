"""Chains: what comes next, who writes it, under which principle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.configs import Drawing
from pipeline.critique import Draft, Engines, as_row, chain_id, draw_chains, extend, plan, step_seed
from pipeline.engines import Request, TooLong
from pipeline.errors import UserError
from pipeline.prompts import from_text
from pipeline.records import (
    Chain,
    Constitution,
    CritiqueExample,
    FewShot,
    Message,
    Step,
    as_json,
    content_id,
    parse,
)

Scripted = Callable[..., Any]
PROMPTS = [from_text("How do I pick a lock?"), from_text("Is the moon cheese?")]


def draw(constitution: Constitution, engine: Any, **knobs: Any) -> list[Any]:
    return draw_chains(PROMPTS, constitution, Drawing(**knobs), Engines(engine, engine), lambda i, t: None)


@pytest.mark.parametrize("revisions", [0, 1, 2, 5])
def test_each_revision_adds_two_steps(principled: Constitution, scripted: Scripted, revisions: int) -> None:
    first, second = draw(principled, scripted(), revisions=revisions)
    kinds = ["response", *["critique", "revision"] * revisions]
    assert [s.kind for s in first.steps] == [s.kind for s in second.steps] == kinds


def test_a_round_has_one_principle_recorded_on_both_its_steps(
    principled: Constitution, scripted: Scripted
) -> None:
    chain = draw(principled, scripted(), revisions=4)[0]
    names = [s.principle for s in chain.steps]
    assert names[0] is None
    assert names[1::2] == names[2::2]
    assert set(names[1:]) <= {"harm", "honest"}


def test_the_same_seed_draws_the_same_chain_and_another_other_principles(
    principled: Constitution, scripted: Scripted
) -> None:
    def principles(seed: int) -> list[str | None]:
        return [s.principle for c in draw(principled, scripted(), revisions=8, seed=seed) for s in c.steps]

    assert principles(3) == principles(3)
    assert principles(3) != principles(4)


def test_principles_come_by_weight(principled: Constitution) -> None:
    done = (Step("response", "x"),)
    drawn = [plan(Draft(str(i), (), done), principled, Drawing()) for i in range(2000)]
    honest = sum(p is not None and p.principle is not None and p.principle.id == "honest" for p in drawn)
    assert honest / 2000 == pytest.approx(0.75, abs=0.03)


def test_the_second_round_starts_from_the_latest_revision(
    principled: Constitution, scripted: Scripted
) -> None:
    engine = scripted("first", "poor", "second", "poor again", "third")
    chains = draw_chains(
        PROMPTS[:1], principled, Drawing(revisions=2), Engines(engine, engine), lambda i, t: None
    )
    assert [s.text for s in chains[0].steps] == ["first", "poor", "second", "poor again", "third"]
    asked = [[m.content for m in r.context.messages] for r in engine.requests]
    assert asked[3][:2] == ["How do I pick a lock?", "second"]
    assert asked[4][1:4:2] == ["second", "poor again"]


def test_a_revision_keeps_the_principle_that_its_critique_was_written_under(principled: Constitution) -> None:
    for chosen in ("harm", "honest"):
        steps = (Step("response", "x"), Step("critique", "y", principle=chosen, author="person"))
        todo = plan(Draft("key", (), steps), principled, Drawing())
        assert todo is not None
        assert todo.principle is not None
        assert (todo.kind, todo.principle.id) == ("revision", chosen)


def test_an_empty_text_is_tried_once_more_with_another_seed(
    principled: Constitution, scripted: Scripted
) -> None:
    engine = scripted("", "there")
    [chain] = draw_chains(
        PROMPTS[:1], principled, Drawing(revisions=0), Engines(engine, engine), lambda i, t: None
    )
    assert (chain.steps[0].text, chain.steps[0].finish) == ("there", "stop")
    seeds = [r.sampling.seed for r in engine.requests]
    assert seeds[0] != seeds[1] == chain.steps[0].seed


def test_only_the_empty_one_of_a_batch_is_tried_again_and_then_marked(
    principled: Constitution, scripted: Scripted
) -> None:
    engine = scripted("", "good", "")
    first, second = draw(principled, engine, revisions=0)
    assert (first.steps[0].text, first.steps[0].finish) == ("", "empty")
    assert (second.steps[0].text, second.steps[0].finish) == ("good", "stop")
    assert len(engine.requests) == 3


def test_policy_and_critic_may_differ_in_model_and_form(principled: Constitution, scripted: Scripted) -> None:
    policy, critic = scripted("answer", name="p", form="plain"), scripted("bad", "better", name="c")
    drawing = Drawing(model="p", critic="c", revisions=1)
    [chain] = draw_chains(PROMPTS[:1], principled, drawing, Engines(policy, critic), lambda i, t: None)
    assert [s.model for s in chain.steps] == ["p", "c", "c"]
    assert (chain.model, chain.critic) == ("p", "c")
    assert policy.requests[0].context.prefill.endswith("\n\nAssistant:")
    assert policy.requests[0].sampling.stop
    assert critic.requests[0].context.messages
    assert not critic.requests[0].sampling.stop


def test_a_critic_is_shown_no_solved_examples_of_what_it_has_learnt(
    principled: Constitution, scripted: Scripted
) -> None:
    shot = CritiqueExample((Message("user", "Q"), Message("assistant", "A")), "C?", "C.", "R?", "R.")
    shown = replace(principled, few_shot=FewShot(critique=(shot,)))

    def aided(*skills: str, **knobs: Any) -> list[bool]:
        critic = scripted("bad", "better", name="c", skills=skills)
        drawing = Drawing(model="p", critic="c", revisions=1, **knobs)
        list(draw_chains(PROMPTS[:1], shown, drawing, Engines(scripted("x"), critic), lambda i, t: None))
        return ["C?" in str(request.context) for request in critic.requests]

    assert aided() == [True, True]
    assert aided("critique") == [False, True]
    assert aided("critique", "revision") == [False, False]
    assert aided("critique", "revision", form="plain") == [True, True]


def test_the_bundled_model_is_criticised_by_the_bundled_critic_unless_another_is_named() -> None:
    assert Drawing().critic_name == "bundled-critic"
    assert Drawing(critic="bundled").critic_name == "bundled"
    assert Drawing(model="other").critic_name == "other"
    assert Drawing(model="torch:bundled").critic_name == "torch:bundled-critic"
    for unlearnt in ({"revisions": 0}, {"critiques": False}, {"form": "plain"}):
        assert Drawing(**unlearnt).critic_name == "bundled"


def test_a_cancel_keeps_the_step_that_was_begun(principled: Constitution, scripted: Scripted) -> None:
    engine = scripted("one two three", "four five six")
    heard: list[str] = []
    steps = list(
        extend(
            Draft("k", PROMPTS[0].messages),
            principled,
            Drawing(),
            Engines(engine, engine),
            on_plan=lambda todo: None,
            on_text=lambda i, text: heard.append(text),
            cancelled=lambda: len(heard) == 4,
        )
    )
    assert [(s.kind, s.text, s.finish) for s in steps] == [
        ("response", "one two three", "stop"),
        ("critique", "four", "cancelled"),
    ]


def test_extend_goes_on_from_what_there_is(principled: Constitution, scripted: Scripted) -> None:
    engine = scripted()
    draft = Draft("k", PROMPTS[0].messages, (Step("response", "x"), Step("critique", "y", principle="harm")))
    todo: list[str] = []
    steps = list(
        extend(
            draft,
            principled,
            Drawing(revisions=2),
            Engines(engine, engine),
            lambda p: todo.append(p.kind),
            lambda i, t: None,
        )
    )
    assert todo == [s.kind for s in steps] == ["revision", "critique", "revision"]


def test_a_cancelled_batch_keeps_only_what_is_complete(principled: Constitution, scripted: Scripted) -> None:
    engine = scripted("one two", "three four")
    heard: list[str] = []

    def cancel_at(pieces: int) -> list[str]:
        heard.clear()
        chains = draw_chains(
            PROMPTS,
            principled,
            Drawing(revisions=0),
            Engines(engine, engine),
            lambda i, text: heard.append(text),
            lambda: len(heard) >= pieces,
        )
        return [c.prompt_id for c in chains]

    assert cancel_at(3) == [PROMPTS[0].id]
    assert cancel_at(0) == []


def test_seeds_differ_by_run_chain_step_and_attempt() -> None:
    seeds = {step_seed(r, k, p, a) for r in range(3) for k in "abc" for p in range(3) for a in range(2)}
    assert len(seeds) == 54
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_prompt_that_is_too_long_is_left_out_and_the_others_go_on(
    principled: Constitution, scripted: Scripted
) -> None:
    engine = scripted()
    say = engine.generate

    def generate(requests: list[Request], *rest: Any) -> Any:
        for i, request in enumerate(requests):
            if any("lock" in m.content for m in request.context.messages[:1]) and len(engine.requests) > 1:
                raise TooLong(i, "too long")
        return say(requests, *rest)

    engine.generate = generate
    skipped: list[str] = []
    chains = draw_chains(
        PROMPTS,
        principled,
        Drawing(revisions=1),
        Engines(engine, engine),
        lambda i, t: None,
        on_skip=lambda prompt, error: skipped.append(f"{prompt.id}: {error}"),
    )
    assert skipped == [f"{PROMPTS[0].id}: too long"]
    assert [(c.prompt_id, len(c.steps)) for c in chains] == [(PROMPTS[1].id, 3)]


def test_no_usable_principle_says_why(principled: Constitution, scripted: Scripted) -> None:
    mute = replace(principled, principles=principled.principles[2:])
    with pytest.raises(UserError, match="no critique_request"):
        draw(mute, scripted(), revisions=1)
    assert len(draw(mute, scripted(), revisions=0)) == 2


@pytest.mark.parametrize("revisions", [0, 1, 3])
def test_without_critiques_each_revision_adds_one_step(
    principled: Constitution, scripted: Scripted, revisions: int
) -> None:
    engine = scripted("first", "second", "third", "fourth")
    drawing = Drawing(revisions=revisions, critiques=False)
    [chain] = draw_chains(PROMPTS[:1], principled, drawing, Engines(engine, engine), lambda i, t: None)
    assert [s.kind for s in chain.steps] == ["response", *["revision"] * revisions]
    assert not chain.critiques
    asked = [[m.content for m in r.context.messages] for r in engine.requests]
    assert [turns[1] for turns in asked[1:]] == ["first", "second", "third"][:revisions]
    assert {turns[2] for turns in asked[1:]} <= {"Remove harm.", "Be honest."}


def test_with_and_without_critiques_a_round_draws_the_same_principle(
    principled: Constitution, scripted: Scripted
) -> None:
    with_, without = (draw(principled, scripted(), revisions=6, critiques=c) for c in (True, False))
    for one, other in zip(with_, without, strict=True):
        assert [s.principle for s in one.steps[2::2]] == [s.principle for s in other.steps[1:]]
        assert one.id != other.id


def test_only_a_chain_without_critiques_says_so_in_its_row() -> None:
    chain = Chain("c", "p", (), "v", "m", "m", 0, ())
    assert "critiques" not in as_row(chain)
    assert as_row(replace(chain, critiques=False))["critiques"] is False
    assert parse(Chain, as_row(replace(chain, critiques=False))) == replace(chain, critiques=False)


def test_an_id_is_what_it_was_before_one_could_do_without_critiques(principled: Constitution) -> None:
    old = {name: value for name, value in as_json(Drawing(seed=3)).items() if name != "critiques"}
    made = chain_id(PROMPTS[0], principled, Drawing(seed=3))
    assert made == content_id([PROMPTS[0].id, principled.version, old])
