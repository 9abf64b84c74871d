"""Branches: a step edited or redrawn, the rest anew, and nothing of the parent touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline import prompts
from pipeline.configs import Drawing
from pipeline.errors import UserError
from studio.components import branching
from studio.context import Studio
from studio.live import LiveChains
from studio.store import chains, constitutions
from studio.store.chains import StoredChain
from studio.store.families import family

PROMPT = prompts.from_text("Can you help me hack into my neighbor's wifi?")
TWO_ROUNDS = Drawing(model="scripted", revisions=2, seed=7, max_tokens=50)


@pytest.fixture
def parent(studio: Studio, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> StoredChain:
    """A finished chain of five steps; what is drawn after it says `fine`."""
    engine = scripted("Sure.", "A crime.", "I can't.", "Curt.", "Sorry, I can't.")
    monkeypatch.setattr(studio.live, "load", lambda *_: engine)
    constitution = constitutions.latest(studio.store, "harmless")
    assert constitution
    return done(studio.live, studio, studio.live.start(PROMPT, constitution, TWO_ROUNDS, "ana"))


def done(live: LiveChains, studio: Studio, id: str) -> StoredChain:
    if writing := live.writing(id):
        writing.join(10)
    chain = chains.load_chain(studio.store, id)
    assert chain
    assert chain.status == "finished", chain.detail
    return chain


def test_an_edit_copies_what_was_before_and_draws_what_comes_after(
    studio: Studio, parent: StoredChain
) -> None:
    id = studio.live.branch(parent.id, 2, "  I'd rather not. ", "ben")
    branch = done(studio.live, studio, id)
    assert branch.steps[:2] == parent.steps[:2]
    edited = branch.steps[2]
    assert (edited.text, edited.author, edited.finish) == ("I'd rather not.", "person", "stop")
    assert (edited.model, edited.seed, edited.principle) == (None, None, parent.steps[2].principle)
    assert [(step.text, step.author) for step in branch.steps[3:]] == [("fine", "model")] * 2
    # The same seed draws the same principles: the text is all that differs.
    assert [step.principle for step in branch.steps] == [step.principle for step in parent.steps]
    assert (branch.parent, branch.branch_step, branch.author) == (parent.id, 2, "ben")
    same = ("constitution", "model", "critic", "seed", "revisions", "temperature", "max_tokens", "messages")
    assert all(getattr(branch, name) == getattr(parent, name) for name in same)


def test_the_parent_stays_as_it_was(studio: Studio, parent: StoredChain) -> None:
    done(studio.live, studio, studio.live.branch(parent.id, 0, "No.", "ben"))
    done(studio.live, studio, studio.live.branch(parent.id, 1, None, "ben"))
    assert chains.load_chain(studio.store, parent.id) == parent


def test_a_redraw_has_a_seed_of_its_own_and_says_which(studio: Studio, parent: StoredChain) -> None:
    branch = done(studio.live, studio, studio.live.branch(parent.id, 2, None, "ben"))
    assert branch.seed != parent.seed
    assert branch.steps[:2] == parent.steps[:2]
    assert branch.steps[2].author == "model"
    assert branch.steps[2].seed != parent.steps[2].seed
    # A revision goes with its critique, whatever the new seed would draw.
    assert branch.steps[2].principle == parent.steps[1].principle


def test_editing_the_last_step_needs_no_model(
    studio: Studio, parent: StoredChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio.live, "load", lambda *_: pytest.fail("a model was loaded"))
    branch = done(studio.live, studio, studio.live.branch(parent.id, 4, "Ask them.", "ben"))
    assert branch.steps == (*parent.steps[:4], branch.steps[4])


@pytest.mark.parametrize(
    ("position", "text", "why"),
    [
        (5, None, "no such finished step"),
        (-1, None, "no such finished step"),
        (0, " \n", "empty"),
        (0, "Sure.", "nothing was changed"),
    ],
)
def test_what_is_no_branch_is_refused_and_leaves_nothing(
    studio: Studio, parent: StoredChain, position: int, text: str | None, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        studio.live.branch(parent.id, position, text, "ben")
    assert chains.count_chains(studio.store, chains.ChainFilter()) == 1


def test_the_family_is_the_same_seen_from_each(studio: Studio, parent: StoredChain) -> None:
    live: Callable[..., str] = studio.live.branch
    child = done(studio.live, studio, live(parent.id, 0, "No.", "ben")).id
    sibling = done(studio.live, studio, live(parent.id, 3, None, "ana")).id
    grandchild = done(studio.live, studio, live(child, 2, "Never.", "ben")).id
    kin = family(studio.store, grandchild)
    assert [(m.id, m.parent, m.branch_step, m.kind, m.step_author) for m in kin] == [
        (parent.id, None, None, None, None),
        (child, parent.id, 0, "response", "person"),
        (sibling, parent.id, 3, "critique", "model"),
        (grandchild, child, 2, "revision", "person"),
    ]
    assert all(family(studio.store, id) == kin for id in (parent.id, child, sibling))
    assert family(studio.store, "nobody") == []


def test_a_chain_without_critiques_branches_into_one_without(
    studio: Studio, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio.live, "load", lambda *_: scripted("Sure.", "No.", "Sorry, no."))
    constitution = constitutions.latest(studio.store, "harmless")
    assert constitution
    drawing = replace(TWO_ROUNDS, critiques=False)
    parent = done(studio.live, studio, studio.live.start(PROMPT, constitution, drawing, "ana"))
    branch = done(studio.live, studio, studio.live.branch(parent.id, 2, None, "ben"))
    for chain in (parent, branch):
        assert ([step.kind for step in chain.steps], chain.critiques) == (
            ["response", "revision", "revision"],
            False,
        )
    assert branch.steps[:2] == parent.steps[:2]
    assert "Revision 2 redrawn" in branching.family_html(family(studio.store, parent.id), parent.id)
