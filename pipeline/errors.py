"""Errors that a person can mend. Anything else is a bug and keeps its traceback."""

from __future__ import annotations


class UserError(Exception):
    """What is wrong and what to do about it, in plain words: shown as it is, without a traceback."""


class InputError(UserError):
    """A file that can't be read as what it should be: one line per problem, `file:line: field: what`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
