"""The engine on transformers: any checkpoint, adapters included, on CPU or GPU.

bf16 where the processor is faster in it, fp32 elsewhere. The logits behind `score` and `choose` are
computed in fp32 even then: in bf16 many options tie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from pipeline import models
from pipeline.engines import (
    Cancelled,
    Completion,
    Context,
    EngineError,
    ModelInfo,
    OnText,
    Request,
    Score,
    ignore,
    never,
)
from pipeline.engines.decoding import Row, decode, prefill
from pipeline.records import well_formed


class TransformersEngine:
    """One model in this process. Not for threads: one call at a time."""

    def __init__(self, name: str, *, slots: int = 32, dtype: torch.dtype | None = None) -> None:
        """Load a model. `slots` bounds the sequences in flight; `dtype` overrides the choice.

        Raises UserError where the name has no model, EngineError where it can't be loaded.
        """
        disable_progress_bar()  # a bar for the second that loading takes only litters the log
        files = models.resolve(name)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = dtype or (torch.bfloat16 if _fast_in_bf16(device) else torch.float32)
        options = {"trust_remote_code": False, "local_files_only": True}
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(files.adapter or files.folder, **options)
            model = AutoModelForCausalLM.from_pretrained(
                files.folder, dtype=dtype, use_safetensors=True, **options
            ).to(device)
            if files.adapter:
                from peft import PeftModel

                model = PeftModel.from_pretrained(model, files.adapter, local_files_only=True)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise EngineError(f"{name} could not be loaded: {error}") from error
        self.model = model.eval()
        self.slots = slots
        self.pad = self.tokenizer.pad_token_id or 0
        self.limit = int(getattr(model.config.get_text_config(), "max_position_embeddings", 0)) or 1 << 20
        self._info = ModelInfo(
            name=name,
            revision=files.revision,
            engine="transformers",
            dtype=str(dtype).removeprefix("torch."),
            device=device,
            form="chat" if self.tokenizer.chat_template else "plain",
            parameters=sum(p.numel() for p in model.parameters()),
        )

    @property
    def info(self) -> ModelInfo:
        return self._info

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[Request], on_text: OnText = ignore, cancelled: Cancelled = never
    ) -> list[Completion]:
        rows = [self._row(i, request) for i, request in enumerate(requests)]
        done = decode(self.model, rows, self.slots, self.pad, on_text, cancelled)
        completions = {row.index: row.completion() for row in done}
        return [completions[i] for i in range(len(rows))]

    @torch.inference_mode()
    def score(self, contexts: Sequence[Context], continuations: Sequence[str]) -> list[Score]:
        pairs = [
            (self.encode(context), self._tokens(text))
            for context, text in zip(contexts, continuations, strict=True)
        ]
        for i, (before, after) in enumerate(pairs):
            if not after:
                raise EngineError(f"score: continuation {i} has no tokens")
            self._room(len(before) + len(after))
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
        scores: dict[int, Score] = {}
        with _fp32_logits(self.model):
            for start in range(0, len(order), self.slots):
                some = order[start : start + self.slots]
                scores.update(zip(some, self._score_batch([pairs[i] for i in some]), strict=True))
        return [scores[i] for i in range(len(pairs))]

    def choose(self, contexts: Sequence[Context], options: Sequence[str]) -> list[list[float]]:
        every = [context for context in contexts for _ in options]
        scores = self.score(every, list(options) * len(contexts))
        logits = torch.tensor([s.logprob for s in scores], dtype=torch.float64).view(-1, len(options))
        chosen: list[list[float]] = torch.softmax(logits, -1).tolist()
        return chosen

    def encode(self, context: Context) -> list[int]:
        """The tokens that the model sees. No text of a message can make a special token."""
        if not context.messages:
            text = context.prefill
            return [*self._beginning(), *self._tokens(text)]
        if not self.tokenizer.chat_template:
            raise EngineError(f"{self.info.name} has no chat template: use the plain form (`--form plain`)")
        # Marks stand for the texts while the template runs, so that only the template's own words are
        # read as special tokens.
        mark = "\u241ftext{}\u241f"
        turns = [{"role": m.role, "content": mark.format(i)} for i, m in enumerate(context.messages)]
        rendered = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        ids: list[int] = []
        for i, message in enumerate(context.messages):
            before, found, rendered = rendered.partition(mark.format(i))
            if not found:
                raise EngineError(
                    f"{self.info.name}: its chat template has no place for a {message.role} turn"
                )
            ids += self._special(before) + self._tokens(message.content)
        return ids + self._special(rendered) + self._tokens(context.prefill)

    def _row(self, index: int, request: Request) -> Row:
        ids = self.encode(request.context)
        self._room(len(ids) + request.sampling.max_tokens)
        # The draw is on the CPU on every device: the same seed, the same stream.
        generator = torch.Generator().manual_seed(request.sampling.seed)
        return Row(index, ids, request.sampling, self.tokenizer, self._ends(), generator)

    def _score_batch(self, pairs: Sequence[tuple[list[int], list[int]]]) -> Iterator[Score]:
        longest = max(len(after) for _, after in pairs)
        keep = longest + 1
        _, logits = prefill(self.model, [before + after for before, after in pairs], None, self.pad, keep)
        for row, (_, after) in zip(logits, pairs, strict=True):
            predicted = torch.log_softmax(row[-len(after) - 1 : -1], -1)
            chosen = predicted.gather(1, torch.tensor(after, device=row.device)[:, None])
            yield Score(float(chosen.double().sum()), len(after))

    def _room(self, tokens: int) -> None:
        if tokens > self.limit:
            raise EngineError(
                f"the prompt with its answer takes {tokens} tokens, and {self.info.name} holds {self.limit}: "
                "shorten the prompt, use fewer few-shot examples, or lower max tokens"
            )

    def _ends(self) -> frozenset[int]:
        ids = self.model.generation_config.eos_token_id
        ids = ids if isinstance(ids, list) else [ids]
        return frozenset(i for i in (*ids, self.tokenizer.eos_token_id) if i is not None)

    def _beginning(self) -> list[int]:
        first = self.tokenizer.build_inputs_with_special_tokens([])[:1]
        return first if first == [self.tokenizer.bos_token_id] else []

    def _special(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _tokens(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(
            well_formed(text), add_special_tokens=False, split_special_tokens=True
        )["input_ids"]
        return ids


def _fast_in_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able: Mapping[str, Any] = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


@contextmanager
def _fp32_logits(model: Any) -> Iterator[None]:
    """Compute the last projection in fp32 while inside."""

    def project(head: Any, args: tuple[Tensor, ...], _: Tensor) -> Tensor:
        bias = None if head.bias is None else head.bias.float()
        return functional.linear(args[0].float(), head.weight.float(), bias)

    hook = model.get_output_embeddings().register_forward_hook(project)
    try:
        yield
    finally:
        hook.remove()
