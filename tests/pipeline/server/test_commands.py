"""Whole runs on a server's model: stopped at the limit and gone on with, and without a trace of the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import label_command
from pipeline.__main__ import main
from pipeline.engines.remote import RemoteEngine, Worker
from pipeline.engines.spending import Purse

SECRET = "sk-very-secret-123"


@pytest.fixture
def keyed(serving: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server that wants a key, and repeats it in what it refuses and what it says."""
    monkeypatch.setenv("CAI_SERVER_KEY", SECRET)
    serving.key = SECRET
    return serving


@pytest.fixture
def critique(keyed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command for ten chains of one round, two at a time: of eight, all may be half done at an end."""
    monkeypatch.setenv("CAI_SERVER_CONCURRENCY", "2")
    (tmp_path / "prompts.txt").write_text("\n".join(f"Question {i}?" for i in range(10)))
    where = ["--prompts", str(tmp_path / "prompts.txt"), "--run", str(tmp_path / "run")]
    knobs = ["--revisions", "1", "--max-tokens", "12", "--model", keyed.name]
    return ["critique", "--constitution", "minimal", *where, *knobs]


@pytest.fixture
def label(keyed: Any, tmp_path: Path) -> Callable[..., list[str]]:
    """A command that labels human comparisons."""

    def words(*more: str, rows: int = 4) -> list[str]:
        said = [
            {
                "chosen": f"\n\nHuman: {i}?\n\nAssistant: Better {i}.",
                "rejected": f"\n\nHuman: {i}?\n\nAssistant: No.",
            }
            for i in range(rows)
        ]
        (tmp_path / "hh.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
        where = ["--pairs", str(tmp_path / "hh.jsonl"), "--run", str(tmp_path / "run")]
        return ["label", *where, "--constitution", "minimal", "--model", keyed.name, *more]

    return words


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def leaks(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_chains_stop_at_the_limit_and_go_on_with_a_higher_one(
    critique: list[str], keyed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("CAI_SERVER_MAX_TOKENS", "1500")
    assert main(critique) == 130
    said = capsys.readouterr().err
    assert "the limit for servers is reached" in said
    assert "of 1,500 tokens are used" in said
    assert "the same command goes on from here" in said
    run = tmp_path / "run"
    stopped = rows(run / "events.jsonl")[-1]
    assert (stopped["kind"], stopped["status"]) == ("finished", "stopped")
    assert "CAI_SERVER_MAX_TOKENS" in stopped["reason"]
    kept = rows(run / "outputs" / "chains.jsonl.part")
    assert 0 < len(kept) < 10
    spent = Purse(log=run / "usage.jsonl").spent
    assert 1000 < spent <= 1500

    assert main(critique) == 130
    assert Purse(log=run / "usage.jsonl").spent <= 1500  # the limit is the whole run's
    monkeypatch.setenv("CAI_SERVER_MAX_TOKENS", "20000")
    assert main(critique) == 0
    chains = rows(run / "outputs" / "chains.jsonl")
    assert [c["messages"][0]["content"] for c in chains] == [f"Question {i}?" for i in range(10)]
    assert all(chain in chains for chain in kept)  # kept as they ended, of two at a time
    assert {step["revision"] for c in chains for step in c["steps"]} == {keyed.name}
    assert f"model_revision: {keyed.name}" in (run / "config.yaml").read_text()
    assert all(row["counted"] for row in rows(run / "usage.jsonl"))
    assert leaks(tmp_path) == []


def test_a_run_that_fails_says_so_without_the_key_and_goes_on(
    critique: list[str], keyed: Any, tmp_path: Path, capsys: Any
) -> None:
    keyed.text = f"The header says {SECRET}, I think."
    keyed.key = "changed"
    assert main(critique) == 2
    assert "refuses the key in CAI_SERVER_KEY" in (said := capsys.readouterr().err)
    assert SECRET not in said
    keyed.key = SECRET
    assert main(critique) == 0
    chains = rows(tmp_path / "run" / "outputs" / "chains.jsonl")
    assert {s["text"] for c in chains for s in c["steps"]} == {"The header says [key], I think."}
    assert leaks(tmp_path) == []


def test_a_server_that_dies_in_a_batch_is_tried_again_and_then_told_and_the_run_goes_on(
    critique: list[str], keyed: Any, tmp_path: Path, capsys: Any
) -> None:
    port: list[int] = []

    def killed(handler: Any) -> None:
        if len(keyed.asked) < 40:  # some chains are whole, some half
            return handler.normal()
        if not port:
            port.append(0)
            port[0] = keyed.stop()
        return handler.connection.close()

    keyed.always = killed
    assert main([*critique, "--revisions", "2"]) == 2
    assert "can't be reached any more" in (said := capsys.readouterr().err)
    assert "tried 5 times. What is finished is kept; the same command goes on" in said
    kept = rows(tmp_path / "run" / "outputs" / "chains.jsonl.part")
    assert 0 < len(kept) < 10
    keyed.start(port[0])
    assert main([*critique, "--revisions", "2"]) == 0
    chains = rows(tmp_path / "run" / "outputs" / "chains.jsonl")
    assert [c["messages"][0]["content"] for c in chains] == [f"Question {i}?" for i in range(10)]
    assert all(chain in chains for chain in kept)


@pytest.mark.parametrize("method", ["choice", "cot", "contrast", "pointwise"])
def test_labels_of_a_server_are_those_of_its_model(
    label: Callable[..., list[str]],
    tmp_path: Path,
    tiny_engine: Any,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    constitution = [
        "--constitution",
        "harmless",
        "--method",
        method,
        "--temperature",
        "0",
        "--max-tokens",
        "8",
    ]
    assert main(label(*constitution)) == 0
    ours = rows(tmp_path / "run" / "outputs" / "labels.jsonl")
    monkeypatch.setattr(label_command, "_load", lambda *_: tiny_engine)
    assert main(label(*constitution, "--run", str(tmp_path / "local"))) == 0
    theirs = rows(tmp_path / "local" / "outputs" / "labels.jsonl")
    assert len(ours) == len(theirs) == 4
    for our, their in zip(ours, theirs, strict=True):
        assert our["rationale_ab"] == their["rationale_ab"]
        assert our["logit_ab"] == pytest.approx(their["logit_ab"], abs=2e-3)
        assert our["p_a"] == pytest.approx(their["p_a"], abs=1e-3)
    assert leaks(tmp_path) == []


def test_labels_from_samples_say_how_many(
    label: Callable[..., list[str]], keyed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    keyed.echo = keyed.prompts = keyed.top = False
    keyed.text = "A) it is"
    monkeypatch.setenv("CAI_SERVER_SAMPLES", "6")
    assert main(label()) == 0
    assert "estimated from 6 sampled answers, and so lies between 0.12 and 0.88" in capsys.readouterr().err
    [summary] = [e for e in rows(tmp_path / "run" / "events.jsonl") if e["kind"] == "summary"]
    assert summary["samples"] == 6
    for row in rows(tmp_path / "run" / "outputs" / "labels.jsonl"):
        assert (row["p_ab"], row["p_ba"], row["p_a"]) == pytest.approx((7 / 8, 1 / 8, 0.5))


def test_labels_stop_at_the_limit_and_go_on(
    label: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAI_SERVER_MAX_TOKENS", "6000")
    assert main(label(rows=24)) == 130
    kept = rows(tmp_path / "run" / "outputs" / "labels.jsonl.part")
    assert 0 < len(kept) < 24
    monkeypatch.setenv("CAI_SERVER_MAX_TOKENS", "60000")
    assert main(label(rows=24)) == 0
    labels = rows(tmp_path / "run" / "outputs" / "labels.jsonl")
    assert len(labels) == 24
    assert all(row in labels for row in kept)  # kept as they ended, of eight at a time


def test_pairs_and_evals_ask_servers_too(keyed: Any, tmp_path: Path, tiny_model: Path, capsys: Any) -> None:
    (tmp_path / "prompts.txt").write_text("One?\nTwo?")
    where = ["--prompts", str(tmp_path / "prompts.txt"), "--run", str(tmp_path / "run"), "--max-tokens", "8"]
    assert main(["pairs", *where, "--model", keyed.name, "--model-b", str(tiny_model)]) == 0
    sources = [row["source_a"] for row in rows(tmp_path / "run" / "outputs" / "pairs.jsonl")]
    assert len(sources) == 2
    question = {
        "prompt": "Which?\n(A) this\n(B) that\nThe answer is:",
        "corrects": [" (A)"],
        "incorrects": [" (B)"],
    }
    (tmp_path / "evals.jsonl").write_text(json.dumps(question))
    assert main(["evals", "--file", str(tmp_path / "evals.jsonl"), "--model", keyed.name]) == 0
    assert keyed.name in capsys.readouterr().out


def test_training_on_a_servers_model_is_refused(keyed: Any, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "demo.jsonl").write_text(
        json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})
    )
    words = ["sft", "--demos", str(tmp_path / "demo.jsonl"), "--run", str(tmp_path / "run")]
    assert main([*words, "--model", keyed.name]) == 2
    assert "its weights are needed here" in capsys.readouterr().err
    assert not keyed.asked


def test_what_a_servers_name_means(keyed: Any, capsys: Any) -> None:
    assert main(["models", "show", keyed.name]) == 0
    assert f"server\nurl       {keyed.url}\n" in capsys.readouterr().out
    assert not keyed.asked


def test_live_inference_asks_it_too(
    keyed: Any, tiny_engine: Any, say: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(tmp_path / "inference.log")
    try:
        engine = RemoteEngine(worker, keyed.name)
        heard: list[str] = []
        [done] = engine.generate([say("Hello")], lambda i, text: heard.append(text))
        assert done.text == "".join(heard) == tiny_engine.generate([say("Hello")])[0].text
        assert worker.memory < 300e6  # no torch in it
    finally:
        worker.stop()
    assert leaks(tmp_path) == []
