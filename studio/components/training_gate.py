"""The audit's gate before training: loud where people were not shown to agree with the labels."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.errors import UserError
from pipeline.gate import State
from studio.escaping import escape

SAYS = {
    "opposed": (
        "People mostly hold the opposite of these labels",
        "A reward that is trained on them would teach what people call worse. Look at the disagreements on "
        'the <a href="agreement">Agreement</a> page, and change a principle, the method or the model.',
    ),
    "not shown yet": (
        "Nobody knows yet whether people agree with these labels",
        'Judge pairs on the <a href="audit">Audit</a> page, blind, until the gate on the '
        '<a href="agreement">Agreement</a> page says that they do.',
    ),
}


def warning_html(state: State | None, names: Iterable[str]) -> str:
    """The warning; empty where the gate is open, or no AI labels go in (None)."""
    if state is None or state == "agrees":
        return ""
    title, what = SAYS[state]
    of = ", ".join(escape(name) for name in names)
    look = "cai-gate-opposed" if state == "opposed" else "cai-gate-unknown"
    return (
        f'<div class="cai-gate-warning {look}" role="alert">'
        f"<b>{title}.</b> {what}<br><span>Gate: {state} · {of}</span></div>"
    )


def require(state: State | None, anyway: bool, reason: str) -> str:
    """The reason for training though the gate is shut; empty where it is open. Raises UserError without."""
    if state is None or state == "agrees":
        return ""
    if not anyway:
        title = SAYS[state][0]
        raise UserError(
            f"{title[0].lower()}{title[1:]} (gate: {state}): judge pairs first, or tick “Train anyway” and "
            "say why; the reason stays with the run and its checkpoint"
        )
    if not reason.strip():
        raise UserError("train anyway: say why, in a few words; the reason stays with the run")
    return " ".join(reason.split())
