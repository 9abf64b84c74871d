"""Small models that vLLM has kernels for."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM


def for_vllm(like: Path, folder: Path, seed: int) -> Path:
    """The tiny model with other random weights, and heads of 32 numbers: of 16, vLLM has no kernels."""
    torch.manual_seed(seed)
    config = LlamaConfig.from_pretrained(like, num_attention_heads=2, num_key_value_heads=1, head_dim=32)
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(like).save_pretrained(folder)
    return folder
