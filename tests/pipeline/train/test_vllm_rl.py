"""RL whose answers vLLM writes, in the trainer's process. `make vllm` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.events import metrics
from pipeline.prompts import from_text
from pipeline.rundir import RunDir
from pipeline.train import rl
from pipeline.training_configs import Reinforcing
from tests.vllm_models import for_vllm

pytest.importorskip("vllm", reason="vLLM is not installed (`make vllm`)")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def plain_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The build for processors packs weights away, and takes no new ones. This, as a GPU's, does."""

    def dispatch(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    monkeypatch.setattr("vllm.model_executor.layers.utils.dispatch_cpu_unquantized_gemm", dispatch)


@pytest.mark.usefixtures("plain_weights")
def test_rl_has_its_answers_written(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAI_VLLM", "1")
    config = Reinforcing(
        model=str(for_vllm(tiny_model, tmp_path / "model", 0)),
        steps=3,
        batch=8,
        at_once=8,
        max_tokens=8,
        save_every=100,
    )
    folder = RunDir.open(tmp_path / "rl", {"stage": "rl"}, {})
    asked = [from_text(text) for text in ("say", "go on", "tell me", "well")]

    def count_e(said: Any) -> list[float]:
        return [float(text.count("e")) for _, text in said]

    assert rl.train(folder, config, asked, count_e, None, {}) == 0
    figures = [values for step, values in metrics(tmp_path / "rl" / "events.jsonl") if step]
    assert "vLLM writes" in capfd.readouterr().err
    assert len(figures) == 3
    assert all(abs(step["kl"]) < 0.5 for step in figures)  # it is the same model that writes and that learns
