"""Texts of people, models and files as the pages show them: as text, and turning nothing around them.

A name may hold characters that turn the direction of what follows it (Unicode's UAX #9), or letters that
are written from right to left: "by \\u202e..." would show the rest of its line backwards, figures and all.
Such a text is closed within itself and stands in an isolate, written with characters and not with an
element: so it holds in tooltips, labels of plots and choices of a list as well.
"""

from __future__ import annotations

import html
import re

FIRST_STRONG, POP_ISOLATE, POP = "\u2068", "\u2069", "\u202c"
EMBEDDING, ISOLATE = "\u202a\u202b\u202d\u202e", "\u2066\u2067\u2068"

# Bidi characters, and the blocks of letters from right to left.
_TURNS = re.compile(
    "[\u0590-\u08ff\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc"
    "\U00010800-\U00010fff\U0001e800-\U0001efff]"
)


def escape(text: str) -> str:
    """A text as HTML that people read: in an element, or in a quoted attribute such as `title`."""
    return html.escape(isolated(text))


def exact(text: str) -> str:
    """A text as HTML that comes back from the page and must be the same: an id, a link, what is edited."""
    return html.escape(text)


def isolated(text: str) -> str:
    """The text itself, or where it could turn its surroundings, the text in an isolate of its own.

    What it opens and leaves open is closed at its end; what it closes and never opened is left out.
    """
    if not _TURNS.search(text):
        return text
    kept, opened = [FIRST_STRONG], []
    for sign in text:
        if sign in EMBEDDING:
            opened.append(POP)
        elif sign in ISOLATE:
            opened.append(POP_ISOLATE)
        elif sign == POP:
            if opened[-1:] != [POP]:
                continue
            opened.pop()
        elif sign == POP_ISOLATE:
            if POP_ISOLATE not in opened:
                continue
            while opened.pop() != POP_ISOLATE:
                pass
        kept.append(sign)
    return "".join([*kept, *reversed(opened), POP_ISOLATE])
