"""A preference model whose head alone is learnt: the regression, the states it reads, and stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.utils.logging import enable_propagation

from pipeline.__main__ import main
from pipeline.engines.opening import loaded
from pipeline.errors import UserError
from pipeline.growing import Stop
from pipeline.heads import AVERAGED
from pipeline.preference_model import PreferenceModel, averaged
from pipeline.records import Message, Pair
from pipeline.rundir import RunDir, read_rows
from pipeline.train import head, loading, preference
from pipeline.train.examples import Preference, answered
from pipeline.training_configs import Preferring

ASKED = (Message("user", "How are you?"),)


def preferences(many: int, p: float = 1.0) -> list[Preference]:
    asked = [(Message("user", f"How is {i}?"),) for i in range(many)]
    pairs = [Pair(f"p{i}", f"q{i}", asked[i], f"yes yes {i}", f"no no {i}") for i in range(many)]
    return [Preference(pair, p, "ai") for pair in pairs]


def config(model: Path, **more: Any) -> Preferring:
    return Preferring(model=str(model), tuning="head", batch=4, **more)


def test_the_weights_are_where_the_penalised_likelihood_is_flat() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(size=(300, 4))
    p = 1 / (1 + np.exp(-d @ [1.0, -2.0, 0.0, 0.5]))
    w, strength, loss = head.fit(d, p, [str(i) for i in range(300)])
    slope = d.T @ (p - 1 / (1 + np.exp(-d @ w))) - w / strength
    assert np.abs(slope).max() < 0.02
    assert w == pytest.approx([1.0, -2.0, 0.0, 0.5], abs=0.15)
    assert loss < 0.55


def test_where_nothing_is_to_be_learnt_the_weights_are_held_down() -> None:
    d = np.random.default_rng(0).normal(size=(200, 50))
    coin = np.random.default_rng(1).integers(0, 2, 200).astype(float)
    w, strength, _ = head.fit(d, coin, [str(i) for i in range(200)])
    assert strength <= 1e-3
    assert np.abs(d @ w).max() < 0.5


def test_two_prompts_one_of_a_single_pair_are_enough() -> None:
    w, _, _ = head.fit(np.ones((8, 2)), np.ones(8), ["often"] * 7 + ["once"])
    assert w.min() > 0


def test_no_table_says_of_a_new_head_that_it_is_not_trained_yet(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    enable_propagation()  # or nothing of it would reach us
    loading.load(config(tiny_model), "reward")
    assert "MISSING" not in caplog.text


def test_the_mean_is_over_the_answer_alone_whatever_stands_beside_it(tiny_model: Path) -> None:
    start = loading.load(config(tiny_model), "reward")
    short, long = (answered(start.encoder, ASKED, text) for text in ("yes", "no " * 20))
    together = averaged(start.model, [short, long])[0]
    ids, begins = short
    with torch.inference_mode():
        alone = start.model.base_model(input_ids=torch.tensor([ids])).last_hidden_state[0, begins:].mean(0)
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_upper_half_of_the_layers_is_left_out_and_the_states_are_those_of_the_middle(
    tiny_model: Path,
) -> None:
    whole = loading.load(Preferring(model=str(tiny_model), tuning="full"), "reward").model
    half = loading.load(config(tiny_model), "reward").model
    assert (len(whole.model.layers), len(half.model.layers), half.config.num_hidden_layers) == (2, 1, 1)
    ids = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        middle = whole.base_model(input_ids=ids, output_hidden_states=True).hidden_states[1]
        assert torch.allclose(half.base_model(input_ids=ids).last_hidden_state, whole.model.norm(middle))


@pytest.mark.parametrize("stage", ["sft", "rl", "dpo"])
def test_tuning_the_head_is_for_preference_models_alone(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([stage, "--tuning", "head"])
    assert "invalid choice: 'head'" in capsys.readouterr().err


def test_a_preference_model_is_not_trained_on_four_bits(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["pm", "--tuning", "qlora"])
    assert "invalid choice: 'qlora'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["pm", "--help"])
    assert "no qlora" in " ".join(capsys.readouterr().out.split())


@pytest.mark.training
def test_a_head_learns_prefers_and_says_what_of_it_was_trained(tiny_model: Path, tmp_path: Path) -> None:
    folder = RunDir.open(tmp_path / "run", {"stage": "pm"}, {})
    assert preference.train(folder, config(tiny_model, heldout=0.3), preferences(40), {}) == 0
    pm = PreferenceModel(str(tmp_path / "run"))
    yes, no = pm.score([(ASKED, "yes yes 77"), (ASKED, "no no 77")])
    assert yes > no
    card = json.loads((tmp_path / "run" / "checkpoint" / "checkpoint.json").read_text())
    assert card["trained"] == pm.model.config.hidden_size
    assert card["figures"]["heldout"]["accuracy"]["value"] == 1.0


@pytest.mark.training
def test_what_was_read_of_other_layers_is_not_gone_on_with(tiny_model: Path, tmp_path: Path) -> None:
    def run() -> int:
        folder = RunDir.open(tmp_path / "run", {"stage": "pm"}, {})
        return preference.train(folder, config(tiny_model, heldout=0.0), preferences(40), {})

    def broken(*args: object) -> None:
        raise ValueError("no")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "fit", broken)
        with pytest.raises(ValueError, match="no"):
            run()
    [states] = (tmp_path / "run").rglob("states-1.npy")
    states.rename(states.with_name("states-2.npy"))
    with pytest.raises(UserError, match="another folder"):
        run()


@pytest.mark.training
def test_a_half_of_a_model_does_not_speak(tiny_model: Path, tmp_path: Path) -> None:
    folder = RunDir.open(tmp_path / "run", {"stage": "pm"}, {})
    assert preference.train(folder, config(tiny_model, heldout=0.0), preferences(20), {}) == 0
    with pytest.raises(UserError, match="can't speak"):
        loaded(str(tmp_path / "run"))


@pytest.mark.training
def test_a_model_that_reads_otherwise_once_it_is_saved_is_refused(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(self: head.HeadTrainer) -> None:
        fit(self)
        self.states *= 2

    fit = head.HeadTrainer._fit
    monkeypatch.setattr(head.HeadTrainer, "_fit", spoilt)
    folder = RunDir.open(tmp_path / "run", {"stage": "pm"}, {})
    with pytest.raises(UserError, match="choose --tuning lora"):
        preference.train(folder, config(tiny_model, heldout=0.0), preferences(20), {})


@pytest.mark.training
def test_a_run_that_is_stopped_goes_on_to_the_same_head(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str) -> int:
        folder = RunDir.open(tmp_path / name, {"stage": "pm"}, {})
        return preference.train(
            folder, config(tiny_model, heldout=0.0, save_every=2), preferences(40, 0.8), {}
        )

    assert run("whole") == 0
    asked = iter([False] * 3 + [True] * 99)
    with monkeypatch.context() as patch:
        patch.setattr(Stop, "is_set", lambda stop: next(asked))
        assert run("stopped") == 130
    assert run("stopped") == 0
    begun = [e["done"] for e in read_rows(tmp_path / "stopped" / "events.jsonl") if e["kind"] == "started"]
    assert begun == [0, 4]
    whole, stopped = (
        PreferenceModel(str(tmp_path / name)).model.score.weight for name in ("whole", "stopped")
    )
    assert torch.equal(whole, stopped)


@pytest.mark.training
def test_a_run_that_failed_while_it_was_fitted_is_fitted_when_it_goes_on(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> int:
        folder = RunDir.open(tmp_path / "run", {"stage": "pm"}, {})
        return preference.train(folder, config(tiny_model, heldout=0.0), preferences(40), {})

    def broken(*args: object) -> None:
        raise ValueError("no")

    with monkeypatch.context() as patch:
        patch.setattr(head, "fit", broken)
        with pytest.raises(ValueError, match="no"):
            run()
    assert run() == 0
    yes, no = PreferenceModel(str(tmp_path / "run")).score([(ASKED, "yes yes 77"), (ASKED, "no no 77")])
    assert yes > no


@pytest.mark.training
def test_what_begins_from_a_head_and_is_tuned_otherwise_scores_its_last_state(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = RunDir.open(tmp_path / "run", {"stage": "pm"}, {})
    assert preference.train(folder, config(tiny_model, heldout=0.0), preferences(20), {}) == 0
    assert getattr(PreferenceModel(str(tmp_path / "run")).model.config, AVERAGED)
    again = loading.load(Preferring(model=str(tmp_path / "run")), "reward")
    assert not hasattr(again.model.config, AVERAGED)
    assert len(loading.load(config(tmp_path / "run"), "reward").model.model.layers) == 1  # not halved again
