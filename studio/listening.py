"""Listening to changes that come faster than they can be answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

HEARD = "() => []"


def on_change(triggers: Sequence[Any], fn: Callable[..., Any], inputs: Any, outputs: Any, **more: Any) -> Any:
    """Call `fn` at a change; where more come while it runs, once more, with the last. Returns its event.

    Not by `trigger_mode="always_last"` on the change itself: where a function waited so, Gradio's browser
    part calls all functions of that change anew, and two that wait call each other for ever. A function
    that follows something is called alone.
    """
    heard = gr.on(list(triggers), None, None, None, js=HEARD, api_visibility="private")
    return heard.then(fn, inputs, outputs, trigger_mode="always_last", **more)
