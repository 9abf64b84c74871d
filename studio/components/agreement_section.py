"""A part of the Agreement page: its components, and what a comparison makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from studio.components.agreement_data import Picture

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Section:
    """`render` gives one update for each of `outputs`."""

    outputs: tuple[Any, ...]
    render: Callable[[Picture], list[Any]]
