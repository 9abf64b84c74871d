"""The engine on vLLM, for GPUs: its scheduler, kernels and cache; our tokens in, our texts out.

So prompts can't forge turns, and stop strings, streaming and cancels are those of the other engines. It draws
by its own random streams: a seed gives the same text again by this engine, and another than by torch.

A base is loaded once, and its adapters are served beside it. The states are in the model's type, logits and
log-probabilities in fp32. Tried with vLLM 0.30's build for processors.
"""

from __future__ import annotations

import gc
import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from pipeline import bounded, models
from pipeline.engines import (
    Cancelled,
    Completion,
    Context,
    EngineError,
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
from pipeline.engines.wanting import quieten
from pipeline.estimating import parameters, shape

log = logging.getLogger(__name__)

ADAPTERS = 4
"""Adapters that one batch may hold; others wait for it."""
RANKS = (64, 128, 256, 512)
"""What vLLM takes as the largest rank of a base's adapters."""
IN_FLIGHT = 2048
"""Beginnings of which the next token is asked at a time, when it scores."""


class Base:
    """A running vLLM with one base model, and the adapters that it has been given."""

    def __init__(self, files: models.ModelFiles, dtype: torch.dtype, rank: int) -> None:
        # By a thread: an exception that it keeps of its import would keep the frames from here on, too, and
        # so this model for ever.
        with ThreadPoolExecutor(1) as pool:
            args, engine, usage = pool.submit(_imported).result()
        self.rank, self.weights = rank, _weights(files)
        self.llm = engine.from_engine_args(
            args(
                model=str(files.folder),
                runner="generate",
                # Its own models alone: others change transformers' classes, and torch can't then use these.
                model_impl="vllm",
                dtype=str(dtype).removeprefix("torch."),
                skip_tokenizer_init=True,
                max_model_len=-1,  # the model's, or what the cache holds
                hf_overrides={"head_dtype": "float32"},  # in bf16 many options tie
                enable_prefix_caching=True,
                enable_lora=rank > 0,
                max_lora_rank=rank or RANKS[0],
                max_loras=ADAPTERS,
                max_cpu_loras=4 * ADAPTERS,
                max_logprobs=128,
                disable_log_stats=True,
                use_tqdm_on_load=False,
                **_memory(files, dtype, rank),
            ),
            usage,
        )
        gc.unfreeze()  # it hid what it loaded from the collector of garbage, which would never free it
        self._adapters: dict[Path, Any] = {}
        self._failed = False
        self._ids = itertools.count()

    def adapter(self, folder: Path, revision: str) -> Any:
        """What tells vLLM which adapter a request is for. Each revision of a folder is one of its own."""
        from vllm.lora.request import LoRARequest

        place = folder / revision
        if place not in self._adapters:
            number = len(self._adapters) + 1
            self._adapters[place] = LoRARequest(f"{number}", number, str(folder))
        return self._adapters[place]

    def add(self, ids: Sequence[int], adapter: Any, **how: Any) -> str:
        """Have vLLM begin with a prompt; the name of what will come of it."""
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

        name = str(next(self._ids))
        how = {"detokenize": False, "output_kind": RequestOutputKind.DELTA, **how}
        with self._told():
            self.llm.add_request(name, tokens_input(list(ids)), SamplingParams(**how), lora_request=adapter)
        return name

    def step(self) -> list[Any]:
        """One token further for all that was begun; what came of it."""
        with self._told():
            return list(self.llm.step())

    def end(self, names: Sequence[str]) -> None:
        """Go on with these no more."""
        if names:
            self.llm.abort_request(list(names))
        if self._failed:  # what was to be computed counts as cached already
            self._failed = not self.llm.reset_prefix_cache()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # its errors, and Triton's, have no common kind
            self._failed = True
            raise EngineError(f"vLLM failed: {error or type(error).__name__}") from error


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
        self.base = _lent(files, beside) or _begun(files, dtype)
        self.adapter = self.base.adapter(files.adapter, files.revision) if files.adapter else None
        self.limit = int(self.base.llm.model_config.max_model_len)
        self._info = ModelInfo(
            name=name,
            revision=files.revision,
            engine="vllm",
            dtype=str(dtype).removeprefix("torch."),
            device=device,
            form=self.encoder.form,
            parameters=_parameters(files.folder) + (_parameters(files.adapter) if files.adapter else 0),
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
        pairs = [
            (self.encoder.encode(context), self.encoder.tokens(text))
            for context, text in zip(contexts, continuations, strict=True)
        ]
        for i, (before, after) in enumerate(pairs):
            if not after:
                raise EngineError(f"score: continuation {i} has no tokens")
            self._require_room(i, len(before) + len(after))
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

    def _require_room(self, index: int, tokens: int) -> None:
        require_room(index, tokens, name=self.info.name, limit=self.limit)

    def _row(self, index: int, request: Request) -> Row:
        ids = self.encoder.encode(request.context)
        self._require_room(index, len(ids) + request.sampling.max_tokens)
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
    rank, weights = _rank(files.adapter), _weights(files)
    bases = (engine.base for engine in beside if isinstance(engine, VllmEngine))
    return next((base for base in bases if base.weights == weights and base.rank >= rank), None)


def stands_on(engine: object, files: models.ModelFiles) -> bool:
    """Whether the model's base is the one that this engine has."""
    return isinstance(engine, VllmEngine) and engine.base.weights == _weights(files)


def _begun(files: models.ModelFiles, dtype: torch.dtype) -> Base:
    """A base with room for adapters, or without where it is wanted for itself and can't have them."""
    try:
        return Base(files, dtype, max(_rank(files.adapter), RANKS[0]))
    except Exception as error:
        if files.adapter:
            raise
        log.info("%s: vLLM runs it without adapters: %r", files.name, error)
    free()
    return Base(files, dtype, 0)


def _weights(files: models.ModelFiles) -> tuple[Path, str]:
    """What tells a base's weights: a folder may be trained anew."""
    return files.folder, models.fingerprint(files.folder)


def _imported() -> tuple[Any, Any, Any]:
    quieten()
    from vllm import EngineArgs, LLMEngine
    from vllm.usage.usage_lib import UsageContext

    return EngineArgs, LLMEngine, UsageContext.LLM_CLASS


def _memory(files: models.ModelFiles, dtype: torch.dtype, rank: int) -> dict[str, Any]:
    """How much vLLM may take for keys and values: two fifths of what the weights leave free.

    The rest is for its graphs, its passes and a second model.
    """
    if not torch.cuda.is_available():
        return {"kv_cache_memory_bytes": 1 << 30, "enforce_eager": True}
    adapters = ADAPTERS * shape(files).lora(rank) if rank else 0
    weights = (_parameters(files.folder) + adapters) * dtype.itemsize
    free_now, total = torch.cuda.mem_get_info()
    if (room := int(0.4 * (free_now - weights))) < 1 << 28:
        raise ValueError(f"it takes {weights / 1e9:.1f} GB, and {free_now / 1e9:.1f} GB are free")
    return {"kv_cache_memory_bytes": room, "gpu_memory_utilization": 0.9 * free_now / total}


def _parameters(folder: Path) -> int:
    return sum(map(parameters, folder.glob("*.safetensors")))


def _rank(adapter: Path | None) -> int:
    """The least that vLLM takes as largest rank for this adapter; 0 for none."""
    if adapter is None:
        return 0
    config = bounded.json_of(adapter / "adapter_config.json")
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        raise ValueError("vLLM takes its layers as all alike, and they are not")
    if (rank := next((rank for rank in RANKS if rank >= config["r"]), None)) is None:
        raise ValueError(f"its rank is {config['r']}, and vLLM takes {RANKS[-1]}")
    return rank


def _generation(folder: Path) -> GenerationConfig:
    try:
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        return GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder, **LOCAL))
