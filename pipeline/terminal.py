"""Texts of files and models on a terminal: shown, and never obeyed."""

from __future__ import annotations


def shown(text: str) -> str:
    """A text without what a terminal would obey: control and bidi characters become U+FFFD, lines stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def shown_in_line(text: str, longest: int = 500) -> str:
    """The same as one line, cut where it is long."""
    line = shown(text).replace("\n", " ").replace("\t", " ")
    return line if len(line) <= longest else f"{line[:longest]}…"
