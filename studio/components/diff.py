"""A word diff as escaped HTML: what a revision took out and put in."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from html import escape

LONGEST = 4000
"""Words and gaps a side; past it the comparison takes longer than a reader waits."""

REWRITTEN = 0.35
"""Below this share of common words a diff only confuses: the text was written anew."""

_WORD = re.compile(r"\s+|\w+|[^\w\s]")


def word_diff(before: str, after: str) -> str | None:
    """`after` with `<ins>` and `<del>` against `before`; None where they have too little in common."""
    old, new = _WORD.findall(before), _WORD.findall(after)
    if max(len(old), len(new)) > LONGEST:
        return None
    matcher = SequenceMatcher(a=old, b=new, autojunk=False)
    if matcher.ratio() < REWRITTEN:
        return None
    parts: list[str] = []
    for _, a, a_end, b, b_end in matcher.get_opcodes():
        gone, come = escape("".join(old[a:a_end])), escape("".join(new[b:b_end]))
        if gone == come:
            parts.append(come)
            continue
        parts += [f"<del>{gone}</del>"] * bool(gone) + [f"<ins>{come}</ins>"] * bool(come)
    return "".join(parts)
