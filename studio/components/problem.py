"""What went wrong, where the person looks: in the page, escaped, until the next try."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.errors import UserError
from studio.components.about import explained
from studio.escaping import escape

log = logging.getLogger(__name__)


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


def shown_or_why(look: Callable[[], str]) -> str:
    """A part of a page; where it holds what can't be shown, as what came from elsewhere may, the reason."""
    try:
        return look()
    except Exception as error:  # what else the page can do must stay within reach
        log.exception("a part of a page could not be shown")
        why = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return as_html(f"What is here can't be shown: {why}")


def as_html(message: str) -> str:
    """A message as the pages show problems, with a way to what the glossary says of its subject."""
    more = explained(message)
    link = f"\n{more}" if more else ""
    return f'<div class="cai-error" role="alert">{escape(message)}{link}</div>'
