"""What went wrong, where the person looks: in the page, escaped, until the next try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.errors import UserError
from studio.components.about import explained
from studio.escaping import escape


@dataclass
class Problem:
    """The message as HTML; empty when all went well."""

    html: str = ""


@contextmanager
def told() -> Iterator[Problem]:
    """Turn a UserError of the block into a message for the page. Bugs pass through."""
    problem = Problem()
    try:
        yield problem
    except UserError as error:
        problem.html = as_html(str(error))


def as_html(message: str) -> str:
    """A message as the pages show problems, with a way to what the glossary says of its subject."""
    more = explained(message)
    link = f"\n{more}" if more else ""
    return f'<div class="cai-error" role="alert">{escape(message)}{link}</div>'
