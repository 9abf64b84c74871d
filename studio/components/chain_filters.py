"""The controls that narrow a list of chains: one for each field of a ChainFilter that a person sets."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.store import chains
from studio.store.chains import ChainFilter
from studio.store.database import Reader

NAMES = ("text", "principle", "model", "version", "verdict")
VERDICTS = [("any", ""), ("unjudged", "none"), ("accepted", "accepted"), ("rejected", "rejected")]


def search() -> Any:
    """The field to search by."""
    return gr.Textbox(label="Search", placeholder="in prompts and answers", elem_id="search", min_width=200)


def narrowing(verdict: str = "") -> list[Any]:
    """The other controls, in the order of NAMES after the first."""
    with gr.Row():
        look = {"choices": [("any", "")], "value": "", "min_width": 150}
        principle = gr.Dropdown(label="Principle", **look)
        model = gr.Dropdown(label="Model", **look)
        version = gr.Dropdown(label="Constitution version", **look)
        judged = gr.Dropdown(VERDICTS, value=verdict, label="Verdict", min_width=150, elem_id="verdict")
    return [principle, model, version, judged]


def read(values: tuple[str, ...]) -> ChainFilter:
    """The filter that the controls' values mean."""
    return ChainFilter(**{name: value or None for name, value in zip(NAMES, values, strict=True)})


def choices(store: Reader) -> dict[str, list[tuple[str, str]]]:
    """What the controls offer now, by name: what occurs in the session."""
    known = chains.filter_values(store)
    found = {
        "principle": [(value, value) for value in known.principles],
        "model": [(value, value) for value in known.models],
        "version": [(f"{name} {hash[:8]}", hash) for name, hash in known.versions],
    }
    return {name: [("any", ""), *values] for name, values in found.items()}
