"""What goes wrong in training ends in plain words; the last good checkpoint is kept, and a resume works."""

from __future__ import annotations

import errno
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.events import complete, metrics
from pipeline.records import Message
from pipeline.rundir import RunDir
from pipeline.train import sft
from pipeline.train.examples import Lesson, lesson
from pipeline.training_configs import Supervised

pytestmark = pytest.mark.training

LESSONS = [lesson((Message("user", f"Say {i}"),), f"e e e {i}", str(i)) for i in range(12)]

Train = Callable[..., int]


@pytest.fixture
def train(tiny_model: Path, tmp_path: Path) -> Train:
    """Fine-tune the tiny model in `tmp_path/run`, a checkpoint at each second step."""

    def go(lessons: list[Lesson] = LESSONS, **more: Any) -> int:
        settings = {"steps": 6, "batch": 2, "at_once": 2, "save_every": 2, **more}
        folder = RunDir.open(tmp_path / "run", {"stage": "sft"}, {})
        return sft.train(folder, Supervised(model=str(tiny_model), **settings), lessons, {})

    return go


def last(run: Path) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((run / "events.jsonl").read_text().splitlines()[-1])
    return event


def test_a_loss_that_is_no_number_says_so_and_keeps_the_checkpoint(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    loss = SFTTrainer.compute_loss

    def broken(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = loss(self, *args, **kwargs)
        return found * float("nan") if self.state.global_step >= 3 else found

    monkeypatch.setattr(SFTTrainer, "compute_loss", broken)
    with pytest.raises(UserError, match=r"no number any more at step 4: lower the learning rate"):
        train()
    assert last(tmp_path / "run")["kind"] == "failed"
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-2").is_dir()
    assert not (tmp_path / "run" / "checkpoint").exists()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "lower `at once`"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "lower `at once`"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full: make room"),
    ],
)
def test_what_the_machine_lacks_is_told_and_the_run_goes_on_after(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    from transformers import Trainer

    save = Trainer._save_checkpoint

    def full(self: Any, *args: Any) -> None:
        if self.state.global_step == 4:
            raise error
        save(self, *args)

    monkeypatch.setattr(Trainer, "_save_checkpoint", full)
    with pytest.raises(UserError, match=words):
        train()
    assert last(tmp_path / "run")["kind"] == "failed"
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["checkpoint-2"]
    monkeypatch.setattr(Trainer, "_save_checkpoint", save)
    assert train() == 0
    assert [step for step, _ in metrics(tmp_path / "run" / "events.jsonl")] == list(range(7))


def test_a_run_resumed_in_its_second_epoch_learns_what_an_undisturbed_one_does(
    train: Train, tmp_path: Path, breaking: Callable[[int], AbstractContextManager[None]]
) -> None:
    def losses() -> list[float]:
        return [values["loss"] for step, values in metrics(tmp_path / "run" / "events.jsonl") if step]

    uneven = [lesson((Message("user", f"Say {i}"),), "e " * i, str(i)) for i in range(1, 13)]
    train(uneven, steps=12, save_every=3)
    undisturbed = losses()
    (tmp_path / "run").rename(tmp_path / "before")
    with breaking(10), pytest.raises(UserError, match="memory"):
        train(uneven, steps=12, save_every=3)
    train(uneven, steps=12, save_every=3)
    assert losses() == pytest.approx(undisturbed, abs=1e-4)


def test_checkpoints_of_a_resumed_run_are_as_often_as_it_now_asks(
    train: Train, tmp_path: Path, breaking: Callable[[int], AbstractContextManager[None]]
) -> None:
    with breaking(2), pytest.raises(UserError, match="memory"):
        train()
    with breaking(3), pytest.raises(UserError, match="memory"):
        train(save_every=1)
    kept = {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()}
    assert kept == {"checkpoint-2", "checkpoint-3"}


def test_one_killed_before_its_last_word_still_says_its_step_and_figures(
    train: Train, tmp_path: Path
) -> None:
    assert train() == 0
    events = tmp_path / "run" / "events.jsonl"
    lines = events.read_text().splitlines(keepends=True)
    told = [json.loads(line) for line in lines[-2:]]
    events.write_text("".join(lines[:-2]))
    assert train() == 0
    again = [json.loads(line) for line in events.read_text().splitlines()[-2:]]
    for before, after in zip(told, again, strict=True):
        assert {**after, "time": "", "attempt": 1} == {**before, "time": "", "attempt": 1}
    assert again[1]["rows"] == 6
    assert "loss_last" in again[1]


def test_fewer_rows_than_a_batch(train: Train) -> None:
    with pytest.raises(UserError, match="a batch takes 2 examples, and there are 1"):
        train(LESSONS[:1])


def test_a_torn_checkpoint_is_not_resumed_from(train: Train, tmp_path: Path) -> None:
    """A kill in mid-write leaves the folder under its scratch name."""
    (tmp_path / "run" / "checkpoints" / ".writing" / "checkpoint-4").mkdir(parents=True)
    (tmp_path / "run" / "inputs").mkdir()
    (tmp_path / "run" / "outputs").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("stage: sft\ninputs: []\n")
    assert train() == 0


def command(model: Path, data: Path, run: Path) -> list[str]:
    options = ["--steps", "40", "--batch", "2", "--at-once", "2", "--save-every", "5", "--seed", "3"]
    words = ["sft", "--demos", str(data), "--model", str(model), "--run", str(run), *options]
    return [sys.executable, "-P", "-m", "pipeline", *words]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_kills_leave_one_curve(tiny_model: Path, tmp_path: Path) -> None:
    """Killed at random moments and gone on with, the curve is that of a run that nobody disturbed."""
    data = tmp_path / "demos.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": f"Say {i}"}, {"role": "assistant", "content": f"e e {i}"}]}
        for i in range(40)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    began = time.monotonic()
    subprocess.run(command(tiny_model, data, whole), check=True)
    spent = time.monotonic() - began
    moments = random.Random(1)
    kills = runs = 0
    while kills < 20:
        process = subprocess.Popen(command(tiny_model, data, killed))
        try:
            assert process.wait(timeout=moments.uniform(0.3, 1.0) * spent) == 0
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        # It came to its end between two kills, or was killed when it had: once more from the start.
        if complete(killed / "events.jsonl"):
            same(whole, killed)
            runs += 1
            killed = tmp_path / f"killed-{runs}"
    subprocess.run(command(tiny_model, data, killed), check=True)
    same(whole, killed)


def same(one: Path, other: Path) -> None:
    curve, again = metrics(one / "events.jsonl"), metrics(other / "events.jsonl")
    assert [step for step, _ in again] == [step for step, _ in curve] == list(range(41))
    for (_, before), (_, after) in zip(curve[1:], again[1:], strict=True):
        assert after["loss"] == pytest.approx(before["loss"], abs=1e-4)
