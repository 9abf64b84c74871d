"""Which engine runs a model: by its name, `torch:NAME` and `URL#NAME`; else the fastest that can."""

from __future__ import annotations

import os

from pipeline import models
from pipeline.engines import Engine
from pipeline.engines.spending import Purse
from pipeline.growing import say
from pipeline.servers import ServerModel

OPENVINO = "CAI_OPENVINO"
"""Set to 0, torch alone runs models on processors."""


def open_engine(
    name: str,
    purse: Purse | None = None,
    *,
    files: models.ModelFiles | ServerModel | None = None,
) -> Engine:
    """Load the model, or reach the server that has it. `files` is what the name means, where that is known.

    Models of servers draw on `purse`; engines that belong to one run share it. Raises UserError where the
    name has no model, EngineError where it can't be loaded or reached.
    """
    files = files or models.resolve(name)
    if isinstance(files, ServerModel):
        from pipeline.engines.server.engine import ServerEngine

        return ServerEngine(files, purse)
    if files.head:
        from pipeline.engines.scoring import ScoringEngine

        return ScoringEngine(name, files)
    from pipeline.engines.transformers import TransformersEngine

    openvino = os.environ.get(OPENVINO) != "0" and not files.torch
    return TransformersEngine(name, files=files, openvino=openvino)


def loaded(name: str, purse: Purse | None = None) -> Engine:
    """The same, told to the person at the terminal, with what runs the model."""
    say(f"loading {name}")
    engine = open_engine(name, purse)
    info = engine.info
    say(f"{name} runs by {info.engine} on {info.device}, in {info.dtype}")
    return engine
