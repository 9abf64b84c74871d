"""The event log: what a killed or resumed run leaves in it."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.events import EventLog, held


def rows(path: Path) -> list[dict[str, Any]]:
    def no_constant(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return [json.loads(line, parse_constant=no_constant) for line in path.read_text("utf-8").splitlines()]


def test_attempts_count_up_and_seq_runs_on(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        with EventLog(path) as log:
            log.emit("started", stage="critique")
            log.emit("finished", status="done")
    found = rows(path)
    assert [(e["attempt"], e["seq"], e["kind"]) for e in found] == [
        (1, 1, "started"),
        (1, 2, "finished"),
        (2, 3, "started"),
        (2, 4, "finished"),
    ]
    assert all(e["v"] == 1 and e["time"].endswith("+00:00") for e in found)


def test_an_event_is_in_the_file_at_once(tmp_path: Path) -> None:
    with EventLog(tmp_path / "events.jsonl") as log:
        log.emit("started")
        assert len(rows(tmp_path / "events.jsonl")) == 1


def test_a_torn_tail_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log.emit("started")
        log.emit("progress", done=1)
    whole = path.read_bytes()
    for torn in range(1, len(whole)):
        path.write_bytes(whole[:torn])
        with EventLog(path) as log:
            log.emit("started")
        found = rows(path)
        assert [e["seq"] for e in found] == list(range(1, len(found) + 1))


def test_what_json_has_no_word_for_becomes_null(tmp_path: Path) -> None:
    with EventLog(tmp_path / "events.jsonl") as log:
        log.emit("progress", loss=math.nan, deep={"a": [math.inf, 1.5, (-math.inf,)]}, n=3)
    [event] = rows(tmp_path / "events.jsonl")
    assert (event["loss"], event["deep"], event["n"]) == (None, {"a": [None, 1.5, [None]]}, 3)


def test_one_process_at_a_time_works_on_a_run(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        with pytest.raises(UserError, match="another process is at work"):
            EventLog(path)
        log.emit("started")
    with EventLog(path) as log:
        assert (log.attempt, log.last) == (2, "started")


def test_who_works_on_a_run_is_asked_without_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, as_it_is = tmp_path / "events.jsonl", Path.open

    def read_only(file: Path, mode: str = "r", **more: Any) -> Any:
        if set(mode) & set("awx+"):
            raise OSError(errno.EROFS, "Read-only file system")
        return as_it_is(file, mode, **more)

    with EventLog(path):
        monkeypatch.setattr(Path, "open", read_only)
        assert held(path)
    assert not held(path)
    assert not held(tmp_path / "none")


def test_a_disk_that_knows_no_locks_has_a_log_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with EventLog(tmp_path / "events.jsonl") as log:
        log.emit("started")
    assert [event["kind"] for event in rows(tmp_path / "events.jsonl")] == ["started"]
    assert not held(tmp_path / "events.jsonl")
