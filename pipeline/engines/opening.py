"""Which engine runs a model: by its name, `torch:NAME` and `URL#NAME`; else the fastest that can."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline import models
from pipeline.engines import Cancelled, Engine, never
from pipeline.engines.freeing import free
from pipeline.engines.spending import Purse
from pipeline.engines.wanting import wants_vllm
from pipeline.growing import say
from pipeline.servers import ServerModel

OPENVINO = "CAI_OPENVINO"
"""Set to 0, torch alone runs models on processors."""


def open_engine(
    name: str,
    purse: Purse | None = None,
    *,
    files: models.ModelFiles | ServerModel | None = None,
    beside: Sequence[object] = (),
    cancelled: Cancelled = never,
) -> Engine:
    """Load the model, or reach the server that has it. `files` is what the name means, where that is known.

    Of the engines that are open `beside` it, one may lend it a base that both stand on. Models of servers
    draw on `purse`; engines that belong to one run share it. Raises UserError where the name has no model,
    EngineError where it can't be loaded or reached, StoppedError after a cancel while a server is reached.
    """
    files = files or models.resolve(name)
    if isinstance(files, ServerModel):
        from pipeline.engines.server.engine import ServerEngine

        return ServerEngine(files, purse, cancelled=cancelled)
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


class InTurn:
    """Opens engines, of which each is dropped before the next; a base that both stand on stays."""

    def __init__(self, purse: Purse) -> None:
        self._purse = purse
        self._last: list[Engine] = []

    def load(self, name: str) -> Engine:
        """The next one. Raises as `open_engine` does."""
        beside, self._last = self._last, []
        if beside:
            from pipeline.engines.vllm import stands_on

            files = models.resolve(name)
            if isinstance(files, ServerModel) or not stands_on(beside[0], files):
                beside = []
        free()
        engine = loaded(name, self._purse, beside)
        if engine.info.engine == "vllm":
            self._last = [engine]
        return engine

    def drop(self) -> None:
        """Give up what was kept for a next one: another kind of model wants its room."""
        self._last = []
        free()


def loaded(
    name: str, purse: Purse | None = None, beside: Sequence[object] = (), cancelled: Cancelled = never
) -> Engine:
    """The same, told to the person at the terminal, with what runs the model."""
    say(f"loading {name}")
    engine = open_engine(name, purse, beside=beside, cancelled=cancelled)
    info = engine.info
    say(f"{name} runs by {info.engine} on {info.device}, in {info.dtype}")
    return engine
