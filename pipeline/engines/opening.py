"""Which engine runs a model: by its name, `torch:NAME` and `URL#NAME`; else the fastest that can."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from pipeline import models
from pipeline.engines import Engine
from pipeline.engines.spending import Purse
from pipeline.growing import say
from pipeline.servers import ServerModel

OPENVINO = "CAI_OPENVINO"
"""Set to 0, torch alone runs models on processors."""
VLLM = "CAI_VLLM"
"""Set to 0, vLLM is left out where it is installed; to 1, it runs models on processors, too."""
VLLM_SHARE = 0.3
"""Of a GPU's memory, in RL: for the copy that writes the answers, and its keys and values."""


def open_engine(
    name: str,
    purse: Purse | None = None,
    *,
    files: models.ModelFiles | ServerModel | None = None,
    beside: Sequence[object] = (),
) -> Engine:
    """Load the model, or reach the server that has it. `files` is what the name means, where that is known.

    Of the engines that are open `beside` it, one may lend it a base that both stand on.

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
    if not files.torch and wants_vllm():
        from pipeline.engines import vllm

        if engine := vllm.running(name, files, beside):
            return engine
    from pipeline.engines.transformers import TransformersEngine

    openvino = os.environ.get(OPENVINO) != "0" and not files.torch
    return TransformersEngine(name, files=files, openvino=openvino)


def in_turn(purse: Purse) -> Callable[[str], Engine]:
    """What opens engines of which each is dropped before the next; a base that both stand on stays."""
    last: list[Engine] = []

    def load(name: str) -> Engine:
        files = models.resolve(name)
        lent = [e for e in last if isinstance(files, models.ModelFiles) and _folder(e) == files.folder]
        last.clear()
        engine = loaded(name, purse, lent)
        if engine.info.engine == "vllm":
            last.append(engine)
        return engine

    return load


def _folder(engine: Engine) -> Path:
    return models.weights(engine.info.name).folder


def has_vllm() -> bool:
    """Whether vLLM is installed, and nobody left it out."""
    return os.environ.get(VLLM) != "0" and find_spec("vllm") is not None


def wants_vllm() -> bool:
    """Whether vLLM is to run models here."""
    if not has_vllm():
        return False
    import torch

    return os.environ.get(VLLM) == "1" or torch.cuda.is_available()


def loaded(name: str, purse: Purse | None = None, beside: Sequence[object] = ()) -> Engine:
    """The same, told to the person at the terminal, with what runs the model."""
    say(f"loading {name}")
    engine = open_engine(name, purse, beside=beside)
    info = engine.info
    say(f"{name} runs by {info.engine} on {info.device}, in {info.dtype}")
    return engine
