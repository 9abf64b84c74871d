"""Which GPU a training process takes, where there are several. No GPU is asked for: what is told is."""

from __future__ import annotations

import os

import pytest
import torch

from pipeline import gpus
from pipeline.__main__ import parser
from pipeline.errors import UserError
from pipeline.train import ranks


@pytest.fixture(autouse=True)
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three GPUs, of which the second is the freest, and nothing said of which to use."""
    monkeypatch.setattr(gpus, "version", lambda package: "2.13.0+cu130")
    lines = [["0", "GPU-a1", "1000"], ["1", "GPU-b2", "80000"], ["2", "GPU-c3", "70000"]]
    monkeypatch.setattr(gpus, "asked", lambda fields: lines)
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.setenv(name, "")  # so that what is set below is taken back
        monkeypatch.delenv(name)


def test_one_process_takes_the_freest_and_says_how_several_are_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ranks.take_gpu("sft")
    # By its number in nvidia-smi, which is CUDA's only in this order.
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")
    assert "accelerate launch --multi_gpu --num_processes 3 --module pipeline sft" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("allowed", "taken"), [("0,2", "2"), ("GPU-a, GPU-c", "GPU-c"), ("0", "0"), ("", "")]
)
def test_of_those_that_it_may_use_one_process_takes_the_freest(
    monkeypatch: pytest.MonkeyPatch, allowed: str, taken: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", allowed)
    ranks.take_gpu("sft")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == taken
    assert "CUDA_DEVICE_ORDER" not in os.environ


def test_a_process_that_is_on_a_gpu_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    ranks.take_gpu("sft")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_each_of_several_processes_takes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    ranks.take_gpu("sft")
    assert taken == [1]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("stage", ["sft", "pm", "rl", "dpo"])
def test_a_stage_takes_its_gpu_before_it_does_anything(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(name: str) -> None:
        raise UserError(name)

    monkeypatch.setattr(ranks, "take_gpu", taken)
    args = parser().parse_args(
        [stage, "--run", "r", *(["--pm", "p", "--prompts", "q"] if stage == "rl" else [])]
    )
    with pytest.raises(UserError, match=stage):
        args.run_command(args)
