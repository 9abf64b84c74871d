"""A scoring head as a folder: the weights alone, with the name of the model that they stand on.

`cai pm --tuning head --under ...` makes one, of a few kilobytes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline import bounded
from pipeline.rundir import write_atomically

SHAPE, WEIGHTS = "head_config.json", "head.safetensors"
BASE, LAYERS = "base_model_name_or_path", "layers"
AVERAGED = "scores_mean_state"
"""In a model's config: its head scores the mean of its states over the answer, not the last one."""
HALVED = "lower_half"
"""In a model's config: of the model that it was made from it has the lower half of the layers."""
_NAME = "score.weight"


def write(to: Path, model: Any, base: str) -> None:
    """Write the head of a model that scores, and how many layers of `base` are below it."""
    from safetensors.torch import save_file

    to.mkdir(parents=True, exist_ok=True)
    save_file({_NAME: model.score.weight.detach().float().cpu()}, to / WEIGHTS, {"format": "pt"})
    shape = {BASE: base, LAYERS: model.config.num_hidden_layers}
    write_atomically(to / SHAPE, json.dumps(shape, indent=2) + "\n")


def put_on(model: Any, folder: Path) -> None:
    """Give a model the head of a folder. Raises ValueError where it doesn't fit."""
    import torch
    from safetensors.torch import load_file

    weights = load_file(folder / WEIGHTS).get(_NAME)
    if weights is None or weights.shape != model.score.weight.shape:
        raise ValueError(f"{WEIGHTS} holds no head for this model")
    keep_lower(model, int(bounded.json_of(folder / SHAPE)[LAYERS]))
    with torch.no_grad():
        model.score.weight.copy_(weights)
    setattr(model.config, AVERAGED, True)


def keep_lower(model: Any, many: int) -> None:
    """Leave out all layers but so many of the lower ones; a kind that names them otherwise stays whole."""
    layers = getattr(model.base_model, "layers", ())
    if len(layers) <= many:
        return
    model.base_model.layers = layers[:many]
    model.config.num_hidden_layers = many
    setattr(model.config, HALVED, True)
    if kinds := getattr(model.config, "layer_types", None):
        model.config.layer_types = kinds[:many]


def require_language(model: Any, missing: Collection[str]) -> None:
    """Raise ValueError for a model that can't speak: a half of one, or one whose weights lack some.

    transformers fills these with random numbers and only warns: a preference model would "speak".
    """
    if getattr(model.config, HALVED, False):
        raise ValueError("it has the lower half of a model, which scores and can't speak")
    if missing:
        raise ValueError(
            f"its weights lack {', '.join(sorted(missing)[:3])}: it is no (or half a) language model"
        )


@contextmanager
def unreported() -> Iterator[None]:
    """Without the table that says of a head that the weights lack that they do: it is yet to come."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
