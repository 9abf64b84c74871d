"""`cai doctor`: what is looked at, and that a fault says what to do."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from pipeline import bundled, doctor
from pipeline.__main__ import main

CARD = ["NVIDIA H100", "81559", "80000", "550.54"]


def test_all_is_told_and_the_status_says_whether_something_is_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {
        "system",
        "processor",
        "memory",
        "python",
        "torch",
        "duckdb",
        "device",
        "disk",
        "bundled model",
    } <= {one["name"] for one in found}
    assert status == any(one["todo"] for one in found)


def test_a_fault_stands_out_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bundled, "available", lambda: False)
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("! bundled model"))
    assert "→ fetch it: cai models get bundled" in lines[at + 1]


@pytest.mark.parametrize(
    ("build", "fault"), [("2.13.0+cpu", True), ("2.13.0+cu128", False), ("2.13.0", False)]
)
def test_a_gpu_that_torch_can_not_use_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, build: str, fault: bool
) -> None:
    monkeypatch.setattr(doctor, "version", lambda name: build)
    found = doctor.device([CARD, CARD])
    assert bool(found.todo) is fault
    assert found.told.count("NVIDIA H100") == 2
    assert not doctor.device([]).todo


def test_what_lacks_and_what_is_full_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", missing)
    assert all(one.todo for one in doctor.versions() if one.name in doctor.PACKAGES)
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage(10**12, 10**12 - 10**6, 10**6))
    [disk] = doctor.disks([tmp_path, tmp_path / "not" / "there", tmp_path])
    assert (disk.told, bool(disk.todo)) == (f"0.0 GB free at {tmp_path}", True)
