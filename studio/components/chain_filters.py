"""The controls that narrow a list of chains: one for each field of a ChainFilter that a person sets.

A page's address says the same by the same names, so that a narrowed list can be linked to and comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from studio.escaping import isolated
from studio.store import chains
from studio.store.chains import ChainFilter
from studio.store.database import Reader

NAMES = ("text", "principle", "model", "version", "run", "verdict")
MENUS = NAMES[1:5]
"""Those of them that offer what the session has."""
Offered = dict[str, list[tuple[str, str]]]
"""The choices of the menus, by name."""
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
        run = gr.Dropdown(label="Run", **look)
        judged = gr.Dropdown(VERDICTS, value=verdict, label="Verdict", min_width=150, elem_id="verdict")
    return [principle, model, version, run, judged]


def read(values: tuple[str, ...]) -> ChainFilter:
    """The filter that the controls' values mean."""
    return ChainFilter(**{name: value or None for name, value in zip(NAMES, values, strict=True)})


def asked(query: Mapping[str, str], verdict: str = "") -> ChainFilter:
    """The filter of an address, with this verdict where it says nothing about one."""
    fields = {name: query.get(name) or None for name in NAMES}
    judged = query.get("verdict", verdict)
    known = judged in [value for _, value in VERDICTS]
    return ChainFilter(**fields | {"verdict": judged if judged and known else None})


def query(wanted: ChainFilter) -> dict[str, str]:
    """The filter as an address says it."""
    return {name: value for name in NAMES if (value := getattr(wanted, name))}


def updates(store: Reader, wanted: ChainFilter) -> list[Any]:
    """What shows a filter in the controls, in the order of NAMES, each with what it offers now."""
    offered = _offered(store, wanted)
    shown = []
    for name in NAMES:
        more = {"choices": offered[name]} if name in offered else {}
        shown.append(gr.update(value=getattr(wanted, name) or "", **more))
    return shown


def menus(store: Reader, wanted: ChainFilter, before: Offered) -> list[Any]:
    """What the menus (MENUS) offer now, and an update for each whose choices `before` were others.

    What is chosen stays.
    """
    offered = _offered(store, wanted)
    same = [offered[name] == before.get(name) for name in MENUS]
    updates = [gr.skip() if s else gr.update(choices=offered[n]) for n, s in zip(MENUS, same, strict=True)]
    return [offered, *updates]


def _offered(store: Reader, wanted: ChainFilter) -> Offered:
    known = chains.filter_values(store)
    offered = {
        "principle": [(value, value) for value in known.principles],
        "model": [(value, value) for value in known.models],
        "version": [(f"{isolated(name)} {hash[:8]}", hash) for name, hash in known.versions],
        "run": [(f"{isolated(name)} · {made:%b %d %H:%M}", id) for id, name, made in known.runs],
    }
    for name, some in offered.items():
        some.insert(0, ("any", ""))
        value = getattr(wanted, name) or ""
        # A link may name what is not there, or not yet: the control must be able to say so.
        if value not in (held for _, held in some):
            some.append((value, value))
    return offered
