"""Why a row can't be read, in a line for a person."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence

from pydantic import ValidationError

from pipeline.terminal import shown_in_line

_MOST = 20  # problems told one by one


def first(problems: Sequence[str], what: str = "bad rows") -> list[str]:
    """The first of many problems, and how many there are besides."""
    more = len(problems) - _MOST
    return [*problems[:_MOST], *([f"{what} besides these: {more:,}"] if more > 0 else [])]


def reason(error: Exception) -> str:
    """Why a row is not what it should be, in a line for a person."""
    return shown_in_line(_reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    if isinstance(error, KeyError):
        return f"a message without {error}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, csv.Error):
        return _csv_reason(str(error))
    return str(error) or type(error).__name__


def _csv_reason(message: str) -> str:
    if "unexpected end of data" in message:
        return "a quote is opened here and never closed"
    if "larger than field limit" in message:
        return "longer than 1 MB; is a quote left open?"
    if "expected after" in message:
        return "text after a closing quote; a quote inside a quoted text is written twice"
    return message
