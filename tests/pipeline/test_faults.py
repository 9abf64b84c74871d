"""A disk that is full and a folder that goes away, under a run that works."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import critique_command, events, growing
from pipeline.__main__ import main
from pipeline.critique import Engines
from pipeline.events import EventLog

Run = Callable[[], int]


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, on three prompts, with an engine that says what it is told."""
    (tmp_path / "p.txt").write_text("one\ntwo\nthree\n")
    engine = scripted()
    monkeypatch.setattr(critique_command, "_load", lambda *_: Engines(engine, engine))
    files = ["--prompts", str(tmp_path / "p.txt"), "--run", str(tmp_path / "run")]
    words = ["critique", "--constitution", "minimal", *files, "--model", str(tiny_model)]
    return lambda: main(words)


def test_a_full_disk_is_told_and_the_same_command_goes_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, kept = growing.Growing.keep, []

    def keep(self: growing.Growing, row: growing.Row) -> None:
        if len(kept) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        kept.append(row)
        whole(self, row)

    with monkeypatch.context() as full:
        full.setattr(growing.Growing, "keep", keep)
        assert run() == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1] == "cai: No space left on device"
    assert run() == 0
    assert "going on: 1 of 3 chains are there" in capsys.readouterr().err
    rows = (tmp_path / "run" / "outputs" / "chains.jsonl").read_text().splitlines()
    assert len({json.loads(row)["id"] for row in rows}) == 3


def test_a_folder_that_is_deleted_under_its_run_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = growing.Growing.keep

    def keep(self: growing.Growing, row: growing.Row) -> None:
        whole(self, row)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)

    monkeypatch.setattr(growing.Growing, "keep", keep)
    assert run() == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"cai: {tmp_path / 'run'}")
    assert last.endswith("No such file or directory")


def test_an_output_that_something_was_at_is_named_by_its_line(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    outputs = tmp_path / "run" / "outputs"
    part = outputs / "chains.jsonl.part"
    (outputs / "chains.jsonl").rename(part)
    part.write_bytes(b"\0\0\0\n" + part.read_bytes())
    assert run() == 2
    assert f"cai: {part}:1: not as it was written" in capsys.readouterr().err


def test_a_clock_that_jumps_back_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    for year in (2030, 2020):

        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime(year, 1, 1, tzinfo=UTC)  # noqa: B023

        monkeypatch.setattr(events, "datetime", Clock)
        with EventLog(path) as log:
            log.emit("metric", step=year, values={"loss": 1.0})
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(event["attempt"], event["seq"]) for event in told] == [(1, 1), (2, 2)]


PROGRAM = Path(events.__file__).with_name("templates.txt")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "cai: No space left on device"),
        (OSError(errno.EMFILE, "Too many open files", str(PROGRAM)), f"cai: {PROGRAM}: Too many open files"),
        (PermissionError(errno.EACCES, "Permission denied", "mine"), "cai: mine: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/runs/x"), "cai: /runs/x: No such file"),
        # These nobody can mend but us.
        (FileNotFoundError(errno.ENOENT, "No such file", str(PROGRAM)), None),
        (OSError(errno.EBADF, "Bad file descriptor"), None),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset"), None),
        (OSError("half a sentence of a library"), None),
    ],
)
def test_only_what_a_person_can_mend_loses_its_traceback(
    error: OSError, said: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("pipeline.doctor.findings", fail)
    if said is None:
        with pytest.raises(type(error)):
            main(["doctor"])
    else:
        assert main(["doctor"]) == 2
        assert capsys.readouterr().err.strip() == said
