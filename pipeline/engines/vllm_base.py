"""A running vLLM: a base model, how much memory it may take, and the adapters that it serves."""

from __future__ import annotations

import gc
import itertools
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pipeline import bounded, models
from pipeline.engines import EngineError
from pipeline.engines.freeing import free
from pipeline.engines.wanting import quieten
from pipeline.estimating import parameters, shape

log = logging.getLogger(__name__)

ADAPTERS = 4
"""Adapters that one batch may hold; others wait for it."""
RANKS = (64, 128, 256, 512)
"""What vLLM takes as the largest rank of a base's adapters."""


class Base:
    """A running vLLM with one base model, and the adapters that it has been given."""

    def __init__(self, files: models.ModelFiles, dtype: torch.dtype, rank: int) -> None:
        # By a thread: an exception that it keeps of its import would keep the frames from here on, too, and
        # so this model for ever.
        with ThreadPoolExecutor(1) as pool:
            args, engine, usage = pool.submit(_imported).result()
        self.rank, self.weights = rank, weights_of(files)
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


def begun(files: models.ModelFiles, dtype: torch.dtype) -> Base:
    """A base with room for adapters, or without where it is wanted for itself and can't have them."""
    try:
        return Base(files, dtype, max(rank_of(files.adapter), RANKS[0]))
    except Exception as error:
        if files.adapter:
            raise
        log.info("%s: vLLM runs it without adapters: %r", files.name, error)
    free()
    return Base(files, dtype, 0)


def weights_of(files: models.ModelFiles) -> tuple[Path, str]:
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
    weights = (count(files.folder) + adapters) * dtype.itemsize
    free_now, total = torch.cuda.mem_get_info()
    if (room := int(0.4 * (free_now - weights))) < 1 << 28:
        raise ValueError(f"it takes {weights / 1e9:.1f} GB, and {free_now / 1e9:.1f} GB are free")
    return {"kv_cache_memory_bytes": room, "gpu_memory_utilization": 0.9 * free_now / total}


def count(folder: Path) -> int:
    """The numbers in a folder's weights."""
    return sum(map(parameters, folder.glob("*.safetensors")))


def rank_of(adapter: Path | None) -> int:
    """The least that vLLM takes as largest rank for this adapter; 0 for none."""
    if adapter is None:
        return 0
    config = bounded.json_of(adapter / "adapter_config.json")
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        raise ValueError("vLLM takes its layers as all alike, and they are not")
    if (rank := next((rank for rank in RANKS if rank >= config["r"]), None)) is None:
        raise ValueError(f"its rank is {config['r']}, and vLLM takes {RANKS[-1]}")
    return rank
