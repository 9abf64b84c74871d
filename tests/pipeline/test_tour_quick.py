"""The quick tour, from the first stage to the last, on the bundled model."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main

pytestmark = [pytest.mark.model, pytest.mark.training]


@pytest.mark.timeout(1200)
def test_the_whole_loop(bundled_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tour", "--quick", "--run", str(tmp_path / "tour")]) == 0
    told = capsys.readouterr().out
    assert "harmless: Elo against the plain model" in told
    assert "Where an interval holds 0" in told
    assert (tmp_path / "tour" / "rl" / "checkpoint" / "adapter_model.safetensors").is_file()
