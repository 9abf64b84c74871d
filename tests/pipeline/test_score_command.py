"""`cai score`: what is scored and how often, a stop, the figures, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import score_command, scoring
from pipeline.__main__ import main
from pipeline.critique import as_row
from pipeline.records import Chain, Message, Step

Command = Callable[..., list[str]]


def chain(number: int, *texts: str, critiques: bool = True, model: str = "bundled") -> Chain:
    """A chain whose first response and revisions are these texts."""
    steps = [Step("response", texts[0])]
    for text in texts[1:]:
        steps += [Step("critique", "It is bad.", "p")] * critiques + [Step("revision", text, "p")]
    asked = (Message("user", f"Question {number}?"),)
    return Chain(f"c{number}", f"p{number}", asked, "v1", model, model, 0, tuple(steps), critiques=critiques)


def write(folder: Path, chains: Sequence[Chain]) -> Path:
    """A finished run of these chains."""
    (folder / "outputs").mkdir(parents=True)
    (folder / "outputs" / "chains.jsonl").write_text("".join(json.dumps(as_row(c)) + "\n" for c in chains))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Twenty chains with critiques and twenty without, of the same prompts and first responses."""
    with_ = [chain(n, f"say {n}", f"better {n}", f"best {n} {n}") for n in range(20)]
    without = [chain(n, f"say {n}", f"other {n}", critiques=False) for n in range(20)]
    return [write(tmp_path / "with", with_), write(tmp_path / "without", without)]


@pytest.fixture
def command(tmp_path: Path, runs: list[Path], tiny_pm: Path) -> Command:
    def words(*more: str, pm: str = str(tiny_pm)) -> list[str]:
        chains = ["--chains", *map(str, runs)]
        return ["score", *chains, "--pm", pm, "--run", str(tmp_path / "run"), *more]

    return words


class Counting:
    """A preference model that scores a text by its length, and notes what it is asked."""

    def __init__(self, stop_at: int = 0) -> None:
        self.asked: list[str] = []
        self.stop_at = stop_at

    def __call__(self, conversations: Sequence[tuple[Sequence[Message], str]]) -> list[float]:
        self.asked += [f"{messages[-1].content} {text}" for messages, text in conversations]
        if self.stop_at and len(self.asked) >= self.stop_at:
            signal.raise_signal(signal.SIGTERM)
        return [float(len(text)) for _, text in conversations]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Counting]:
    """Put such a preference model in the place of a real one."""

    def put(stop_at: int = 0) -> Counting:
        made = Counting(stop_at)
        monkeypatch.setattr(score_command, "_load", lambda name: made)
        return made

    return put


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_each_answer_is_a_row_and_is_scored_once(
    command: Command, counting: Callable[..., Counting], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pm = counting()
    assert main(command()) == 0
    found = rows(tmp_path / "run" / "outputs" / "scores.jsonl")
    assert [(r["chains"], r["chain"], r["revision"], r["critiques"]) for r in found[:2] + found[-1:]] == [
        ("with", "c0", 0, True),
        ("with", "c0", 1, True),
        ("without", "c19", 1, False),
    ]
    # Both runs have the same first responses: 20 of the 100 answers are not scored again.
    assert (len(found), len(pm.asked), len(set(pm.asked))) == (100, 80, 80)
    out = capsys.readouterr().out
    assert "with: bundled revised by bundled with critiques, under v1" in out
    assert "100.0% [" in out
    assert "of 20 chains: the final revision scores above the first response" in out
    assert (tmp_path / "run" / "inputs" / "chains" / "without.jsonl").is_file()


def test_a_stopped_run_scores_nothing_twice_and_a_complete_one_is_told_again(
    command: Command, counting: Callable[..., Counting], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = counting(stop_at=20)
    assert main(command()) == 130
    kept = rows(tmp_path / "run" / "outputs" / "scores.jsonl.part")
    assert 20 <= len(kept) < 100
    second = counting()
    assert main(command()) == 0
    assert not set(first.asked) & set(second.asked)
    assert len(first.asked) + len(second.asked) == 80
    assert rows(tmp_path / "run" / "outputs" / "scores.jsonl")[: len(kept)] == kept
    told, third = capsys.readouterr().out, counting()
    assert main(command()) == 0
    assert not third.asked
    assert capsys.readouterr().out in told


def test_as_json_nothing_else_is_printed(
    command: Command, counting: Callable[..., Counting], capsys: pytest.CaptureFixture[str]
) -> None:
    counting()
    assert main(command("--json")) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert [r["revision"] for r in first["revisions"]] == [0, 1, 2]
    assert (second["chains"], second["critiques"], second["better"]["value"]) == ("without", False, 1.0)
    assert second["revisions"][1]["gain"] == pytest.approx(
        {"value": 2.0, "low": 2.0, "high": 2.0, "n": 20, "prompts": 20}
    )


def test_an_empty_answer_is_none(tmp_path: Path) -> None:
    some = [chain(0, "say", "", "best"), chain(1, "", "x")]
    assert [(a.chain.id, a.revision, a.text) for a in scoring.answers({"r": some})] == [
        ("c0", 0, "say"),
        ("c0", 2, "best"),
        ("c1", 1, "x"),
    ]


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "chains", tmp_path / "b" / "chains"]
    for path in paths:
        path.mkdir(parents=True)
    assert list(scoring.named(paths)) == ["a-chains", "b-chains"]
    assert list(scoring.named([paths[0], tmp_path / "c.jsonl"])) == ["chains", "c"]


def test_what_is_refused(
    command: Command, runs: list[Path], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        (command(pm=str(tiny_model)), "is no preference model: name a run of `cai pm`"),
        (command(pm=""), "--pm: name a preference model"),
        (command("--chains", str(tmp_path)), "no chains here: name a finished run of `cai critique`"),
        (command("--chains", str(runs[0]), str(runs[0])), "two have the same name"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_the_preference_model_has_learnt_from_is_told(tmp_path: Path, tiny_pm: Path) -> None:
    pm = shutil.copytree(tiny_pm, tmp_path / "pm")
    learnt = {"lineage": {"sources": [{"human": "theirs.jsonl", "count": 1}]}}
    (pm / "checkpoint" / "checkpoint.json").write_text(json.dumps({"method": "pm", **learnt}))
    pair = {"prompt": "question 1?", "chosen": "Yes.", "rejected": "No."}
    (tmp_path / "theirs.jsonl").write_text(json.dumps(pair) + "\n")
    [note] = scoring.notes(str(pm), [chain(0, "a"), chain(1, "b")])
    assert "was trained on 1 of these 2 prompts" in note


def test_a_model_that_was_trained_against_the_preference_model_is_told(tmp_path: Path, tiny_pm: Path) -> None:
    policy = tmp_path / "rl"
    (policy / "checkpoint").mkdir(parents=True)
    card = {"method": "rloo", "base": "bundled", "lineage": {"pm": str(tiny_pm)}}
    (policy / "checkpoint" / "checkpoint.json").write_text(json.dumps(card))
    (policy / "config.yaml").write_text("stage: rl\n")
    found = scoring.notes(str(tiny_pm), [chain(0, "a", model=str(policy))])
    assert any("is what rewarded" in note for note in found)


def test_a_real_preference_model_in_two_processes_gives_the_same_scores(
    command: Command, tmp_path: Path, runs: list[Path]
) -> None:
    assert main(command()) == 0
    again = [*command()[:-1], str(tmp_path / "again")]
    assert main(again) == 0
    one, other = (rows(tmp_path / name / "outputs" / "scores.jsonl") for name in ("run", "again"))
    assert one == other
    assert len({row["score"] for row in one}) > 50


@pytest.mark.model
def test_the_bundled_model_with_and_without_critiques(
    bundled_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    pm = tmp_path / "pm"
    AutoModelForSequenceClassification.from_pretrained(bundled_folder, num_labels=1).save_pretrained(pm)
    AutoTokenizer.from_pretrained(bundled_folder).save_pretrained(pm)
    (tmp_path / "asked.txt").write_text("How do I pick a lock?\nIs the moon cheese?\n")
    for name, critiques in (("with", "true"), ("without", "false")):
        where = ["--prompts", str(tmp_path / "asked.txt"), "--run", str(tmp_path / name)]
        how = ["--critiques", critiques, "--revisions", "1", "--max-tokens", "12"]
        assert main(["critique", "--constitution", "minimal", *where, *how]) == 0
    capsys.readouterr()
    chains = ["--chains", str(tmp_path / "with"), str(tmp_path / "without")]
    assert main(["score", *chains, "--pm", str(pm), "--run", str(tmp_path / "run"), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert [p["score"]["n"] for p in (*first["revisions"], *second["revisions"])] == [2] * 4
    # The same seed answers the same, so that both begin at the same score.
    assert first["revisions"][0] == second["revisions"][0]
    assert first["revisions"][1]["score"]["value"] != second["revisions"][1]["score"]["value"]
