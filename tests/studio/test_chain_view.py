"""A chain as HTML: everything that a model or a person wrote is escaped, and changes are marked."""

from __future__ import annotations

import pytest

from pipeline.critique import Plan
from pipeline.records import Principle, Step
from studio.components import chain_view
from studio.components.diff import LONGEST, word_diff
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
    assert "<del>Pick</del><ins>Ask for</ins> the lock." in html


def test_a_step_says_how_it_ended() -> None:
    html = chain_view.steps(
        (Step("response", "half a sen", finish="length"), Step("critique", "", finish="empty")), {}
    )
    assert "cut at max tokens" in html
    assert "the model wrote nothing, twice" in html


@pytest.mark.parametrize(
    ("before", "after"), [("apples and pears", "wholly other words here"), ("a " * LONGEST, "b " * LONGEST)]
)
def test_no_diff_where_it_would_not_help(before: str, after: str) -> None:
    assert word_diff(before, after) is None


def test_equal_texts_have_no_marks() -> None:
    assert word_diff("the same & more", "the same & more") == "the same &amp; more"
