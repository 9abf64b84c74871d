"""The audit's gate in front of training: AI labels that people were not shown to agree with need a reason.

In the studio the session's judgments say how the gate stands. Headless it is read from the label run itself
and the people's judgments that it holds; without any, it is *not shown yet*.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline import compared_run, gate
from pipeline.errors import UserError
from pipeline.growing import say


def state_of(run: Path) -> gate.State:
    """How the gate stands by the people's judgments in a label run. Raises UserError for a broken one."""
    if not (run / "inputs" / "human.jsonl").is_file():
        return "not shown yet"
    try:
        judged = compared_run.read(run)
    except UserError:
        return "not shown yet"  # judgments on no axis, or of no labelled pair
    if "person" not in judged.kinds:
        return "not shown yet"
    return judged.gate("person").state


def require(runs: Sequence[Path], told: gate.State | None, override: str) -> gate.State | None:
    """The gate's state, the worst of these label runs; None where there are none.

    `told` is the studio's word, from its session; where the judgments in a label run oppose its labels,
    nobody's word is better. Raises UserError where it is not *agrees* and nobody gave a reason to train
    anyway; with a reason it warns.
    """
    if not runs:
        return None
    found = gate.worst(map(state_of, runs))
    state = found if told is None or found == "opposed" else told
    if state == "agrees":
        return state
    what = (
        "people's judgments are OPPOSED to these AI labels"
        if state == "opposed"
        else "it is NOT SHOWN YET that people agree with these AI labels"
    )
    if not override.strip():
        raise UserError(
            f"{what}: a reward trained on them may teach something else than the constitution says. Judge "
            "pairs on the Audit page until the gate says that they agree, or train anyway with a reason, "
            'which is stored with the run: --override-gate "..."'
        )
    say(f"WARNING: {what}; training anyway: {override.strip()}")
    return state
