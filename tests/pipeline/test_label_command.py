"""`cai label`: whole runs, stopped ones, and those that are refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main

Command = Callable[..., list[str]]


def chosen(i: int) -> dict[str, str]:
    asked = f"\n\nHuman: Question {i}?\n\nAssistant:"
    return {"chosen": f"{asked} Better {i}.", "rejected": f"{asked} Worse {i}."}


@pytest.fixture
def command(tmp_path: Path, tiny_model: Path) -> Command:
    """The words of a command on a file of human comparisons, by default with the tiny model."""

    def words(*more: str, run: str = "run", rows: int = 4, constitution: str = "minimal") -> list[str]:
        file = tmp_path / "hh.jsonl"
        file.write_text("".join(json.dumps(chosen(i)) + "\n" for i in range(rows)))
        where = ["--pairs", str(file), "--run", str(tmp_path / run), "--constitution", constitution]
        return ["label", *where, "--model", str(tiny_model), *more]

    return words


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_run_has_its_pairs_its_human_choices_and_a_label_each(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command()) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / "run" / "outputs" / "labels.jsonl")
    pairs = rows(tmp_path / "run" / "inputs" / "pairs.jsonl")
    human = rows(tmp_path / "run" / "inputs" / "human.jsonl")
    labels = rows(tmp_path / "run" / "outputs" / "labels.jsonl")
    assert [row["pair_id"] for row in labels] == [p["id"] for p in pairs] == [h["pair_id"] for h in human]
    for label, pair, choice in zip(labels, pairs, human, strict=True):
        assert pair[f"response_{choice['choice']}"].startswith("Better")
        assert choice["annotator_kind"] == "imported"
        assert (label["principle"], label["method"]) == ("harmless", "choice")
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "axis: harmless" in config
    assert "model_revision: " in config
    assert "4 labels in " in err
    assert "labels/s" in err
    assert "0 of 4 labels are exact ties" in err


def test_a_run_tells_what_it_did(command: Command, tmp_path: Path) -> None:
    assert main(command()) == 0
    events = rows(tmp_path / "run" / "events.jsonl")
    told = [event["kind"] for event in events]
    assert (told[0], told[-4:]) == ("started", ["summary", "progress", "artifact", "finished"])
    [summary] = [e for e in events if e["kind"] == "summary"]
    assert (summary["labels"], summary["ties"], summary["skipped"]) == (4, 0, 0)
    assert summary["saved"] > summary["computed"] > 0
    sample = next(e for e in events if e["kind"] == "sample")
    assert sample["prompt"].startswith("Question ")
    assert sample["principle"] in {
        row["principle"] for row in rows(tmp_path / "run" / "outputs" / "labels.jsonl")
    }
    assert not {"pair", "text", "p_a"} & sample.keys()  # who judges later must not have seen it
    last = [e for e in events if e["kind"] == "progress"][-1]
    assert (last["done"], last["total"], last["tokens"]) == (4, 4, summary["computed"])


def test_all_principles_of_a_pair_come_in_the_constitutions_order(command: Command, tmp_path: Path) -> None:
    words = command("--principles", "3", "--method", "contrast", constitution="harmless")
    assert main(words) == 0
    labels = rows(tmp_path / "run" / "outputs" / "labels.jsonl")
    assert len(labels) == 12
    pairs = [p["id"] for p in rows(tmp_path / "run" / "inputs" / "pairs.jsonl")]
    assert [label["pair_id"] for label in labels] == [id for id in pairs for _ in range(3)]


def test_sigterm_keeps_what_is_finished_and_the_same_command_goes_on(
    terminated: Callable[..., list[dict[str, Any]]],
    command: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = command(rows=96)
    part = tmp_path / "run" / "outputs" / "labels.jsonl.part"
    kept = terminated(words, part)
    assert 1 <= len(kept) < 96
    with part.open("a") as file:
        file.write('{"pair_id": "torn')  # as a kill would have left it
    assert main(words) == 0
    assert f"going on: {len(kept)} of 96" in capsys.readouterr().err
    labels = rows(tmp_path / "run" / "outputs" / "labels.jsonl")
    assert len(labels) == len({label["pair_id"] for label in labels}) == 96
    assert [label for label in labels if label in kept] == kept  # not one was made again
    summaries = [e for e in rows(tmp_path / "run" / "events.jsonl") if e["kind"] == "summary"]
    assert sum(s["labels"] for s in summaries) == 96


def test_a_run_is_of_its_config_and_its_pairs(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command()) == 0
    assert main(command()) == 2
    assert "this run is complete" in capsys.readouterr().err
    assert main(command("--method", "contrast")) == 2
    assert "method: 'choice' there, 'contrast' now" in capsys.readouterr().err
    assert main(command(rows=3)) == 2
    assert "inputs/pairs.jsonl differs" in capsys.readouterr().err


def test_a_mistyped_model_claims_no_folder(command: Command, tmp_path: Path) -> None:
    assert main(command("--model", str(tmp_path / "none"))) == 2
    assert not (tmp_path / "run").exists()


def test_a_pair_too_long_for_the_model_is_left_out_and_told(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command()
    long = f"\n\nHuman: {'word ' * 600}\n\nAssistant:"
    with (tmp_path / "hh.jsonl").open("a") as file:
        file.write(json.dumps({"chosen": f"{long} Yes.", "rejected": f"{long} No."}) + "\n")
    assert main(words) == 0
    assert "is left out: the prompt with its answer takes" in capsys.readouterr().err
    assert len(rows(tmp_path / "run" / "outputs" / "labels.jsonl")) == 4
    [skipped] = [e for e in rows(tmp_path / "run" / "events.jsonl") if e["kind"] == "skipped"]
    assert skipped["pair"] == rows(tmp_path / "run" / "inputs" / "pairs.jsonl")[-1]["id"]


def test_contrast_without_examples_fails_before_a_folder_is_made(
    command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bare.yaml"
    file.write_text("name: bare\nprinciples:\n  - id: kind\n    title: Kind\n    comparison: Which?\n")
    assert main(command("--method", "contrast", constitution=str(file))) == 2
    assert "contrast needs examples" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.model
def test_a_real_file_of_human_comparisons(shared_data: Path, bundled_folder: Path, tmp_path: Path) -> None:
    with gzip.open(shared_data / "hh-harmless-tune.jsonl.gz", "rt") as file:
        (tmp_path / "hh.jsonl").write_text(file.readline() + file.readline())
    where = ["--pairs", str(tmp_path / "hh.jsonl"), "--run", str(tmp_path / "run")]
    assert main(["label", *where, "--constitution", "minimal"]) == 0
    assert len(rows(tmp_path / "run" / "outputs" / "labels.jsonl")) == 2
    assert len(rows(tmp_path / "run" / "inputs" / "human.jsonl")) == 2
