"""The written pairs: enough, spread, each once, and with no short cut that gives the answer away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.refusals import refuses

FOLDER = Path(pipeline.__file__).parent / "demonstrations"


def pairs(axis: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{axis}.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("axis", ["harmless", "helpful"])
def test_there_are_enough_of_many_kinds_each_once_and_some_are_reserved(axis: str) -> None:
    rows = pairs(axis)
    assert len(rows) >= 500
    assert {row["axis"] for row in rows} == {axis}
    asked = {(*(turn["content"] for turn in row.get("earlier", ())), row["prompt"].lower()) for row in rows}
    assert len({row["id"] for row in rows}) == len(asked) == len(rows)
    assert len({row["kind"] for row in rows}) >= 15
    assert sum(row["reserved"] for row in rows) == 200
    assert all(row["better"].strip() and row["worse"].strip() != row["better"].strip() for row in rows)


def test_no_prompt_is_on_both_axes() -> None:
    assert not {r["prompt"].lower() for r in pairs("harmless")} & {
        r["prompt"].lower() for r in pairs("helpful")
    }


@pytest.mark.parametrize("axis", ["harmless", "helpful"])
def test_neither_length_nor_a_refusal_gives_the_answer(axis: str) -> None:
    def shorter(row: dict[str, Any]) -> float:
        return float(len(row["better"]) < len(row["worse"]))

    def refusing(row: dict[str, Any]) -> float:
        better, worse = refuses(row["better"]), refuses(row["worse"])
        return shorter(row) if better == worse else float(better)

    rows = pairs(axis)
    for rule in (shorter, refusing):
        assert 0.44 < sum(map(rule, rows)) / len(rows) < 0.56


def test_there_are_enough_chains_of_many_kinds_each_once_and_of_no_pair() -> None:
    rows = [json.loads(line) for line in (FOLDER / "chains.jsonl").read_text("utf-8").splitlines()]
    prompts = {row["prompt"].lower() for row in rows}
    assert len(rows) >= 600
    assert len({row["id"] for row in rows}) == len(prompts) == len(rows)
    assert len({row["kind"] for row in rows}) >= 15
    assert not prompts & {row["prompt"].lower() for axis in ("harmless", "helpful") for row in pairs(axis)}
    assert all(row["critique"].strip() and row["revision"].strip() for row in rows)
