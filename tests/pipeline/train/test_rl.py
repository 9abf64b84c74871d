"""RL: it learns what is rewarded, the KL is measured from where it began, and the watch sees what happens."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pipeline import templates
from pipeline.engines import Sampling
from pipeline.errors import UserError
from pipeline.events import metrics
from pipeline.preference_model import PreferenceModel
from pipeline.prompts import from_text
from pipeline.records import Message, Pair
from pipeline.rundir import RunDir
from pipeline.train import preference, rl, sft
from pipeline.train.examples import Preference, lesson
from pipeline.train.loading import load
from pipeline.train.samples import fixed, generated
from pipeline.train.speaking import Speaker
from pipeline.training_configs import Preferring, Reinforcing, Supervised

pytestmark = pytest.mark.training

Said = Sequence[tuple[Sequence[Message], str]]


def count_e(said: Said) -> list[float]:
    """The reward: how many times the letter e is said."""
    return [float(text.count("e")) for _, text in said]


@pytest.fixture
def learn(tiny_model: Path, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Do RL with the tiny model; the figures of each step."""

    def go(model: Path = tiny_model, **more: Any) -> list[dict[str, Any]]:
        settings = {"steps": 2, "batch": 8, "at_once": 8, "max_tokens": 8, "save_every": 100, **more}
        config = Reinforcing(model=str(model), **settings)
        folder = RunDir.open(tmp_path / "rl", {"stage": "rl"}, {})
        asked = [from_text(text) for text in ("say", "go on", "tell me", "well")]
        assert rl.train(folder, config, asked, count_e, None, {}) == 0
        return [values for step, values in metrics(tmp_path / "rl" / "events.jsonl") if step]

    return go


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:
    """A run of SFT, whose checkpoint is an adapter."""
    config = Supervised(model=str(tiny_model), steps=6, batch=2, at_once=2, learning_rate=1e-2)
    lessons = [lesson((Message("user", "Hello"),), "eels eels eels", str(i)) for i in range(4)]
    assert sft.train(RunDir.open(tmp_path / "sft", {"stage": "sft"}, {}), config, lessons, {}) == 0
    return tmp_path / "sft"


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_a_reward_that_counts_a_letter_is_learnt(
    learn: Callable[..., list[dict[str, Any]]], speller: Path, algorithm: str
) -> None:
    figures = learn(
        speller,
        algorithm=algorithm,
        tuning="full",
        steps=30,
        learning_rate=1e-2,
        beta=0.0,
        batch=16,
        at_once=16,
    )
    first = sum(row["reward"] for row in figures[:4]) / 4
    last = sum(row["reward"] for row in figures[-4:]) / 4
    assert first < 1  # of eight letters: one in 28 by chance
    assert last > 2 * first + 1


def test_a_run_resumed_in_its_second_epoch_learns_what_an_undisturbed_one_does(
    learn: Callable[..., list[dict[str, Any]]],
    tmp_path: Path,
    breaking: Callable[[int], AbstractContextManager[None]],
) -> None:
    undisturbed = learn(steps=6, save_every=1)
    (tmp_path / "rl").rename(tmp_path / "before")
    with breaking(3), pytest.raises(UserError, match="memory"):
        learn(steps=6, save_every=1)
    again = learn(steps=6, save_every=1)
    assert [row["reward"] for row in again] == pytest.approx([row["reward"] for row in undisturbed])


def test_a_resumed_run_draws_the_same_answers_without_its_random_state(
    learn: Callable[..., list[dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    breaking: Callable[[int], AbstractContextManager[None]],
) -> None:
    """Of several processes only the first one's is kept."""
    monkeypatch.setattr(Speaker, "answers", lambda *args: None)  # as on a GPU
    undisturbed = learn(steps=4, save_every=1, sample_every=0)
    (tmp_path / "rl").rename(tmp_path / "before")
    with breaking(2), pytest.raises(UserError, match="memory"):
        learn(steps=4, save_every=1, sample_every=0)
    for state in (tmp_path / "rl").rglob("rng_state.pth"):
        state.unlink()
    again = learn(steps=4, save_every=1, sample_every=0)
    assert [row["reward"] for row in again] == pytest.approx([row["reward"] for row in undisturbed])


def test_the_kl_is_nothing_at_first_and_grows(
    learn: Callable[..., list[dict[str, Any]]],
) -> None:
    figures = learn(steps=6, learning_rate=1e-2)
    assert figures[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert figures[-1]["kl"] > 1e-4


def test_an_adapter_goes_on_from_where_it_was_and_the_kl_is_measured_from_there(
    learn: Callable[..., list[dict[str, Any]]], adapter: Path, tiny_model: Path, tmp_path: Path
) -> None:
    figures = learn(adapter, steps=4, learning_rate=1e-2)
    assert figures[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert figures[-1]["kl"] > 1e-4
    saved = json.loads((tmp_path / "rl" / "checkpoint" / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == str(tiny_model)
    before, after = (
        json.loads((tmp_path / run / "checkpoint" / "checkpoint.json").read_text()) for run in ("sft", "rl")
    )
    assert before["parameters"] == after["parameters"]


def test_where_all_weights_of_an_adapter_are_trained_the_kl_is_measured_from_it_too(
    learn: Callable[..., list[dict[str, Any]]], adapter: Path
) -> None:
    figures = learn(adapter, tuning="full", steps=2)
    assert figures[0]["kl"] == pytest.approx(0, abs=1e-6)


def test_prompts_that_leave_an_answer_no_room_are_left_out_and_counted(
    learn: Callable[..., list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="there are 0"):
        learn(max_length=9)
    assert "4 prompts are left out: with an answer they are longer than 9" in capsys.readouterr().err


def test_what_is_said_in_training_is_what_transformers_would_say(
    bundled_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from peft import get_peft_model

    monkeypatch.setattr("pipeline.engines.transformers.fast_in_bf16", lambda device: False)
    start = load(Reinforcing(model=str(bundled_folder)), "language")
    start.adapter.init_lora_weights = False  # else it adds nothing yet
    torch.manual_seed(0)
    model = get_peft_model(start.model, start.adapter)
    for name, weight in model.named_parameters():
        weight.data *= 0.1 if "lora_" in name else 1.0
    prompts = fixed()[:3]
    asked = [start.encoder.encode(templates.response("chat", p.messages)) for p in prompts]
    said = Speaker().answers(model.train(), start.tokenizer, asked, [Sampling(12, temperature=0)] * 3)
    assert said is not None
    assert model.training
    expected = generated(model, start.encoder, asked)
    assert [row[:12] for row in expected] == said


def test_another_seed_says_something_else_from_the_first_step(
    learn: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    first = learn(steps=1)
    (tmp_path / "rl").rename(tmp_path / "before")
    again = learn(steps=1)
    (tmp_path / "rl").rename(tmp_path / "again")
    other = learn(steps=1, seed=1)
    assert first[0]["reward"] == again[0]["reward"] != other[0]["reward"]


def test_where_openvino_can_not_write_transformers_does_to_the_end(
    learn: Callable[..., list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("pipeline.engines.paged.running", lambda name, model: None)
    # Where bf16 is fast it is not even tried.
    monkeypatch.setattr("pipeline.engines.transformers.fast_in_bf16", lambda device: False)
    assert len(learn(steps=2, sample_every=0)) == 2
    assert capsys.readouterr().err.count("transformers writes the answers") == 1


def test_snapshots_are_models_of_their_own(
    learn: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    from pipeline.engines import Context, Request, Sampling
    from pipeline.engines.transformers import TransformersEngine

    learn(steps=4, snapshot_every=2)
    names = sorted(path.name for path in (tmp_path / "rl" / "snapshots").iterdir())
    assert names == ["step-2", "step-4"]
    engine = TransformersEngine(str(tmp_path / "rl" / "snapshots" / "step-2"))
    [said] = engine.generate([Request(Context((Message("user", "Hi"),)), Sampling(max_tokens=3))])
    assert said.tokens


def test_repetition_is_the_share_of_runs_of_four_words_said_before() -> None:
    assert rl.repeated("one two three four five") == 0
    assert rl.repeated("a b c d a b c d") == pytest.approx(1 - 4 / 5)
    assert rl.repeated("") == 0


def test_a_preference_model_with_another_tokenizer_rewards_all_the_same(
    learn: Callable[..., list[dict[str, Any]]], speller: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads texts, with its own tokenizer: there is nothing to agree on."""
    pairs = [Pair(f"p{i}", f"q{i}", (Message("user", "Say"),), f"e{i}", f"x{i}") for i in range(4)]
    config = Preferring(model=str(speller), tuning="full", steps=2, batch=2, at_once=2, heldout=0.0)
    folder = RunDir.open(tmp_path / "pm", {"stage": "pm"}, {})
    assert preference.train(folder, config, [Preference(pair, 1.0, "person") for pair in pairs], {}) == 0
    monkeypatch.setattr(sys.modules[__name__], "count_e", PreferenceModel(str(tmp_path / "pm")).score)
    assert len(learn()) == 2


def test_the_same_prompts_are_answered_at_the_start_and_on_the_way(
    learn: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    learn(steps=4, sample_every=2)
    events = [json.loads(line) for line in (tmp_path / "rl" / "events.jsonl").read_text().splitlines()]
    asked = {event["step"]: [] for event in events if "fixed" in event}
    for event in events:
        if "fixed" in event:
            asked[event["step"]].append(event["prompt"])
    assert list(asked) == [0, 2, 4]
    assert asked[0] == asked[2] == asked[4]
    assert sum("evasive" in event.get("values", {}) for event in events) == 3


def test_nothing_is_asked_on_the_way_where_nobody_wants_it(
    learn: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> None:
    learn(steps=1, sample_every=0)
    assert '"fixed"' not in (tmp_path / "rl" / "events.jsonl").read_text()
