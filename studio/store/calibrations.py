"""Calibrations that people kept: for a labeller on an axis, so that training and exports can use them."""

from __future__ import annotations

import json

from pipeline.calibration import Calibration
from pipeline.records import Axis, as_json, parse
from studio.store import settings
from studio.store.database import Reader, Store
from studio.store.labels import Labeller


def keep(store: Store, labeller: Labeller, axis: Axis, calibration: Calibration) -> None:
    """Keep it; the newest counts."""
    settings.put(store, _key(labeller, axis), json.dumps(as_json(calibration)))


def drop(store: Store, labeller: Labeller, axis: Axis) -> None:
    """Go back to the probabilities as labelled."""
    if kept(store, labeller, axis) is not None:
        settings.put(store, _key(labeller, axis), json.dumps(None))


def kept(store: Reader, labeller: Labeller, axis: Axis) -> Calibration | None:
    """The calibration that is in force; None where probabilities are as labelled."""
    data = json.loads(settings.get(store, _key(labeller, axis)) or "null")
    return None if data is None else parse(Calibration, data)


def _key(labeller: Labeller, axis: Axis) -> str:
    return f"calibration:{axis}:{labeller.key}"
