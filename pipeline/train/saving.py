"""A trained model as a folder: safetensors, tokenizer, and `checkpoint.json` that says what it came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import bounded
from pipeline.bases import CARD
from pipeline.heads import AVERAGED
from pipeline.rundir import write_atomically
from pipeline.train.loading import Loaded


@dataclass(frozen=True)
class Origin:
    """What a checkpoint's card says of it: how it was made, of what, and how good it is."""

    method: str
    step: int
    lineage: Mapping[str, Any]
    figures: Mapping[str, Any] = field(default_factory=dict)


def save_policy(model: Any, start: Loaded, to: Path, origin: Origin) -> None:
    """Write a language model: as an adapter where it is one, else whole."""
    if hasattr(model, "peft_config"):
        # The adapter alone: a frozen copy of it, which RL's KL is measured from, stays behind.
        model.save_pretrained(to, selected_adapters=["default"])
        _halve(to / "adapter_model.safetensors")
        name_base(to, start)
        (to / "README.md").unlink(missing_ok=True)  # PEFT's, which says nothing
    else:
        model.save_pretrained(to)
    start.tokenizer.save_pretrained(to)
    write_card(to, start, model, origin)


def save_merged(model: Any, start: Loaded, to: Path, origin: Origin) -> None:
    """Write a model whole, in fp32: an adapter is merged into its base. The model can't be trained after.

    Rounded to bf16, the sum would lose much of what was added: a weight of 0.2 moves in steps of 0.001.
    """
    trained = _trained(model)
    whole = model.float()
    whole = whole.merge_and_unload() if hasattr(whole, "merge_and_unload") else whole
    whole.save_pretrained(to)
    start.tokenizer.save_pretrained(to)
    write_card(to, start, whole, origin, trained)


def write_card(to: Path, start: Loaded, model: Any, origin: Origin, trained: int | None = None) -> None:
    """`checkpoint.json`: method, base, parameters, step, figures and lineage.

    `trained`: how many parameters were; None where they still can be told from the others.
    """
    card = {
        "method": origin.method,
        "base": start.files.lasting,
        "base_revision": start.files.revision,
        # RL has a frozen copy of its adapter too, which is not the model's.
        "parameters": sum(
            p.numel() for name, p in model.named_parameters() if "lora_" not in name or p.requires_grad
        ),
        "trained": _trained(model) if trained is None else trained,
        **({AVERAGED: True} if getattr(model.config, AVERAGED, False) else {}),
        "step": origin.step,
        "figures": dict(origin.figures),
        "lineage": dict(origin.lineage),
    }
    write_atomically(to / CARD, json.dumps(card, indent=2) + "\n")


def _trained(model: Any) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def add_figures(to: Path, figures: Mapping[str, Any]) -> None:
    """Put more figures on the card of a checkpoint: those that are measured on it as it was saved."""
    card = bounded.json_of(to / CARD)
    card["figures"].update(figures)
    write_atomically(to / CARD, json.dumps(card, indent=2) + "\n")


def read_card(folder: Path) -> dict[str, Any]:
    """The `checkpoint.json` of a checkpoint or of the run that holds it; empty where there is none."""
    for path in (folder / CARD, folder / "checkpoint" / CARD):
        if path.is_file():
            card: dict[str, Any] = bounded.json_of(path)
            return card
    return {}


def _halve(path: Path) -> None:
    """The matrices in bf16: they are trained in fp32, and half the bytes say as much."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = {name: weight.to(torch.bfloat16) for name, weight in load_file(path).items()}
    save_file(weights, path, {"format": "pt"})


def name_base(to: Path, start: Loaded) -> None:
    """The base by the name that `cai` knows it by, from wherever it is asked."""
    path = to / "adapter_config.json"
    config = bounded.json_of(path)
    config["base_model_name_or_path"] = start.files.base or start.files.lasting
    write_atomically(path, json.dumps(config, indent=2) + "\n")
