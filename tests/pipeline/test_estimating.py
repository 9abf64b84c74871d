"""What training is going to take, from a model's shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import estimating, models
from pipeline.estimating import Shape
from pipeline.training_configs import Supervised

SMOL = Shape(layers=30, hidden=576, inner=1536, key_value=192, vocabulary=49152, parameters=134_515_008)


def test_parameters_and_sizes_are_read_from_the_files(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    found = estimating.shape(models.resolve(str(tiny_model)))
    assert found.parameters == AutoModelForCausalLM.from_pretrained(tiny_model).num_parameters()


def test_lora_adds_what_peft_adds(tiny_model: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    added = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model), config
    ).get_nb_trainable_parameters()
    assert estimating.shape(models.resolve(str(tiny_model))).lora(4) == added[0]


def estimate(**settings: object) -> estimating.Estimate:
    config = Supervised(**settings)  # type: ignore[arg-type]
    return estimating.estimate(config, "sft", SMOL, [100.0, 200.0], 10, 8e9, 1e11)


def test_full_tuning_and_more_at_once_take_more_and_checkpointing_less() -> None:
    plain = estimate()
    assert estimate(tuning="full").trained == pytest.approx(12 * SMOL.parameters)
    assert estimate(at_once=4).activations == pytest.approx(plain.activations / 2)
    assert estimate(checkpointing=True).activations < plain.activations
    assert not estimate(at_once=4096, batch=4096).fits
    assert any("lower at once" in line for line in estimate(at_once=4096, batch=4096).lines())
