"""Who can be talked to in a session, by the names that people know them by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline import bundled
from pipeline.models import bare
from studio.components.checkpoint_view import METHODS
from studio.components.training_sources import Options
from studio.context import Studio
from studio.escaping import isolated
from studio.store import checkpoints

SCORE = ("pm", "feedback")
"""What training makes that only scores."""
DEEPEST = 10
"""How many bases below a model are looked at."""


def speakers(studio: Studio) -> Options:
    """The bundled model, and each checkpoint that writes text: results of training, and RL's snapshots."""
    found: Options = [("bundled", "bundled")]
    for one in checkpoints.listed(studio.store, studio.jobs.folder):
        method = str(one.card.get("method") or "")
        if method not in SCORE and one.card:
            found.append((f"{isolated(one.name)} · {METHODS.get(method, method)}", str(one.source)))
    return found


def called(model: str, known: Options) -> str:
    """A model's name for people: a checkpoint's own, a folder's last part."""
    of = {value: label for label, value in known}
    return of.get(model) or (Path(model).name if model.startswith(("/", "~")) else model)


def names(studio: Studio, models: Sequence[str]) -> list[str]:
    """All that models go by in a session, and what they were made from, down to the first base."""
    of = {str(one.source): one for one in checkpoints.listed(studio.store, studio.jobs.folder)}
    found: list[str] = []
    for model in models:
        for _ in range(DEEPEST):
            model = bare(model)
            if model in bundled.NAMES:
                found.append(bundled.GGUF.partition(".")[0])
            found += [model, model.rpartition("#")[2] if "#" in model else Path(model).name]
            if (one := of.get(model)) is None:
                break
            found.append(one.name)
            model = str(one.card.get("base") or "")
    return list(dict.fromkeys(found))
