"""A run's directory: made whole, resumed by the same run, refused to another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import rundir
from pipeline.errors import UserError
from pipeline.rundir import RunDir, read_rows, write_atomically

CONFIG: dict[str, Any] = {"stage": "critique", "seed": 2**63 - 1, "form": None, "temperature": 0.7}


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "mine.txt").write_text("why?\n")
    return {"prompts.txt": tmp_path / "mine.txt"}


def test_the_same_run_goes_on_and_keeps_what_it_has(tmp_path: Path, inputs: dict[str, Path]) -> None:
    first = RunDir.open(tmp_path / "run", CONFIG, inputs)
    first.part("x.jsonl").write_text('{"a": 1}\n{"a"')
    again = RunDir.open(tmp_path / "run", CONFIG, inputs)
    assert read_rows(again.part("x.jsonl")) == [{"a": 1}]
    assert (tmp_path / "run" / "inputs" / "prompts.txt").read_text() == "why?\n"


@pytest.mark.parametrize(("field", "value"), [("seed", 1), ("form", "chat"), ("temperature", 0.8)])
def test_another_config_is_refused_by_field(
    tmp_path: Path, inputs: dict[str, Path], field: str, value: object
) -> None:
    RunDir.open(tmp_path / "run", CONFIG, inputs)
    with pytest.raises(UserError, match=rf"\n  {field}: .* there, .* now$"):
        RunDir.open(tmp_path / "run", {**CONFIG, field: value}, inputs)


def test_other_inputs_are_refused_and_equal_ones_elsewhere_are_not(
    tmp_path: Path, inputs: dict[str, Path]
) -> None:
    RunDir.open(tmp_path / "run", CONFIG, inputs)
    (tmp_path / "moved.txt").write_text("why?\n")
    RunDir.open(tmp_path / "run", CONFIG, {"prompts.txt": tmp_path / "moved.txt"})
    (tmp_path / "other.txt").write_text("how?\n")
    with pytest.raises(UserError, match=r"inputs/prompts\.txt differs"):
        RunDir.open(tmp_path / "run", CONFIG, {"prompts.txt": tmp_path / "other.txt"})
    (tmp_path / "run" / "inputs" / "prompts.txt").unlink()
    with pytest.raises(UserError, match=r"inputs/prompts\.txt differs"):
        RunDir.open(tmp_path / "run", CONFIG, inputs)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, inputs: dict[str, Path]) -> None:
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(UserError, match="not empty and not a run"):
        RunDir.open(tmp_path, CONFIG, inputs)
    assert not (tmp_path / "config.yaml").exists()
    with pytest.raises(UserError, match="can't make a run here"):
        RunDir.open(tmp_path / "thesis.doc", CONFIG, inputs)


def test_a_run_killed_while_it_was_made_is_made_anew(
    tmp_path: Path, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, text: str) -> None:
        path.with_name(".config.yaml.123").write_text("half")
        raise KeyboardInterrupt

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "worker.log").write_text("opened by whoever started the run")
    with monkeypatch.context() as patch:
        patch.setattr(rundir, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            RunDir.open(tmp_path / "run", CONFIG, inputs)
    (tmp_path / "run" / "inputs" / "prompts.txt").write_text("wh")
    run = RunDir.open(tmp_path / "run", CONFIG, inputs)
    assert yaml.safe_load((run.folder / "config.yaml").read_text())["seed"] == CONFIG["seed"]
    assert (run.inputs / "prompts.txt").read_text() == "why?\n"


@pytest.mark.parametrize("content", ["", "- 1\n", "a: [", "\0"])
def test_a_damaged_config_is_told(tmp_path: Path, inputs: dict[str, Path], content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(content)
    with pytest.raises(UserError, match=r"config\.yaml"):
        RunDir.open(tmp_path / "run", CONFIG, inputs)


def test_an_output_is_whole_or_not_there(tmp_path: Path, inputs: dict[str, Path]) -> None:
    run = RunDir.open(tmp_path / "run", CONFIG, inputs)
    run.part("x.jsonl").write_text("{}\n")

    def rows() -> Any:
        yield {"a": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.finish("x.jsonl", rows())
    assert [p.name for p in run.outputs.iterdir()] == ["x.jsonl.part"]
    run.finish("x.jsonl", [{"a": 1}, {"b": "ü"}])
    assert read_rows(run.outputs / "x.jsonl") == [{"a": 1}, {"b": "ü"}]
    assert [p.name for p in run.outputs.iterdir()] == ["x.jsonl"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "f", "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(tmp_path / "f", "\ud800")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("f", "old")]


def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no file"):
        write_atomically(tmp_path / "pipe", "new")
    assert (tmp_path / "pipe").is_fifo()


def test_what_was_said_then_and_is_not_now_is_another_run(tmp_path: Path, inputs: dict[str, Path]) -> None:
    RunDir.open(tmp_path / "run", {**CONFIG, "critiques": False}, inputs)
    with pytest.raises(UserError, match="critiques: False there, None now"):
        RunDir.open(tmp_path / "run", CONFIG, inputs)
    RunDir.open(tmp_path / "run", CONFIG, inputs, may_change=["critiques"])


@pytest.mark.parametrize("said", ["{}", "!!int {{=: '{}'}}", "!!float '{}'"])
def test_a_number_that_would_take_long_to_read_is_refused(tmp_path: Path, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("seed: " + said.format("1:" * 60 + "1"))
    with pytest.raises(ValueError, match="a number of more than 100 characters"):
        rundir.load_yaml(path)
    path.write_text("{seed: 12, note: '" + "1:" * 60 + "1'}")
    assert rundir.load_yaml(path)["seed"] == 12
