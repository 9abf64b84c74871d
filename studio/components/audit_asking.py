"""What an audit page is asked for: the task, the question, by whom, what comes next, when the AI is revealed.

An address holds all of it, and each act brings the address of the picture it is about: what a key means is
never decided by a control that was changed after the picture came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import gradio as gr

from pipeline.records import Axis

Task = Literal["pairs", "ranking"]
Mode = Literal["random", "uncertain", "disagreement", "order"]
Reveal = Literal["beside", "before", "none"]

TASKS = [("One pair at a time", "pairs"), ("Rank several", "ranking")]
AXES = [("Harmless", "harmless"), ("Helpful", "helpful")]
MODES = [
    ("Any, at random", "random"),
    ("Where the AI is unsure", "uncertain"),
    ("Where its principles disagree", "disagreement"),
    ("Where the order of showing sways it", "order"),
]
REVEALS = [
    ("Below the next pair", "beside"),
    ("Before going on", "before"),
    ("Not while judging", "none"),
]
SHARE = """<p class="cai-muted cai-share">Whatever is chosen here, a fixed share of the pairs is drawn at
random, in the same order for everybody, so that annotators overlap. Only these speak for all pairs:
agreement, calibration and the gate count no others. Why a pair was asked is said once it is judged.</p>"""


@dataclass(frozen=True)
class Asking:
    """All that an address says but the pair. `who` is the annotator, `labeller` a labeller's key or empty."""

    task: Task = "pairs"
    axis: Axis = "harmless"
    who: str = "local"
    mode: Mode = "random"
    labeller: str = ""
    reveal: Reveal = "beside"

    def query(self, item: str = "") -> dict[str, str]:
        """The address, with the pair or group on the page."""
        query = {"axis": str(self.axis), "as": self.who}
        for field in fields(self):
            value = str(getattr(self, field.name))
            if field.name not in ("axis", "who") and value != field.default:
                query[field.name] = value
        if item:
            query["group" if self.task == "ranking" else "pair"] = item
        return query


OFFERED: dict[str, Sequence[tuple[str, str]]] = {
    "task": TASKS,
    "axis": AXES,
    "mode": MODES,
    "reveal": REVEALS,
}
# Where nobody logs in, a name that was typed before is taken up where the address has none.
REMEMBERED = '() => { try { return [localStorage.getItem("cai-annotator") ?? ""] } catch { return [""] } }'
NAMES = ("task", "axis", "who", "mode", "labeller", "reveal")


def read(values: Mapping[str, Any], login: str | None) -> Asking:
    """What an address or the controls ask for; what they can't mean is as if it were not there.

    `login` is the name of who is logged in: then nobody judges under another.
    """
    asking = Asking(who=login or _name(values.get("as") or values.get("who")))
    for name, offered in OFFERED.items():
        if values.get(name) in [value for _, value in offered]:
            asking = replace(asking, **{name: values[name]})
    return replace(asking, labeller=str(values.get("labeller") or ""))


def of_controls(values: Sequence[Any], login: str | None) -> Asking:
    """What the controls ask for, in the order of NAMES."""
    return read(dict(zip(NAMES, values, strict=True)), login)


def controls() -> list[Any]:
    """The controls, in the order of NAMES."""
    with gr.Row(elem_classes="cai-asking"):
        task = gr.Radio(TASKS, value="pairs", label="Task", elem_id="audit-task")
        axis = gr.Radio(AXES, value="harmless", label="Question", elem_id="audit-axis")
        who = gr.Textbox(
            label="Annotator", placeholder="your name", max_length=80, elem_id="audit-who", min_width=160
        )
    with gr.Accordion("What comes next, and when the AI is revealed", open=False, elem_id="audit-settings"):
        with gr.Row():
            mode = gr.Dropdown(MODES, value="random", label="Next pairs", elem_id="audit-mode")
            labeller = gr.Dropdown(
                [("All labellers", "")], value="", label="AI labels of", elem_id="audit-labeller"
            )
            reveal = gr.Dropdown(
                REVEALS, value="beside", label="Reveal the AI’s label", elem_id="audit-reveal"
            )
        gr.HTML(SHARE, padding=False)
    return [task, axis, who, mode, labeller, reveal]


def _name(value: Any) -> str:
    """A name that was typed: one line, without what can't be seen."""
    one_line = " ".join(str(value or "").split())
    typed = "".join(character for character in one_line if character.isprintable())[:80].strip()
    return typed or "local"
