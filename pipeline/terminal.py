"""Texts of files and models on a terminal: shown, and never obeyed."""

from __future__ import annotations

import io
import os
import sys


def shown(text: str) -> str:
    """A text without what a terminal would obey: control and bidi characters become U+FFFD, lines stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def shown_in_line(text: str, longest: int = 500) -> str:
    """The same as one line, cut where it is long."""
    line = shown(text).replace("\n", " ").replace("\t", " ")
    return line if len(line) <= longest else f"{line[:longest]}…"


def say_all() -> None:
    """Else a file's name that is not UTF-8, or a ∞ on an old terminal, ends a command that had succeeded."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def hang_up() -> int:
    """The reader of our output went away; without this Python would complain of it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
