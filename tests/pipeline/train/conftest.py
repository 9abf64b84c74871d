"""Fixtures for training."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """While inside, training runs out of memory when it has done so many steps."""

    @contextmanager
    def at(steps: int) -> Iterator[None]:
        from transformers import Trainer

        step = Trainer.training_step

        def broken(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step == steps:
                raise MemoryError
            return step(self, *args, **kwargs)

        with monkeypatch.context() as patched:
            patched.setattr(Trainer, "training_step", broken)
            yield

    return at


@pytest.fixture(scope="session")
def speller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer model of letters, without a chat template: learns in seconds."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = ["[UNK]", "[EOS]", *string.ascii_lowercase]
    made = Tokenizer(models.WordLevel({letter: i for i, letter in enumerate(letters)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="[UNK]", eos_token="[EOS]", pad_token="[EOS]"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(letters),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        eos_token_id=1,
        pad_token_id=1,
        bos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("models") / "speller"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
