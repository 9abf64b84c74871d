"""The engine on vLLM, for GPUs: its scheduler, kernels and cache; our tokens in, our texts out.

So prompts can't forge turns, and stop strings, streaming and cancels are those of the other engines. It draws
by its own random streams: a seed gives the same text again by this engine, and another than by torch.

A base is loaded once, and its adapters are served beside it. The states are in the model's type, logits and
log-probabilities in fp32. Tried with vLLM 0.30's build for processors.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from pipeline import models
from pipeline.engines import (
    Cancelled,
    Completion,
    Context,
    Follow,
    ModelInfo,
    OnText,
    Request,
    Sampling,
    Score,
    ignore,
    never,
)
from pipeline.engines.decoding import Row
from pipeline.engines.encoding import Encoder, ends, require_room
from pipeline.engines.flow import at_once, fitting
from pipeline.engines.freeing import free
from pipeline.engines.options import chosen
from pipeline.engines.transformers import LOCAL, fast_in_bf16, tokenizer_folder
from pipeline.engines.vllm_base import Base, begun, count, rank_of, weights_of

log = logging.getLogger(__name__)

IN_FLIGHT = 2048
"""Beginnings of which the next token is asked at a time, when it scores."""


class VllmEngine:
    """One model of a running vLLM: its base, or an adapter on it. Not for threads: one call at a time."""

    def __init__(
        self,
        name: str,
        files: models.ModelFiles,
        beside: Sequence[object] = (),
        dtype: torch.dtype | None = None,
    ) -> None:
        """Load the model; one of `beside` that has the same base lends it. Raises what vLLM raises."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        half = torch.float16 if device == "cuda" else torch.float32
        dtype = dtype or (torch.bfloat16 if fast_in_bf16(device) else half)
        self.tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(files), **LOCAL)
        self.encoder = Encoder(self.tokenizer, name)
        self.ends = ends(_generation(files.folder), self.tokenizer)
        self.base = _lent(files, beside) or begun(files, dtype)
        self.adapter = self.base.adapter(files.adapter, files.revision) if files.adapter else None
        self.limit = int(self.base.llm.model_config.max_model_len)
        self._info = ModelInfo(
            name=name,
            revision=files.revision,
            engine="vllm",
            dtype=str(dtype).removeprefix("torch."),
            device=device,
            form=self.encoder.form,
            parameters=count(files.folder) + (count(files.adapter) if files.adapter else 0),
            skills=files.skills,
        )
        # Some kernels only say in the first pass that they lack a shape.
        self.generate([Request(Context(prefill="Hello"), Sampling(max_tokens=1))])

    @property
    def info(self) -> ModelInfo:
        return self._info

    def generate(
        self, requests: Sequence[Request], on_text: OnText = ignore, cancelled: Cancelled = never
    ) -> list[Completion]:
        return at_once(self.flow, requests, on_text, cancelled)  # none is written before all have begun

    def flow(
        self,
        requests: Sequence[Request],
        follow: Follow,
        on_text: OnText = ignore,
        cancelled: Cancelled = never,
    ) -> None:
        running: dict[str, Row] = {}

        def begin(index: int, request: Request | None) -> None:
            if row := fitting(self._row, follow, index, request):
                running[self._write(row)] = row

        try:
            for i, request in enumerate(requests):
                begin(i, request)
            while running:
                if cancelled():
                    for row in running.values():
                        row.finish = "cancelled"
                        follow(row.index, row.completion())
                    return
                for name, row in self._step(running, on_text):
                    del running[name]
                    begin(row.index, follow(row.index, row.completion()))
        finally:
            self.base.end(list(running))

    def _write(self, row: Row) -> str:
        row.began = time.perf_counter()
        return self.base.add(
            row.ids,
            self.adapter,
            max_tokens=row.sampling.max_tokens,
            temperature=row.sampling.temperature,
            top_p=row.sampling.top_p,
            seed=row.sampling.seed,
            stop_token_ids=sorted(self.ends),
        )

    def _step(self, running: Mapping[str, Row], on_text: OnText) -> list[tuple[str, Row]]:
        """One token further for each; those that ended."""
        ended: list[tuple[str, Row]] = []
        for output in self.base.step():
            row = running[output.request_id]
            for token in output.outputs[0].token_ids:
                if row.finish is None and (shown := row.take(token)):
                    on_text(row.index, shown)
            if row.finish or output.finished:
                if not output.finished:  # at a stop string, which vLLM does not know of
                    self.base.end([output.request_id])
                ended.append((output.request_id, row))
        return ended

    def score(self, contexts: Sequence[Context], continuations: Sequence[str]) -> list[Score]:
        pairs = self.encoder.scored(contexts, continuations, self.limit)
        # Token by token: a beginning that was computed is cached, and a prompt's own log-probabilities
        # are not to be had beside adapters.
        asked: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for i, (before, after) in enumerate(pairs):
            for at, token in enumerate(after):
                asked.setdefault(tuple(before + after[:at]), []).append((i, token))
        logprob, computed = [0.0] * len(pairs), [0] * len(pairs)
        for shown, found, new in self._nexts(asked):
            for i, token in asked[shown]:
                logprob[i] += found[token].logprob
                computed[i] += new
                new = 0  # for the others that were asked after the same
        # The last token of a sequence predicts nothing; some are computed twice, as blocks are cached whole.
        return [
            Score(logprob[i], len(after), computed[i], max(0, len(before) + len(after) - 1 - computed[i]))
            for i, (before, after) in enumerate(pairs)
        ]

    def choose(self, contexts: Sequence[Context], options: Sequence[str]) -> list[list[float]]:
        return chosen(self.score, contexts, options)

    def _nexts(
        self, asked: Mapping[tuple[int, ...], Sequence[tuple[int, int]]]
    ) -> Iterator[tuple[tuple[int, ...], Mapping[int, Any], int]]:
        """After each beginning: the log-probabilities of the tokens asked for, and how many were computed."""
        todo = iter(sorted(asked))  # those that begin alike come one after another
        waiting: dict[str, tuple[int, ...]] = {}
        try:
            while True:
                for shown in itertools.islice(todo, IN_FLIGHT - len(waiting)):
                    tokens = sorted({token for _, token in asked[shown]})
                    how = {"logprob_token_ids": tokens, "logprobs": len(tokens)}
                    name = self.base.add(shown, self.adapter, max_tokens=1, temperature=0.0, **how)
                    waiting[name] = shown
                if not waiting:
                    return
                for output in self.base.step():
                    shown = waiting.pop(output.request_id)
                    computed = len(shown) - int(output.num_cached_tokens or 0)
                    yield shown, output.outputs[0].logprobs[0], computed
        finally:
            self.base.end(list(waiting))

    def _row(self, index: int, request: Request) -> Row:
        ids = self.encoder.encode(request.context)
        require_room(index, len(ids) + request.sampling.max_tokens, name=self.info.name, limit=self.limit)
        return Row(index, ids, request.sampling, self.tokenizer, self.ends)


def running(name: str, files: models.ModelFiles, beside: Sequence[object] = ()) -> VllmEngine | None:
    """A model as vLLM runs it, where that can; else the log says why it can't."""
    try:
        return VllmEngine(name, files, beside)
    except Exception as error:  # noqa: BLE001 - an architecture, an adapter, memory, a compiler: torch will do
        log.warning("%s: torch runs it, as vLLM can't: %r", name, error)
    free()  # what it had loaded before it failed
    return None


def _lent(files: models.ModelFiles, beside: Sequence[object]) -> Base | None:
    """The base of another engine, where it has these weights and can serve the adapter."""
    rank, weights = rank_of(files.adapter), weights_of(files)
    bases = (engine.base for engine in beside if isinstance(engine, VllmEngine))
    return next((base for base in bases if base.weights == weights and base.rank >= rank), None)


def stands_on(engine: object, files: models.ModelFiles) -> bool:
    """Whether the model's base is the one that this engine has."""
    return isinstance(engine, VllmEngine) and engine.base.weights == weights_of(files)


def _generation(folder: Path) -> GenerationConfig:
    try:
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        return GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder, **LOCAL))
