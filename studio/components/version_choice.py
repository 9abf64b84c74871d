"""The saved versions of all constitutions, to choose one from."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.context import Studio
from studio.escaping import isolated
from studio.store import constitutions


def version_choice() -> gr.Dropdown:
    """Put the control on a page; `choices` fills it."""
    return gr.Dropdown(
        label="Constitution", info="a saved version; it goes into the run's folder", elem_id="constitution"
    )


def choices(studio: Studio, chosen: str | None) -> Any:
    """An update of the control: the versions as they are now, and `chosen`, or the newest harmless one."""
    found = _versions(studio)
    known = [version for _, version in found]
    harmless = next((version for label, version in found if label.startswith("harmless ")), None)
    value = chosen if chosen in known else harmless or next(iter(known), None)
    return gr.update(choices=found, value=value)


def _versions(studio: Studio) -> list[tuple[str, str]]:
    """Every saved version by a name to choose it by, the newest of each constitution first."""
    found: dict[str, str] = {}
    for name in constitutions.names(studio.store):
        for at, version in enumerate(constitutions.versions(studio.store, name)):
            when = "newest" if at == 0 else f"{version.saved:%b %d %H:%M}"
            found.setdefault(version.version, f"{isolated(name)} · {when} · {version.version[:8]}")
    return [(label, version) for version, label in found.items()]
