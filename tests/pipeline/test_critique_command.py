"""`cai critique`: whole runs, stopped ones, and those that are refused."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import critique_command
from pipeline.__main__ import main
from pipeline.critique import Engines
from pipeline.growing import Stop
from pipeline.train.sources import from_chains

ASKED = ["How do I pick a lock?", "Is the moon cheese?", "Write a limerick.", "Who are you?"]


@pytest.fixture
def command(tmp_path: Path, tiny_model: Path) -> Callable[..., list[str]]:
    """The words of a command on a file of prompts, by default with the tiny model."""

    def words(
        *more: str, model: str = str(tiny_model), run: str = "run", asked: list[str] = ASKED
    ) -> list[str]:
        (tmp_path / "prompts.txt").write_text("\n".join(asked))
        files = ["--prompts", str(tmp_path / "prompts.txt"), "--run", str(tmp_path / run)]
        knobs = ["--model", model, "--revisions", "1", "--max-tokens", "12"]
        return ["critique", "--constitution", "minimal", *files, *knobs, *more]

    return words


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def kinds(folder: Path) -> list[tuple[int, str]]:
    return [(e["attempt"], e["kind"]) for e in rows(folder / "events.jsonl")]


def untimed(chains: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**c, "steps": [{**s, "seconds": 0} for s in c["steps"]]} for c in chains]


@pytest.mark.model
def test_the_bundled_model_writes_the_same_chains_twice(
    command: Callable[..., list[str]], bundled_folder: Path, tmp_path: Path
) -> None:
    assert main(command(model="bundled", run="a")) == 0
    assert main(command(model="bundled", run="b")) == 0
    chains = rows(tmp_path / "a" / "outputs" / "chains.jsonl")
    assert [c["messages"][0]["content"] for c in chains] == ASKED
    for chain in chains:
        assert [(s["kind"], s["principle"]) for s in chain["steps"]] == [
            ("response", None),
            ("critique", "harmless"),
            ("revision", "harmless"),
        ]
        assert all(s["text"] and s["tokens"] <= 12 for s in chain["steps"])
        assert [s["model"] for s in chain["steps"]] == ["bundled", "bundled-critic", "bundled-critic"]
    assert untimed(chains) == untimed(rows(tmp_path / "b" / "outputs" / "chains.jsonl"))


def test_a_run_tells_what_it_did(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command()) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "outputs" / "chains.jsonl")
    told = [kind for _, kind in kinds(tmp_path / "run")]
    assert (told[0], told[-3:]) == ("started", ["progress", "artifact", "finished"])
    [sample] = [e for e in rows(tmp_path / "run" / "events.jsonl") if e["kind"] == "sample"][:1]
    assert sample["prompt"] in ASKED
    last = [e for e in rows(tmp_path / "run" / "events.jsonl") if e["kind"] == "progress"][-1]
    assert (last["done"], last["total"], last["eta_s"]) == (4, 4, 0)
    assert last["tokens_per_second"] > 0
    assert [p.name for p in (tmp_path / "run" / "outputs").iterdir()] == ["chains.jsonl"]


def test_a_whole_run_is_not_drawn_again_and_another_seed_is_another_run(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command()) == 0
    chains = (tmp_path / "run" / "outputs" / "chains.jsonl").read_bytes()
    assert main(command()) == 2
    assert "this run is complete" in capsys.readouterr().err
    assert main(command("--seed", "7")) == 2
    assert "seed: 0 there, 7 now" in capsys.readouterr().err
    assert main(command(asked=["Other?"])) == 2
    assert "inputs/prompts.txt differs" in capsys.readouterr().err
    assert (tmp_path / "run" / "outputs" / "chains.jsonl").read_bytes() == chains


def test_sigterm_keeps_what_is_finished_and_the_same_command_goes_on(
    terminated: Callable[..., list[dict[str, Any]]],
    command: Callable[..., list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = command(asked=[f"Question {i}?" for i in range(192)])
    part = tmp_path / "run" / "outputs" / "chains.jsonl.part"
    kept = terminated(words, part)
    assert 1 <= len(kept) < 192
    with part.open("a") as file:
        file.write('{"id": "torn')  # as a kill would have left it
    assert main(words) == 0
    assert f"going on: {len(kept)} of 192" in capsys.readouterr().err
    chains = rows(tmp_path / "run" / "outputs" / "chains.jsonl")
    assert len(chains) == len({c["id"] for c in chains}) == 192
    assert [c["messages"][0]["content"] for c in chains] == [f"Question {i}?" for i in range(192)]
    assert [c for c in chains if c in kept] == kept  # to the second: not one was written again
    assert [k for k in kinds(tmp_path / "run") if k[1] in ("started", "finished")] == [
        (1, "started"),
        (1, "finished"),
        (2, "started"),
        (2, "finished"),
    ]


def test_a_run_killed_before_it_could_say_that_it_is_whole_says_so_then(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command()) == 0
    events = tmp_path / "run" / "events.jsonl"
    events.write_text("".join(events.read_text().splitlines(keepends=True)[:-2]))
    capsys.readouterr()
    assert main(command()) == 0
    assert capsys.readouterr().out.strip().endswith("chains.jsonl")
    assert kinds(tmp_path / "run")[-2:] == [(2, "artifact"), (2, "finished")]
    assert main(command()) == 2


def test_another_model_under_the_same_name_is_another_run(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"one")
    assert main(command(model=str(folder))) == 2
    assert "could not be loaded" in capsys.readouterr().err
    (folder / "model.safetensors").write_bytes(b"two")
    assert main(command(model=str(folder))) == 2
    assert "model_revision: " in capsys.readouterr().err
    assert [k for _, k in kinds(tmp_path / "run")] == ["started", "failed"]


def test_what_is_not_said_again_is_as_the_run_has_it(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"none")
    for said in (["--top-p", "1"], []):
        assert main(command(*said, model=str(model))) == 2
        assert "could not be loaded" in capsys.readouterr().err
    assert main(command("--top-p", "0.8", model=str(model))) == 2
    assert "top_p: 1.0 there, 0.8 now" in capsys.readouterr().err
    assert main(["pairs", "--prompts", str(tmp_path / "prompts.txt"), "--run", str(tmp_path / "run")]) == 2
    assert "stage: 'critique' there, 'pairs' now" in capsys.readouterr().err


def test_a_model_that_a_folder_names_is_not_asked_unless_it_is_named_again(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("stage: critique\ncritic: http://evil/v1#m\n")
    assert main(command()) == 2
    assert "critic: 'http://evil/v1#m' there, '' now" in capsys.readouterr().err


def test_a_prompt_too_long_for_the_model_is_left_out_and_told(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(asked=["Short?", "long " * 600])) == 0
    [chain] = rows(tmp_path / "run" / "outputs" / "chains.jsonl")
    assert chain["messages"][0]["content"] == "Short?"
    assert "is left out: the prompt with its answer takes" in capsys.readouterr().err
    [skipped] = [e for e in rows(tmp_path / "run" / "events.jsonl") if e["kind"] == "skipped"]
    assert "shorten the prompt" in skipped["reason"]
    assert main(command(asked=["long " * 600], run="none")) == 2
    assert "no chains were written: each was left out" in capsys.readouterr().err


def test_policy_and_critic_are_loaded_once_each(
    command: Callable[..., list[str]],
    tmp_path: Path,
    scripted: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engines = Engines(scripted(name="p"), scripted(name="c"))
    monkeypatch.setattr(critique_command, "_load", lambda *_: engines)
    assert main(command()) == 0
    for chain in rows(tmp_path / "run" / "outputs" / "chains.jsonl"):
        assert [s["model"] for s in chain["steps"]] == ["p", "c", "c"]


def test_signals_are_given_back(command: Callable[..., list[str]]) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    assert main(command()) == 0
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_second_request_to_end_does_not_kill_what_is_being_saved() -> None:
    with Stop.on_signals() as stop:
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()


def test_a_run_without_critiques_says_so_and_is_another(
    command: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("--critiques", "false", "--revisions", "2")) == 0
    chains = rows(tmp_path / "run" / "outputs" / "chains.jsonl")
    assert [[s["kind"] for s in c["steps"]] for c in chains] == [["response", "revision", "revision"]] * 4
    assert {c["critiques"] for c in chains} == {False}
    lessons, _ = from_chains(tmp_path / "run", every=True)
    assert [lesson.answer for lesson in lessons] == [s["text"] for c in chains for s in c["steps"][1:]]
    assert main(command("--revisions", "2", "--critiques", "true")) == 2
    assert "critiques: False there, None now" in capsys.readouterr().err
