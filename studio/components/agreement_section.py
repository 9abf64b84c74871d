"""A part of the Agreement page: its components, and what a comparison makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.components import agreement_asked, agreement_data
from studio.components.agreement_data import Picture
from studio.context import Studio

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Section:
    """`render` gives one update for each of `outputs`."""

    outputs: tuple[Any, ...]
    render: Callable[[Picture], list[Any]]


@dataclass(frozen=True)
class Listing:
    """The tabs that list pairs with their AI labels: drawn when they are opened, not before.

    Whom a label was shown to is kept, and a list behind a tab that stays closed was shown to nobody.
    """

    studio: Studio
    tabs: Mapping[str, Sequence[Section]]

    @property
    def outputs(self) -> list[Any]:
        """Those of all the sections."""
        return [output for of in self.tabs.values() for section in of for output in section.outputs]

    def drawn(self, open: str, before: Mapping[str, Any], values: Sequence[Any]) -> list[Any]:
        """What was drawn for which comparison, by tab; then an update for each output.

        Those of the open tab, unless it shows this comparison already: what was tried there stays.
        """
        asked = agreement_asked.of_controls(self.studio.store, values)
        picture = agreement_data.picture(self.studio.store, asked) if open in self.tabs else None
        fresh = picture is not None and len(picture.random) and before.get(open) != asked.query
        updates: list[Any] = []
        for name, sections in self.tabs.items():
            for section in sections:
                skips = [gr.skip() for _ in section.outputs]
                updates += section.render(picture) if picture and fresh and name == open else skips
        return [{**before, open: asked.query} if fresh else gr.skip(), *updates]
