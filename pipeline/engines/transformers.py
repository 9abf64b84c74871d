"""The engine on transformers: any checkpoint, adapters included, on CPU or GPU.

bf16 where the processor is faster in it, fp32 elsewhere. `score` and `choose` compute in fp32 even then:
in bf16 many options tie, and a probability moves by 0.01 with what else is in its batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from pipeline import heads, models
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
    ignore,
    never,
    paged,
    paged_scores,
    sharing,
)
from pipeline.engines.decoding import Batch, Rounds, Row, decode, prefill
from pipeline.engines.encoding import Encoder, ends, require_room, room
from pipeline.engines.flow import fitting
from pipeline.engines.options import chosen
from pipeline.engines.paged import PagedBatch, PagedModel
from pipeline.engines.slots import Slots

LOCAL = {"trust_remote_code": False, "local_files_only": True}
SCORED_AT_ONCE = 1 << 27
"""Logits that `score` holds at a time: 0.5 GB in fp32."""
WORTH_COMPILING = 1 << 14
"""Tokens to score for which a model in bf16 is compiled in fp32 too: some seconds, for a third of theirs."""


class TransformersEngine:
    """One model in this process. Not for threads: one call at a time."""

    def __init__(
        self,
        name: str,
        *,
        slots: int | None = None,
        dtype: torch.dtype | None = None,
        openvino: bool = True,
        files: models.ModelFiles | None = None,
    ) -> None:
        """Load a model. `slots` bounds the sequences in flight; both it and `dtype` have defaults by machine.

        With `openvino`, that runs the models that it can on a processor, and torch the others.
        `files` is what the name means, where that is known already.

        Raises UserError where the name has no model, EngineError where it can't be loaded.
        """
        disable_progress_bar()  # a bar for the second that loading takes only litters the log
        files = files or models.weights(name)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = dtype or (torch.bfloat16 if fast_in_bf16(device) else torch.float32)
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(files), **LOCAL)
            model = _load(files, dtype).to(device)
        except Exception as error:  # a damaged folder makes the libraries raise nearly anything
            raise EngineError(f"{name} could not be loaded: {error or type(error).__name__}") from error
        self.model = model.eval()
        self.encoder, self.ends = Encoder(self.tokenizer, name), ends(model.generation_config, self.tokenizer)
        self.slots = slots or (32 if device == "cuda" else 48)
        self.pad = self.tokenizer.pad_token_id or 0
        self.limit = room(model.config)
        # Whether common beginnings are computed once; None until it was tried. False: never.
        self.shares: bool | None = None
        self.paged = paged.running(name, model) if openvino else None
        # What scores, in fp32. Where the model is in bf16 it is made once, when there is enough to score.
        self.exact = self.paged if dtype == torch.float32 else None
        self._may_compile = self.paged is not None and self.exact is None
        self._info = ModelInfo(
            name=name,
            revision=files.revision,
            engine="openvino" if self.paged else "transformers",
            dtype=str(dtype).removeprefix("torch."),
            device=device,
            form=self.encoder.form,
            parameters=sum(p.numel() for p in model.parameters()),
            skills=files.skills,
        )

    @property
    def info(self) -> ModelInfo:
        return self._info

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[Request], on_text: OnText = ignore, cancelled: Cancelled = never
    ) -> list[Completion]:
        rows = [self._row(i, request) for i, request in enumerate(requests)]
        done = decode(self._batch(), _longest_first(rows), self.slots, on_text, cancelled)
        completions = {row.index: row.completion() for row in done}
        return [completions[i] for i in range(len(rows))]

    @torch.inference_mode()
    def flow(
        self,
        requests: Sequence[Request],
        follow: Follow,
        on_text: OnText = ignore,
        cancelled: Cancelled = never,
    ) -> None:
        rows = [row for i, one in enumerate(requests) if (row := fitting(self._row, follow, i, one))]
        waiting = _longest_first(rows)
        for row in decode(self._batch(), waiting, self.slots, on_text, cancelled):
            # At the front: it takes the slot that its chain leaves, so that chains end one by one.
            following = follow(row.index, row.completion())
            if after := fitting(self._row, follow, row.index, following):
                waiting.insert(0, after)

    @torch.inference_mode()
    def score(self, contexts: Sequence[Context], continuations: Sequence[str]) -> list[Score]:
        pairs = self.encoder.scored(contexts, continuations, self.limit)
        if exact := self._exactly(sum(len(before) + len(after) for before, after in pairs)):
            return paged_scores.score(exact, pairs, SCORED_AT_ONCE)
        shares = self._shares()
        with in_fp32(self.model):
            if shares:
                return sharing.score(self.model, pairs, SCORED_AT_ONCE)
            return self._score_whole(pairs)

    def choose(self, contexts: Sequence[Context], options: Sequence[str]) -> list[list[float]]:
        return chosen(self.score, contexts, options)

    def encode(self, context: Context) -> list[int]:
        """The tokens that the model sees. Raises EngineError."""
        return self.encoder.encode(context)

    def _exactly(self, tokens: int) -> PagedModel | None:
        """The model in fp32 as OpenVINO runs it, for so many tokens; None where torch is to score them."""
        if self._may_compile and tokens > WORTH_COMPILING:
            self._may_compile = False
            self.exact = paged.running(self.info.name, self.model, exact=True)
        return self.exact

    def _batch(self) -> Batch:
        if self.paged:
            return PagedBatch(self.paged)
        return Slots(self.model) if self._shares() else Rounds(self.model, self.pad)

    def _shares(self) -> bool:
        if self.shares is None:
            with in_fp32(self.model):
                self.shares = sharing.possible(self.model)
        return self.shares

    def _row(self, index: int, request: Request) -> Row:
        ids = self.encode(request.context)
        require_room(index, len(ids) + request.sampling.max_tokens, name=self.info.name, limit=self.limit)
        # The draw is on the CPU on every device: the same seed, the same stream.
        generator = torch.Generator().manual_seed(request.sampling.seed)
        return Row(index, ids, request.sampling, self.tokenizer, self.ends, generator)

    def _score_whole(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Score]:
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
        longest = max((len(after) for _, after in pairs), default=1)
        size = SCORED_AT_ONCE // (longest * self.model.get_output_embeddings().weight.shape[0])
        size = max(1, min(size, self.slots))
        scores: dict[int, Score] = {}
        for start in range(0, len(order), size):
            some = order[start : start + size]
            scores.update(zip(some, self._score_batch([pairs[i] for i in some]), strict=True))
        return [scores[i] for i in range(len(pairs))]

    def _score_batch(self, pairs: Sequence[tuple[list[int], list[int]]]) -> Iterator[Score]:
        keep = max(len(after) for _, after in pairs)
        # The last token of a sequence predicts nothing that is wanted.
        shown = [before + after[:-1] for before, after in pairs]
        _, logits = prefill(self.model, shown, None, self.pad, keep)
        for row, ids, (_, after) in zip(logits if keep > 1 else logits[:, None], shown, pairs, strict=True):
            predicted = torch.log_softmax(row[-len(after) :], -1)
            chosen = predicted.gather(1, torch.tensor(after, device=row.device)[:, None])
            yield Score(float(chosen.double().sum()), len(after), computed=len(ids))


def _longest_first(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: len(row.ids), reverse=True)


def tokenizer_folder(files: models.ModelFiles) -> Path:
    """Where a model's tokenizer is."""
    # TRL saves the tokenizer beside an adapter, PEFT alone does not.
    own = files.adapter and (files.adapter / "tokenizer_config.json").is_file()
    return files.adapter if files.adapter and own else files.folder


def _load(files: models.ModelFiles, dtype: torch.dtype) -> Any:
    model, report = AutoModelForCausalLM.from_pretrained(
        files.folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **LOCAL
    )
    heads.require_language(model, report["missing_keys"])
    if files.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, files.adapter, local_files_only=True)
        if dtype == torch.float32:  # in bf16 the sum would be rounded
            model = model.merge_and_unload()  # two small products less for each of 210 layers, at each token
    return model


def fast_in_bf16(device: str) -> bool:
    """Whether this machine computes faster in bf16 than in fp32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able: Mapping[str, Any] = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@contextmanager
def in_fp32(model: Any) -> Iterator[None]:
    """Compute in fp32 while inside, whatever the weights are kept in.

    Each module's weights are widened while it runs, so that the memory of only one is needed twice.
    """
    kept: dict[Tensor, Tensor] = {}

    def widen(module: Any, _: Any) -> None:
        for weight in module.parameters(recurse=False):
            if weight.dtype in (torch.bfloat16, torch.float16):
                kept[weight] = weight.data
                weight.data = weight.data.float()

    def narrow(module: Any, *_: Any) -> None:
        for weight in module.parameters(recurse=False):
            if weight in kept:
                weight.data = kept.pop(weight)

    hooks = [module.register_forward_pre_hook(widen) for module in model.modules()]
    hooks += [module.register_forward_hook(narrow) for module in model.modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for weight, data in kept.items():  # a module that raised
            weight.data = data
