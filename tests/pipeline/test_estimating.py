"""What training is going to take, from a model's shape."""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import configs, estimating, gpus, models
from pipeline.estimating import Shape
from pipeline.training_configs import Preferring, Reinforcing, Supervised, Training

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
    return estimating.estimate(config, SMOL, [100.0, 200.0], 10, 8e9, 1e11)


def test_full_tuning_and_more_at_once_take_more_and_checkpointing_less() -> None:
    plain = estimate()
    assert estimate(tuning="full").trained == pytest.approx(12 * SMOL.parameters)
    assert estimate(at_once=4).activations == pytest.approx(plain.activations / 2)
    assert estimate(checkpointing=True).activations < plain.activations
    assert not estimate(at_once=4096, batch=4096).fits
    assert any("lower at once" in line for line in estimate(at_once=4096, batch=4096).lines())


def test_a_head_takes_half_a_pass_and_next_to_no_memory_beside_the_weights() -> None:
    lora, head = (
        estimating.estimate(Preferring(tuning=tuning), SMOL, [100.0, 200.0], 10, 8e9, 1e11)
        for tuning in ("lora", "head")
    )
    assert (lora.seconds_per_step or 0) == pytest.approx(4 * (head.seconds_per_step or 0))
    assert head.trained == 12 * SMOL.hidden
    assert head.activations < lora.activations / 20


@pytest.mark.parametrize(("tuning", "width"), [("full", 4), ("lora", 2), ("qlora", 0.55)])
def test_on_a_gpu_a_base_that_is_not_trained_takes_fewer_bytes(tuning: str, width: float) -> None:
    config = Supervised(tuning=tuning)  # type: ignore[arg-type]
    found = estimating.estimate(config, SMOL, [100.0], 10, 8e9, None, cuda=True)
    assert found.weights == pytest.approx(width * SMOL.parameters)
    assert found.trained == pytest.approx(12 * (SMOL.parameters if tuning == "full" else SMOL.lora(16)))


@pytest.mark.parametrize(
    ("config", "card", "weights"),
    [
        (Preferring(at_once=1), {"method": "pm"}, 0.5),
        (Preferring(at_once=1), {"method": "sft"}, 0.3),
        (Preferring(at_once=1), [], 0.3),
        (Supervised(at_once=1), {"method": "pm"}, 0.3),
    ],
)
def test_a_preference_model_that_lora_goes_on_from_is_held_in_four_bytes(
    config: Training, card: object, weights: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").touch()
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "checkpoint.json").write_text(json.dumps(card))
    monkeypatch.setattr(estimating, "shape", lambda files: SMOL)
    monkeypatch.setattr(estimating, "memory", lambda: (8e9, True))
    _, [said] = estimating.foresee(replace(config, model=str(tmp_path)), [9.0], 1)
    assert f"(weights {weights}, " in said


def test_so_is_what_an_adapter_is_merged_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = models.ModelFiles("a", "adapter", tmp_path, "r", adapter=tmp_path)
    monkeypatch.setattr(models, "weights", lambda name, download: files)
    monkeypatch.setattr(estimating, "shape", lambda files: SMOL)
    monkeypatch.setattr(estimating, "memory", lambda: (8e9, True))
    assert "(weights 0.5, " in estimating.foresee(Preferring(model="a", at_once=1), [9.0], 1)[1][0]
    assert "(weights 0.3, " in estimating.foresee(Supervised(model="a", at_once=1), [9.0], 1)[1][0]


def test_a_judge_is_a_model_more() -> None:
    alone, judged = (
        estimating.estimate(Reinforcing(), SMOL, [100.0], 10, 8e9, None, cuda=True, judges=judges)
        for judges in (0, 1)
    )
    assert judged.others == pytest.approx(2 * alone.others) == 8 * SMOL.parameters


def test_on_a_gpu_nothing_is_said_of_time() -> None:
    found = estimating.estimate(Supervised(), SMOL, [100.0], 10, 8e9, None)
    assert len(found.lines()) == 1


@pytest.mark.parametrize(
    ("allowed", "free"),
    [
        (None, 80000),
        ("0,1", 70000),
        ("0, 1", 70000),
        ("GPU-a1, GPU-b", 70000),
        ("MIG-a1", 1000),
        ("", None),
        ("-1", None),
        ("NoDevFiles", None),
    ],
)
def test_the_freest_gpu_that_may_be_used_counts(
    monkeypatch: pytest.MonkeyPatch, allowed: str | None, free: float | None
) -> None:
    def told(*args: object, **more: object) -> subprocess.CompletedProcess[str]:
        lines = "0, GPU-a1, 1000\n1, GPU-b2, 70000\n2, GPU-c3, 80000\n"
        return subprocess.CompletedProcess([], 0, lines)

    monkeypatch.setattr(gpus, "version", lambda package: "2.13.0+cu130")
    monkeypatch.setattr(subprocess, "run", told)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if allowed is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    if free is None:
        assert not estimating.memory()[1]
    else:
        assert estimating.memory() == (free * 2**20, True)
    monkeypatch.setattr(gpus, "version", lambda package: "2.13.0+cpu")
    assert not estimating.memory()[1]


def test_processes_that_train_together_decide_alike_whatever_is_free_at_their_moments(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter((20e9, 5e9, 20e9, 5e9))
    sizes = {"free": lambda: {"0": next(moments)}, "total": lambda: {"0": 10e9, "1": 20e9}}
    monkeypatch.setattr(gpus, "visible", lambda figure="free": sizes[figure]())
    config = Supervised(model=str(tiny_model), batch=16)

    def decided() -> int:
        return estimating.foresee(config, [500.0], 1)[0].at_once

    assert decided() != decided()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert decided() == decided()


SIZES = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 9}
HEADER = b'\x16\0\0\0\0\0\0\0{"a": {"shape": [2]}}  '


@pytest.mark.parametrize(
    ("config", "weights"),
    [
        (SIZES, b""),
        (SIZES, b"\x02\0\0\0\0\0\0\0[]"),
        (SIZES, b'\x08\0\0\0\0\0\0\0{"a": 1}'),
        ([], HEADER),
        (SIZES | {"num_attention_heads": 0}, HEADER),
        (SIZES | {"vocab_size": None}, HEADER),
        (SIZES | {"hidden_size": "8"}, HEADER),
        (SIZES | {"num_hidden_layers": 10**400}, HEADER),
    ],
)
def test_of_a_broken_model_nothing_is_foreseen(tmp_path: Path, config: object, weights: bytes) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SIZES))
    (tmp_path / "model.safetensors").write_bytes(HEADER)
    asked = Supervised(model=str(tmp_path))
    assert "no estimate" not in estimating.foresee(asked, [9.0], 1)[1][0]
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(weights)
    [said] = estimating.foresee(asked, [9.0], 1)[1]
    assert said.startswith("no estimate of memory and time")


@pytest.mark.parametrize(("word", "meant"), [("true", True), ("False", False)])
def test_a_switch_on_the_command_line_is_read_as_it_is_meant(word: str, meant: bool) -> None:
    parser = argparse.ArgumentParser()
    configs.add_arguments(parser, Supervised)
    found = configs.from_arguments(Supervised, parser.parse_args(["--checkpointing", word]))
    assert found.checkpointing is meant
    assert found.checkpointing is False or configs.as_arguments(found) == ["--checkpointing", "True"]
