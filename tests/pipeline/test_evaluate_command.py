"""`cai evaluate`: two tiny models and real judges; a stop; and what is refused before a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import evaluate_command
from pipeline.__main__ import main
from pipeline.errors import UserError
from pipeline.matchups import Waiting
from pipeline.preference_model import PreferenceModel
from pipeline.records import parse

Command = Callable[..., list[str]]


@pytest.fixture
def command(tmp_path: Path, tiny_model: Path, other_model: Path, tiny_pm: Path) -> Command:
    """The words of a tournament of both models on a few prompts."""

    def words(*more: str, judge: str = str(tiny_pm), prompts: int = 2) -> list[str]:
        path = tmp_path / "prompts.txt"
        path.write_text("".join(f"Question {i}?\n" for i in range(prompts)))
        models = ["--models", str(tiny_model), str(other_model)]
        where = ["--prompts", str(path), "--run", str(tmp_path / "run"), "--max-tokens", "4"]
        return ["evaluate", *models, *where, "--judge", judge, "--axis", "harmless", *more]

    return words


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_two_models_judged_by_a_preference_model(
    command: Command, tmp_path: Path, tiny_pm: Path, other_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command()) == 0
    outputs = tmp_path / "run" / "outputs"
    out, err = capsys.readouterr()
    assert out.strip() == str(outputs / "matchups.jsonl")
    assert f"harmless, judged by {tiny_pm} (a model)" in err
    assert f"{tiny_pm} agrees with held-out labels: 0.600 [0.500, 0.700], n = 100" in err
    assert [len(row["responses"]) for row in rows(outputs / "answers.jsonl")] == [1] * 4
    matchups = rows(outputs / "matchups.jsonl")
    assert [m["p_ab"] == m["p_ba"] == m["p_a"] for m in matchups] == [True, True]
    ratings = json.loads((outputs / "ratings.json").read_text())
    assert {row["model"] for row in ratings} >= {str(other_model)}
    assert {row["judge_heldout"]["value"] for row in ratings} == {0.6}
    assert ratings[0]["judge_trained_on"] == [{"written": "harmless"}]
    assert main(["elo", str(tmp_path / "run")]) == 0
    assert main(command()) == 2
    assert "this run is complete" in capsys.readouterr().err


def test_two_models_judged_by_a_feedback_model(command: Command, tmp_path: Path, tiny_model: Path) -> None:
    assert main(command("--constitution", "minimal", judge=str(tiny_model))) == 0
    outputs = tmp_path / "run" / "outputs"
    matchups, labels = rows(outputs / "matchups.jsonl"), rows(outputs / "labels.jsonl")
    assert {m["constitution"] for m in matchups} == {label["constitution"] for label in labels}
    assert sorted(m["p_a"] for m in matchups) == sorted(label["p_a"] for label in labels)
    assert (tmp_path / "run" / "inputs" / "constitution.yaml").is_file()


def test_people_are_left_the_pairs_and_no_verdict(
    command: Command, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("--budget", "3", judge="people", prompts=4)) == 0
    outputs = tmp_path / "run" / "outputs"
    out, err = capsys.readouterr()
    assert out.strip() == str(outputs / "waiting.jsonl")
    assert "3 pairs wait for people" in err
    waiting = [parse(Waiting, row) for row in rows(outputs / "waiting.jsonl")]
    said = {(row["model"], row["id"]): row["responses"][0]["text"] for row in rows(outputs / "answers.jsonl")}
    assert len({one.id for one in waiting}) == 3
    for one in waiting:
        assert one.axis == "harmless"
        assert one.model_a == str(tiny_model)
        assert said[one.model_a, one.prompt_id] == one.response_a
        assert said[one.model_b, one.prompt_id] == one.response_b
        assert one.revision_a != one.revision_b
    assert not (outputs / "matchups.jsonl").exists()
    assert main(["elo", str(tmp_path / "run")]) == 2
    assert "its pairs wait for people" in capsys.readouterr().err
    assert main(command("--budget", "3", judge="people", prompts=4)) == 2
    assert "this run is complete" in capsys.readouterr().err


def test_a_stopped_tournament_goes_on_with_what_it_has(
    terminated: Callable[..., list[dict[str, Any]]],
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = command("--samples", "2", prompts=64)
    part = tmp_path / "run" / "outputs" / "answers.jsonl.part"
    kept = terminated(words, part)
    assert 1 <= len(kept) < 128
    [*_, said] = (e for e in rows(tmp_path / "run" / "events.jsonl") if e["kind"] == "progress")
    assert (said["done"], said["part"]["noun"], said["part"]["total"]) == (0, "answers", 2 * 64 * 2)
    assert said["part"]["done"] == 2 * len(kept)
    assert main(words) == 0
    answers = rows(tmp_path / "run" / "outputs" / "answers.jsonl")
    assert [row for row in kept if row in answers] == kept  # not one was made again
    assert len(answers) == 128
    assert len(rows(tmp_path / "run" / "outputs" / "matchups.jsonl")) == 64 * 2


def test_a_run_killed_just_before_its_end_loads_no_model_again(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(command()) == 0
    outputs = tmp_path / "run" / "outputs"
    (outputs / "matchups.jsonl").rename(outputs / "matchups.jsonl.part")
    monkeypatch.setattr(evaluate_command.InTurn, "load", pytest.fail)
    monkeypatch.setattr(evaluate_command, "_load_scorer", pytest.fail)
    assert main(command()) == 0
    assert len(rows(outputs / "matchups.jsonl")) == 2


def test_an_adapter_on_a_preference_model_is_not_taken_for_it(tmp_path: Path) -> None:
    pm, adapter = tmp_path / "pm", tmp_path / "adapter"
    for folder, weights, name, config in (
        (pm, "model", "config.json", {"architectures": ["LlamaForSequenceClassification"]}),
        (adapter, "adapter_model", "adapter_config.json", {"base_model_name_or_path": str(pm)}),
    ):
        folder.mkdir()
        (folder / name).write_text(json.dumps(config))
        (folder / f"{weights}.safetensors").write_bytes(b"weights")
    assert evaluate_command.is_preference_model(str(pm))
    for load in (evaluate_command.is_preference_model, PreferenceModel):
        with pytest.raises(UserError, match="must be whole: merge it into its base first"):
            load(str(adapter))


def test_what_is_refused_before_a_model_is_loaded(
    command: Command, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        (command("--constitution", "minimal"), "a preference model judges without a --constitution"),
        (command(judge=str(tiny_model)), "is no preference model; as a feedback model it needs a --constit"),
        (command("--constitution", "minimal", judge="people"), "people judge by the question alone"),
        (command("--models", "bundled"), "name two models or more, each once"),
        (command("--models", "bundled", "bundled"), "name two models or more, each once"),
        (command("--samples", "2", "--temperature", "0"), "temperature 0 makes all answers of a model alike"),
        (command("--prompts", "nowhere.txt"), "nowhere.txt"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_prompts_that_a_model_was_trained_on_are_refused_with_the_list(
    command: Command, tmp_path: Path, other_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = tmp_path / "rl"
    (trained / "inputs").mkdir(parents=True)
    (trained / "inputs" / "prompts.jsonl").write_text('{"prompt": "question 1?"}\n')
    (trained / "config.yaml").write_text("stage: rl\n")
    (trained / "checkpoint").symlink_to(other_model)
    assert main(command("--models", "bundled", str(trained))) == 2
    err = capsys.readouterr().err
    assert "models were trained on prompts that they are to be measured on:\n" in err
    assert f"{trained}: " in err
    assert "“Question 1?” (rl/prompts.jsonl)" in err
    assert "Question 0?" not in err


def test_a_shipped_sets_name_stands_for_its_heldout_prompts(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(evaluate_command, "_run", lambda args: asked.append(args.prompts) or 0)
    assert main(command("--prompts", "red-team")) == 0
    assert asked[0].name == "red-team-heldout.jsonl"
