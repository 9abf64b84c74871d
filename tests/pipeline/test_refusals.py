"""The refusal words."""

from __future__ import annotations

import pytest

from pipeline.refusals import refuses


@pytest.mark.parametrize("text", ["I can't do that.", "I can’t do that.", "Well, I CANNOT.", "As an AI, no"])
def test_a_refusal_is_seen_whatever_its_case_and_apostrophe(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text", ["", "Sure: first, boil water.", "Hawaii can't be reached by car.", "a tapas airline"]
)
def test_other_text_is_none(text: str) -> None:
    assert not refuses(text)
