"""A scoring head as an engine: what `pointwise` asks of it, and nothing that has to be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from pipeline.engines import (
    Cancelled,
    Completion,
    Context,
    EngineError,
    Follow,
    ModelInfo,
    OnText,
    Request,
    Score,
    TooLong,
    ignore,
    never,
)
from pipeline.models import ModelFiles
from pipeline.preference_model import PreferenceModel
from pipeline.train.examples import said


class ScoringEngine:
    """A feedback model that scores answers and has no words. Not for threads: one call at a time."""

    def __init__(self, name: str, files: ModelFiles) -> None:
        """Load the model. Raises EngineError where it can't be."""
        self._pm = PreferenceModel(name, files=files, judges=True)
        model = self._pm.model
        self._info = ModelInfo(
            name=name,
            revision=files.revision,
            engine="transformers",
            dtype=str(model.dtype).removeprefix("torch."),
            device=model.device.type,
            form=self._pm.encoder.form,
            parameters=sum(p.numel() for p in model.parameters()),
            scores=True,
        )

    @property
    def info(self) -> ModelInfo:
        return self._info

    def score(self, contexts: Sequence[Context], continuations: Sequence[str]) -> list[Score]:
        """How much each continuation is to be chosen as the answer to its context, in log-odds."""
        asked = zip(contexts, continuations, strict=True)
        rows = [said(self._pm.encoder, context, text) for context, text in asked]
        for at, (ids, _) in enumerate(rows):
            if len(ids) > self._pm.limit:
                raise TooLong(
                    at,
                    f"the response with its prompt takes {len(ids)} tokens, and {self.info.name} holds "
                    f"{self._pm.limit}: shorten the prompt",
                )
        return [
            Score(score, len(ids) - begins, computed=len(ids))
            for score, (ids, begins) in zip(self._pm.of(rows), rows, strict=True)
        ]

    def generate(
        self, requests: Sequence[Request], on_text: OnText = ignore, cancelled: Cancelled = never
    ) -> list[Completion]:
        self._refuse()

    def flow(
        self,
        requests: Sequence[Request],
        follow: Follow,
        on_text: OnText = ignore,
        cancelled: Cancelled = never,
    ) -> None:
        self._refuse()

    def choose(self, contexts: Sequence[Context], options: Sequence[str]) -> list[list[float]]:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise EngineError(
            f"{self.info.name}: scores answers and writes none: label with it, or let it judge a tournament "
            "under a constitution, by the method pointwise"
        )
