"""“About this page”, folded away under the header, and the way from a word to the glossary."""

from __future__ import annotations

import re

from studio.escaping import escape
from studio.glossary import ARXIV, BY_NAME, Term
from studio.help import ABOUT

# The terms that a message about a mistake may want explained, with what says that it is about them.
TOLD = (
    ("Gate", r"\bgate\b"),
    ("Calibration", r"\bcalibrat"),
    ("Preference model", r"\bpreference model"),
    ("Judge", r"\bjudge\b"),
    ("Adapter", r"\badapter"),
    ("Constitution", r"\bconstitution\b|\bprinciple"),
)


def about_html(path: str) -> str:
    """The help of the page at this path; empty where it has none."""
    about = ABOUT.get(path)
    if about is None:
        return ""
    paper = f'<a href="{ARXIV}">Paper</a>, section {about.section}. ' if about.section else ""
    words = ", ".join(term_link(BY_NAME[name]) for name in about.terms)
    return (
        f'<details class="cai-about"><summary>About this page</summary><div><p>{about.what}</p>'
        f'<p><b>Why.</b> {about.why}</p><p class="cai-muted">{paper}Words: {words}; '
        f'<a href="glossary">the whole glossary</a>.</p></div></details>'
    )


def term_link(term: Term, text: str = "") -> str:
    """A link to where a term is explained."""
    return f'<a href="glossary#{term.anchor}">{escape(text or term.name)}</a>'


def explained(message: str) -> str:
    """Where the glossary explains what a message is about, as a link; empty where it does not."""
    name = next((name for name, pattern in TOLD if re.search(pattern, message, re.IGNORECASE)), None)
    return term_link(BY_NAME[name], f"What is meant: {name.lower()}") if name else ""
