"""Progress and samples at most twice a second, and what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import meter as meters
from pipeline.events import EventLog
from pipeline.meter import Meter, Part


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set by the test."""
    now = [100.0]
    monkeypatch.setattr(meters.time, "monotonic", lambda: now[0])
    return now


def told(path: Path, kind: str) -> list[dict[str, Any]]:
    return [e for line in path.read_text().splitlines() if (e := json.loads(line))["kind"] == kind]


def test_events_come_at_most_every_half_second(tmp_path: Path, clock: list[float]) -> None:
    with EventLog(tmp_path / "e.jsonl") as log:
        meter = Meter(log, 20, 0, "chains")
        for _ in range(10):
            meter.one_more(10, lambda: {"chain": "x"})
            for _ in range(10):
                meter.text(0, "word")
                clock[0] += 0.02
    assert len(told(tmp_path / "e.jsonl", "progress")) == 4
    assert len(told(tmp_path / "e.jsonl", "sample")) == 4


def test_rate_and_time_to_go_are_of_this_attempt(tmp_path: Path, clock: list[float]) -> None:
    with EventLog(tmp_path / "e.jsonl") as log:
        meter = Meter(log, 100, 60, "chains")
        assert meter.eta() is None
        for _ in range(30):
            meter.text(0, "word")
        for _ in range(10):
            meter.one_more(2, dict)  # and ten tokens of others that go on
        clock[0] += 5
        meter.show(force=True)
    last = told(tmp_path / "e.jsonl", "progress")[-1]
    assert (last["done"], last["total"], last["tokens"]) == (70, 100, 30)
    assert last["tokens_per_second"] == 6.0
    assert last["eta_s"] == round((30 * 2 - 10) / 6, 1)


def test_what_comes_before_the_rows_is_told_with_its_own_time_to_go(
    tmp_path: Path, clock: list[float]
) -> None:
    with EventLog(tmp_path / "e.jsonl") as log:
        meter = Meter(log, 10, 0, "matchups")
        meter.begin(Part("answers", 8, 4))
        clock[0] += 10
        meter.part.more(1)  # type: ignore[union-attr]
        meter.show()
        meter.end_part()
        clock[0] += 3
        meter.one_more(0, dict)
    first, second, rows = (event.get("part") for event in told(tmp_path / "e.jsonl", "progress"))
    assert first == {"noun": "answers", "done": 4, "total": 8, "eta_s": None}
    assert second == {"noun": "answers", "done": 5, "total": 8, "eta_s": 30.0}
    assert rows is None
    assert told(tmp_path / "e.jsonl", "progress")[-1]["eta_s"] == 27.0  # by the rows alone
