"""A word diff as escaped HTML: what a revision took out and put in."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import lru_cache

from pipeline.constitution_diff import pieces
from studio.escaping import exact

MOST_PIECES = 4_000
"""Comparing takes quadratic time, half a second for these: of texts with more words lines are compared."""
REWRITTEN = 0.35
"""Below this share of common words single marks only confuse: the text was written anew."""

# The pieces of a text must stay in one line of writing, from whichever side it is read: none is isolated.
# Each word with the blank after it: half the pieces, and no match on blanks alone.
_WORD = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")


@lru_cache(maxsize=512)  # a page that streams shows the same finished revisions again and again
def word_diff(before: str, after: str) -> str:
    """`after` with `<ins>` and `<del>` against `before`; as two blocks where they have little in common.

    Of long texts whole lines are marked.
    """
    old, new = pieces(before, after, _WORD, MOST_PIECES)
    # autojunk drops words that are everywhere, as in a model's loops: without it 1,800 of them take minutes.
    matcher = SequenceMatcher(a=old, b=new, autojunk=True)
    if matcher.ratio() < REWRITTEN:
        return (
            _marked(before, "") + "<br>" + _marked("", after) if before and after else _marked(before, after)
        )
    parts = []
    for _, a, a_end, b, b_end in matcher.get_opcodes():
        gone, come = "".join(old[a:a_end]), "".join(new[b:b_end])
        parts.append(exact(come) if gone == come else _marked(gone, come))
    return "".join(parts)


def _marked(gone: str, come: str) -> str:
    return "".join(f"<{tag}>{exact(text)}</{tag}>" for tag, text in (("del", gone), ("ins", come)) if text)
