"""A chain as HTML: everything that a model or a person wrote is escaped, and changes are marked."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.critique import Plan
from pipeline.records import Principle, Step
from studio.components import branching, chain_view
from studio.components.diff import word_diff
from studio.live import Moment

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'"
PRINCIPLE = Principle(HOSTILE, HOSTILE, critique_request=HOSTILE, revision_request=HOSTILE)
STEPS = (
    Step("response", HOSTILE, model=HOSTILE),
    Step("critique", HOSTILE, principle=HOSTILE),
    Step("revision", HOSTILE + " less", principle=HOSTILE),
)


def test_no_text_becomes_a_tag() -> None:
    html = chain_view.steps(STEPS, {HOSTILE: PRINCIPLE}) + chain_view.steps(STEPS, {})
    html += chain_view.step_in_progress(Moment(plan=Plan("critique", PRINCIPLE), text=HOSTILE, doing=HOSTILE))
    assert "<img" not in html
    assert "<script" not in html


def test_a_revision_shows_what_it_took_out_and_put_in() -> None:
    steps = (
        Step("response", "Pick the lock."),
        Step("critique", "A crime."),
        Step("revision", "Ask for the lock."),
    )
    html = chain_view.steps(steps, {})
    assert "<del>Pick </del><ins>Ask for </ins>the lock." in html


def test_a_step_says_how_it_ended() -> None:
    html = chain_view.steps(
        (Step("response", "half a sen", finish="length"), Step("critique", "", finish="empty")), {}
    )
    assert "cut at max tokens" in html
    assert "the model wrote nothing, twice" in html


def test_a_text_written_anew_is_shown_as_two_blocks() -> None:
    assert (
        word_diff("apples, pears", "wholly other words")
        == "<del>apples, pears</del><br><ins>wholly other words</ins>"
    )


@pytest.mark.timeout(20)  # it took minutes
def test_a_models_loops_are_compared_at_once() -> None:
    loop = "I am here to help you. It is too easy to read, and I am sorry. " * 150
    assert "<ins>" in word_diff(loop, loop.replace("sorry", "glad") + "The end.")


@pytest.mark.timeout(20)  # it took half an hour
def test_of_long_texts_the_lines_are_compared() -> None:
    before = "".join(f"word{i} " + "\n" * (i % 100 == 99) for i in range(10_000))
    html = word_diff(before, before.replace("word7 ", "other "))
    assert html.count("<del>") == html.count("<ins>") == 1
    assert "<del>word0 " in html
    words = before.replace("\n", "").split()
    html = word_diff(" ".join(words), " ".join(word + "x" * (i % 2) for i, word in enumerate(words)))
    assert html.startswith("<del>word0 word1 ")


@given(st.text(), st.text())
def test_a_diff_holds_both_texts(before: str, after: str) -> None:
    html = word_diff(before, after)
    assert unescape(re.sub(r"<del>.*?</del>|</?ins>|<br>", "", html, flags=re.S)) == after
    assert unescape(re.sub(r"<ins>.*?</ins>|</?del>|<br>", "", html, flags=re.S)) == before


def test_equal_texts_have_no_marks() -> None:
    assert word_diff("the same & more", "the same & more") == "the same &amp; more"


def test_a_chain_without_critiques_counts_its_revisions() -> None:
    done = (Step("response", "a"), Step("revision", "b", "p"), Step("revision", "c", "p"))
    html = chain_view.steps(done, {"p": PRINCIPLE})
    assert re.findall(r"cai-label\">(\w+ ?\d?) ", html) == ["Response", "Revision 1", "Revision 2"]
    assert "Critique" not in html
    [*_, last] = (branching.step_acts("id", at, done, "m") for at in range(3))
    assert "Draw the step, its principle and the rest" in last
    moment = Moment(plan=Plan("revision", PRINCIPLE), steps=done)
    assert "Revision 3" in chain_view.step_in_progress(moment)
