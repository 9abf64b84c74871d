"""Texts on a page: no markup, and nothing around them turned; and what is read back stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.escaping import EMBEDDING, ISOLATE, POP, POP_ISOLATE, escape, exact, isolated

NAME = "\u202eana"


def left_open(text: str) -> int:
    """How deep a line is in embeddings and isolates after a text, by the rules X1 to X8 of UAX #9."""
    stack: list[str] = []
    for sign in text:
        if sign in EMBEDDING + ISOLATE:
            stack.append(sign)
        elif sign == POP and stack and stack[-1] in EMBEDDING:
            stack.pop()
        elif sign == POP_ISOLATE and any(one in ISOLATE for one in stack):
            while stack.pop() not in ISOLATE:
                pass
    return len(stack)


def test_a_name_that_turns_its_line_is_closed_and_stands_alone() -> None:
    assert isolated(NAME) == f"\u2068{NAME}\u202c\u2069"
    assert isolated("\u2069\u202cout") == "\u2068out\u2069"  # it closes nothing of ours
    assert isolated("שלום") == "\u2068שלום\u2069"


def test_any_other_text_is_itself() -> None:
    assert isolated("Ana & <b>Żółć</b> 你好 👩‍🔬") == "Ana & <b>Żółć</b> 你好 👩‍🔬"


@pytest.mark.parametrize("around", ["{} of 12", "by {}, 12", "{}"])
@given(text=st.text(st.sampled_from(EMBEDDING + ISOLATE + POP + POP_ISOLATE + "aש1 "), max_size=20))
def test_no_text_leaves_anything_open(around: str, text: str) -> None:
    assert left_open(around.format(isolated(text))) == 0
    # An isolate that was open before is open after: the text did not close it.
    assert left_open("\u2067" + around.format(isolated(text))) == 1


def test_html_is_escaped_and_what_is_read_back_is_not_changed() -> None:
    assert escape('<img src="x">') == "&lt;img src=&quot;x&quot;&gt;"
    assert exact(f'"{NAME}"') == f"&quot;{NAME}&quot;"
