"""The gate as the session has it: its threshold, and its state for a labeller on an axis.

Training will read `gate_for` before it trains a reward on a labeller's labels. Only people's judgments open
or close it, never imported ones or a model's.
"""

from __future__ import annotations

import math

from pipeline import gate as gates
from pipeline.agreement import Compared
from pipeline.errors import UserError
from pipeline.gate import Gate
from pipeline.records import Axis
from studio.store import audit, settings
from studio.store.database import Reader, Store
from studio.store.held_judgments import Whose
from studio.store.labels import Labeller

THRESHOLD = "gate.threshold"


def gate_for(store: Store, labeller: Labeller, axis: Axis) -> Gate:
    """What people's judgments of the random share say of a labeller, all annotators together."""
    c, _ = audit.compared(store, axis, labeller, Whose("person"))
    return of(store, c)


def of(store: Reader, c: Compared) -> Gate:
    """The gate over judgments in the order of time, at the session's threshold; ties are left out."""
    decided = c.decided()
    return gates.gate(decided.correct, decided.cluster, threshold(store))


def threshold(store: Reader) -> float:
    """The accuracy that the lower bound must exceed: 0.60 unless the session has another."""
    kept = settings.get(store, THRESHOLD)
    return gates.THRESHOLD if kept is None else float(kept)


def set_threshold(store: Store, value: float) -> None:
    """Keep a threshold for the session. Raises UserError outside [0.5, 1)."""
    if not (math.isfinite(value) and 0.5 <= value < 1):
        raise UserError(f"threshold: {value:g} is not between 0.5 (chance) and 1: choose one that is")
    if value != threshold(store):
        settings.put(store, THRESHOLD, repr(value))
