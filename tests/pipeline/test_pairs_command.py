"""`cai pairs`: whole runs, stopped ones, and those that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import comparisons, pairs_command
from pipeline.__main__ import main
from pipeline.pairs import Engines, pairs_of
from pipeline.records import as_json, parse

ASKED = ["How do I pick a lock?", "Is the moon cheese?", "Write a limerick."]


@pytest.fixture
def command(tmp_path: Path, tiny_model: Path) -> Callable[..., list[str]]:
    """The words of a command on a file of prompts, by default with the tiny model."""

    def words(
        *more: str, model: str = str(tiny_model), run: str = "run", asked: list[str] = ASKED
    ) -> list[str]:
        (tmp_path / "prompts.txt").write_text("\n".join(asked))
        files = ["--prompts", str(tmp_path / "prompts.txt"), "--run", str(tmp_path / run)]
        return ["pairs", *files, "--model", model, "--max-tokens", "8", *more]

    return words


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def answer_with(monkeypatch: pytest.MonkeyPatch, first: Any, second: Any = None) -> None:
    monkeypatch.setattr(pairs_command, "_load", lambda *_: Engines(first, second or first))


@pytest.mark.model
def test_the_bundled_model_makes_the_same_pairs_twice(
    command: Callable[..., list[str]], bundled_folder: Path, tmp_path: Path
) -> None:
    assert main(command(model="bundled", run="one")) == 0
    assert main(command(model="bundled", run="two")) == 0
    assert main(command("--seed", "1", model="bundled", run="three")) == 0
    one, two, three = (rows(tmp_path / run / "outputs" / "pairs.jsonl") for run in ("one", "two", "three"))
    assert one == two
    assert {row["id"] for row in one}.isdisjoint(row["id"] for row in three)
    assert [row["messages"][0]["content"] for row in one] == ASKED
    assert all(row["source_a"]["name"] == "bundled" and row["source_a"]["revision"] for row in one)


def test_a_run_holds_responses_and_pairs(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("--samples", "3")) == 0
    outputs = tmp_path / "run" / "outputs"
    assert sorted(path.name for path in outputs.iterdir()) == ["pairs.jsonl", "responses.jsonl"]
    said = rows(outputs / "responses.jsonl")
    assert [row["messages"][0]["content"] for row in said] == ASKED
    assert [len(row["responses"]) for row in said] == [3, 3, 3]
    made = [as_json(pair) for row in said for pair in pairs_of(parse(pairs_command.Answers, row))]
    assert rows(outputs / "pairs.jsonl") == json.loads(json.dumps(made))
    assert "9 pairs of the responses to 3 prompts" in capsys.readouterr().err
    artifacts = [e["path"] for e in rows(tmp_path / "run" / "events.jsonl") if e["kind"] == "artifact"]
    assert artifacts == ["outputs/pairs.jsonl", "outputs/responses.jsonl"]
    assert comparisons.read(tmp_path / "run").pairs[0].id == made[0]["id"]


def test_a_whole_run_is_not_sampled_again_and_another_seed_is_another_run(
    command: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command()) == 0
    assert main(command()) == 2
    assert "this run is complete" in capsys.readouterr().err
    assert main(command("--seed", "7")) == 2
    assert "seed: 0 there, 7 now" in capsys.readouterr().err


def test_sigterm_keeps_what_is_finished_and_the_same_command_goes_on(
    terminated: Callable[..., list[dict[str, Any]]],
    command: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = [f"Question {i}?" for i in range(400)]
    words = command(asked=asked)
    outputs = tmp_path / "run" / "outputs"
    part = outputs / "responses.jsonl.part"
    kept = terminated(words, part)
    assert 1 <= len(kept) < 400
    assert len(rows(outputs / "pairs.jsonl.part")) == len(kept)
    with part.open("a") as file:
        file.write('{"id": "torn')  # as a kill would have left it
    assert main(words) == 0
    assert f"going on: {len(kept)} of 400" in capsys.readouterr().err
    said, made = rows(outputs / "responses.jsonl"), rows(outputs / "pairs.jsonl")
    assert [row["messages"][0]["content"] for row in said] == asked
    assert len(made) == len({row["id"] for row in made}) == 400
    assert [row["prompt_id"] for row in made] == [row["id"] for row in said]
    capsys.readouterr()
    assert main(command(asked=asked, run="at once")) == 0
    assert made == rows(tmp_path / "at once" / "outputs" / "pairs.jsonl")  # a stop changes nothing


@pytest.mark.parametrize("killed", ["before the responses row", "between the two outputs"])
def test_a_kill_at_a_bad_moment_loses_and_doubles_nothing(
    command: Callable[..., list[str]],
    tmp_path: Path,
    scripted: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    killed: str,
) -> None:
    texts = [f"text {i}" for i in range(6)]
    engine = scripted(*texts)
    answer_with(monkeypatch, engine)
    assert main(command()) == 0
    outputs = tmp_path / "run" / "outputs"
    whole = (outputs / "pairs.jsonl").read_bytes(), (outputs / "responses.jsonl").read_bytes()
    again = scripted(*texts)
    if killed == "before the responses row":
        (outputs / "pairs.jsonl").rename(outputs / "pairs.jsonl.part")
        (outputs / "responses.jsonl").unlink()
    else:
        (outputs / "responses.jsonl").rename(outputs / "responses.jsonl.part")
        again = scripted(last="never asked")
    answer_with(monkeypatch, again)
    assert main(command()) == 0
    assert ((outputs / "pairs.jsonl").read_bytes(), (outputs / "responses.jsonl").read_bytes()) == whole
    assert len(again.requests) == (6 if killed == "before the responses row" else 0)


def test_a_prompt_whose_responses_are_alike_is_told_and_not_asked_again(
    command: Callable[..., list[str]],
    tmp_path: Path,
    scripted: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer_with(monkeypatch, scripted("same", "same", "yes", "no", "", "x", ""))
    assert main(command()) == 0
    outputs = tmp_path / "run" / "outputs"
    assert (len(rows(outputs / "responses.jsonl")), len(rows(outputs / "pairs.jsonl"))) == (3, 1)
    assert capsys.readouterr().err.count("are all the same, or empty, and make no pair") == 2
    answer_with(monkeypatch, scripted(last="same"))
    assert main(command(run="none")) == 2
    assert "no prompt has two different responses: raise --temperature" in capsys.readouterr().err


def test_two_models(
    command: Callable[..., list[str]], tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.symlink_to(tiny_model)
    assert main(command("--model-b", str(other))) == 0
    for row in rows(tmp_path / "run" / "outputs" / "responses.jsonl"):
        assert [r["source"]["name"] for r in row["responses"]] == [str(tiny_model), str(other)]
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "model_revision:" in config
    assert "model_b_revision:" in config


def test_what_can_make_no_pairs_is_refused_before_a_model_is_loaded(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("--temperature", "0")) == 2
    assert "temperature 0 makes all responses of one model alike" in capsys.readouterr().err
    assert main(command("--samples", "1")) == 2
    assert "samples: 1 is not between 2 and 9" in capsys.readouterr().err
    assert main(command(model="./none")) == 2
    assert not (tmp_path / "run").exists()


def test_a_prompt_too_long_for_the_model_is_left_out_and_told(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(asked=["Short?", "long " * 600])) == 0
    [row] = rows(tmp_path / "run" / "outputs" / "responses.jsonl")
    assert row["messages"][0]["content"] == "Short?"
    assert "is left out: the prompt with its answer takes" in capsys.readouterr().err
