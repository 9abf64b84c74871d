"""Values on their way into a statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Params = Sequence[object] | Mapping[str, object]


def clean(text: str) -> str:
    """Text as the store keeps it: any Unicode, but half surrogate pairs become U+FFFD.

    Every parameter passes through here: DuckDB takes only what UTF-8 can hold, and what people paste
    now and then holds half an emoji.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def bound(params: Params) -> Any:
    """Parameters as DuckDB takes them, lists of text too."""
    if isinstance(params, Mapping):
        return {key: _clean(value) for key, value in params.items()} or None
    return [_clean(value) for value in params] or None


def _clean(value: object) -> object:
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return clean(value) if isinstance(value, str) else value
