"""Controls made from a config dataclass, and the dataclass made from their values.

The same fields and words serve the command line (`pipeline.configs`), so a page and `cai` can't differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import gradio as gr

from pipeline.errors import UserError

C = TypeVar("C")


def controls(
    kind: type, names: Iterable[str], choices: Mapping[str, Sequence[str]], prefix: str = "set"
) -> dict[str, Any]:
    """One labelled control per named field; `choices` are suggestions for a text field.

    Their ids begin with `prefix`: two forms of one page need two.
    """
    hints, by_name = get_type_hints(kind), {f.name: f for f in fields(kind)}
    return {name: _control(by_name[name], hints[name], choices.get(name), prefix) for name in names}


def read(kind: type[C], values: Mapping[str, Any]) -> C:
    """The dataclass that the controls' values describe. Raises UserError for what is out of range."""
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], value, name) for name, value in values.items()})


def _control(f: Any, hint: Any, choices: Sequence[str] | None, prefix: str) -> Any:
    look = {"label": f.name.replace("_", " ").capitalize(), "info": f.metadata["help"], "value": f.default}
    look["elem_id"] = f"{prefix}-{f.name}"
    if hint is bool:
        return gr.Checkbox(**look)
    if get_origin(hint) is Literal:
        return gr.Dropdown(list(get_args(hint)), **look)
    options = [k for k in get_args(hint) if get_origin(k) is Literal]
    if options:
        return gr.Dropdown(
            [(f.metadata["empty"], ""), *get_args(options[0])], **{**look, "value": f.default or ""}
        )
    if choices is not None:
        return gr.Dropdown(list(choices), allow_custom_value=True, **look)
    if hint in (int, float):
        # Without Gradio's own bounds: it refuses without a word to the person, and `read` says why.
        return gr.Number(step=_step(hint, f.default), min_width=110, **look)
    return gr.Textbox(**look)


def _step(hint: Any, default: float) -> float:
    if hint is int:
        return 1
    return 0.05 if default == 0 or default >= 0.01 else 1e-5  # a learning rate


def _value(hint: Any, value: Any, name: str) -> Any:
    if hint is bool:
        return bool(value)
    if value is None and hint in (int, float):
        raise UserError(f"{name.replace('_', ' ')}: a number is missing")
    if hint is int and value != value // 1:
        raise UserError(f"{name.replace('_', ' ')}: {value} is not a whole number")
    if hint in (int, float):
        return hint(value)
    text = str(value or "").strip()
    for words in (kind for kind in (hint, *get_args(hint)) if get_origin(kind) is Literal):
        if text not in get_args(words) and (text or words is hint):
            raise UserError(f"{name.replace('_', ' ')}: {text!r} is none of {', '.join(get_args(words))}")
    return text if hint is str or get_origin(hint) is Literal else text or None
