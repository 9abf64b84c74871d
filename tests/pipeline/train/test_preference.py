"""The preference model: its soft loss, what it learns, and what is saved of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.errors import UserError
from pipeline.events import metrics
from pipeline.preference_model import PreferenceModel
from pipeline.records import Message, Pair
from pipeline.rundir import RunDir
from pipeline.train import dpo, loading, preference, saving
from pipeline.train.examples import Preference
from pipeline.training_configs import Direct, Preferring, Supervised

pytestmark = pytest.mark.training

ASKED = (Message("user", "How are you?"),)


def preferences(p: float, many: int = 12) -> list[Preference]:
    """Pairs whose response a says yes; with probability p it is the better one."""
    return [
        Preference(Pair(f"p{i}", f"q{i}", ASKED, f"yes yes {i}", f"no no {i}"), p, "ai") for i in range(many)
    ]


def to_other_prompts(labels: Sequence[Preference]) -> list[Preference]:
    """The same pairs, each of a prompt of its own: these are learnt or held out whole."""
    asked = [(Message("user", f"How is {i}?"),) for i in range(len(labels))]
    return [replace(p, pair=replace(p.pair, messages=one)) for p, one in zip(labels, asked, strict=True)]


@pytest.fixture
def train(tiny_model: Path, tmp_path: Path) -> Callable[..., PreferenceModel]:
    """Train the tiny model on preferences; the preference model that comes of it."""

    def go(labels: Sequence[Preference], **more: Any) -> PreferenceModel:
        settings = {"tuning": "full", "learning_rate": 3e-3, "steps": 30, "batch": 4, "heldout": 0.0, **more}
        config = Preferring(model=str(tiny_model), **settings)
        folder = RunDir.open(tmp_path / "run", {"stage": "pm"}, {})
        assert preference.train(folder, config, labels, {"labels": ["here"]}) == 0
        return PreferenceModel(str(tmp_path / "run"))

    return go


def difference(pm: PreferenceModel) -> float:
    yes, no = pm.score([(ASKED, "yes yes 3"), (ASKED, "no no 3")])
    return yes - no


def test_certain_labels_pull_the_scores_apart_and_even_ones_do_not(
    train: Callable[..., PreferenceModel], tmp_path: Path
) -> None:
    assert difference(train(preferences(1.0))) > 2
    (tmp_path / "run").rename(tmp_path / "first")
    assert abs(difference(train(preferences(0.5)))) < 0.2


def test_soft_labels_are_learnt_as_the_probabilities_that_they_are(
    train: Callable[..., PreferenceModel],
) -> None:
    d = difference(train(preferences(0.8), steps=60))
    assert abs(d - math.log(0.8 / 0.2)) < 0.4  # the loss is least where σ(d) = p


def test_the_side_a_label_favours_does_not_matter(train: Callable[..., PreferenceModel]) -> None:
    assert difference(train(preferences(0.0))) < -2


@pytest.mark.parametrize("p", [1.0, 0.9, 0.5])
def test_the_loss_equals_its_closed_form(p: float, tmp_path: Path, tiny_model: Path) -> None:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    model = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model.config.pad_token_id = tokenizer.pad_token_id
    rows = Dataset.from_list([{"chosen_ids": [5, 6, 7], "rejected_ids": [8, 9], "p": p}])
    args = RewardConfig(output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False)

    def loss(trainer: type, collator: Any) -> float:
        made = trainer(
            model=model, args=args, train_dataset=rows, processing_class=tokenizer, data_collator=collator
        )
        batch = next(iter(made.get_train_dataloader()))
        return float(made.compute_loss(made.model, batch))

    collator = preference.soft_collator()(pad_token_id=tokenizer.pad_token_id)
    ours = loss(preference.soft_trainer(), collator)
    with torch.no_grad():
        ids = torch.tensor([[5, 6, 7], [8, 9, tokenizer.pad_token_id]])
        mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
        scores = model(input_ids=ids, attention_mask=mask).logits[:, 0]
        d = float(scores[0] - scores[1])
    sigmoid = 1 / (1 + math.exp(-d))
    assert ours == pytest.approx(-(p * math.log(sigmoid) + (1 - p) * math.log(1 - sigmoid)), abs=1e-5)
    if p == 1:
        assert ours == pytest.approx(loss(RewardTrainer, None), abs=1e-6)


def test_a_checkpoint_says_what_it_came_from_and_scores_the_same_when_loaded_again(
    train: Callable[..., PreferenceModel], tmp_path: Path, tiny_model: Path
) -> None:
    pm = train(to_other_prompts(preferences(0.9)), tuning="lora", heldout=0.3)
    card = json.loads((tmp_path / "run" / "checkpoint" / "checkpoint.json").read_text())
    assert (card["method"], card["base"], card["step"]) == ("pm", str(tiny_model), 30)
    assert 576 < card["trained"] < card["parameters"]  # the head's 576 and the matrices that were merged
    assert card["lineage"] == {"labels": ["here"]}
    learnt = json.loads((tmp_path / "run" / "checkpoint" / "trained_on.json").read_text())
    assert 0 < len(learnt) == card["figures"]["pairs"] < 12
    again = PreferenceModel(str(tmp_path / "run" / "checkpoint"))
    assert pm.score([(ASKED, "yes")]) == again.score([(ASKED, "yes")])
    assert list((tmp_path / "run" / "checkpoint").glob("*.safetensors"))
    assert not list((tmp_path / "run" / "checkpoint").rglob("*.bin"))


def test_a_run_that_failed_after_its_last_step_takes_no_step_more(
    train: Callable[..., PreferenceModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise UserError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(preference, "save_merged", full)
        with pytest.raises(UserError, match="disk"):
            train(preferences(1.0), save_every=10)
    checkpoint = tmp_path / "run" / "checkpoints" / "checkpoint-30"
    assert json.loads((checkpoint / "trainer_state.json").read_text())["global_step"] == 30
    assert difference(train(preferences(1.0), save_every=10)) > 2
    assert json.loads((tmp_path / "run" / "checkpoint" / "checkpoint.json").read_text())["step"] == 30


def test_the_accuracy_on_dpos_card_is_of_a_tenth_of_its_steps(tiny_model: Path, tmp_path: Path) -> None:
    config = Direct(model=str(tiny_model), tuning="full", steps=11, batch=2, learning_rate=1e-4)
    folder = RunDir.open(tmp_path / "run", {"stage": "dpo"}, {})
    assert dpo.train(folder, config, preferences(1.0), {}) == 0
    name = "rewards/accuracies"
    told = [values[name] for _, values in metrics(folder.events) if name in values]
    figures = json.loads((tmp_path / "run" / "checkpoint" / "checkpoint.json").read_text())["figures"]
    assert figures == {"accuracy_first": sum(told[:2]) / 2, "accuracy_last": sum(told[-2:]) / 2}


def test_no_prompt_is_both_learnt_and_held_out() -> None:
    # Whatever ids it has in the files that it is in.
    asked = [(Message("user", f"q{i // 2}"),) for i in range(200)]
    twice = [Preference(Pair(f"{i}", f"id{i}", asked[i], "a", "b"), 1.0, "ai") for i in range(200)]
    learnt, kept = preference.held_out(twice, 0.2, seed=1)
    assert len(learnt) + len(kept) == 200
    assert 20 <= len(kept) <= 60
    assert not {p.pair.messages for p in learnt} & {p.pair.messages for p in kept}


def test_figures_of_pairs_apart_are_on_the_card(
    train: Callable[..., PreferenceModel], tmp_path: Path
) -> None:
    train(to_other_prompts(preferences(1.0, 40)), heldout=0.3)
    figures = json.loads((tmp_path / "run" / "checkpoint" / "checkpoint.json").read_text())["figures"]
    assert figures["heldout"]["accuracy"]["value"] == 1.0
    assert figures["heldout"]["pairs"] + figures["pairs"] == 40


def test_a_tie_favours_neither_side_so_that_a_hard_target_has_none(
    train: Callable[..., PreferenceModel], tmp_path: Path
) -> None:
    train([*preferences(0.7), *preferences(0.5, 5)], targets="hard", steps=1)
    card = json.loads((tmp_path / "run" / "checkpoint" / "checkpoint.json").read_text())
    assert card["figures"]["pairs"] == 12


def test_pairs_that_are_learnt_from_are_not_measured_on() -> None:
    learnt = preferences(1.0)
    with pytest.raises(UserError, match=r"mine.jsonl: 3 of its pairs are learnt from too"):
        preference.require_apart(learnt, {"heldout": [], "mine.jsonl": learnt[:3]})


def test_what_the_pm_that_it_starts_from_has_learnt_counts_as_learnt(
    train: Callable[..., PreferenceModel], tmp_path: Path
) -> None:
    train(preferences(1.0), steps=1)
    first = (tmp_path / "run").rename(tmp_path / "first")
    others = [replace(p, pair=replace(p.pair, id=f"other {p.pair.id}")) for p in preferences(1.0)]
    config = Preferring(model=str(first), tuning="full", steps=1, batch=4, heldout=0.0)
    folder = RunDir.open(tmp_path / "second", {"stage": "pm"}, {})
    with pytest.raises(UserError, match=r"mine\.jsonl: 12 of its pairs"):
        preference.train(folder, config, others, {}, {"mine.jsonl": preferences(1.0)})
    assert preference.train(folder, config, others, {}) == 0
    assert len(preference.trained_on(str(tmp_path / "second"))) == 24
    with pytest.raises(UserError, match="shares 12 training pairs"):
        preference.apart(str(tmp_path / "second"), str(first))


def test_accuracy_on_the_way_is_of_all_pairs_alike_where_they_fill_no_batch(
    train: Callable[..., PreferenceModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt, (last, *_) = preferences(1.0), preferences(0.0)
    kept = [*preferences(1.0, 8), replace(last, pair=replace(last.pair, id="against what is learnt"))]
    monkeypatch.setattr(preference, "held_out", lambda *_: (learnt, kept))
    monkeypatch.setattr(preference, "require_apart", lambda *_: None)
    train(learnt, batch=8, save_every=30)
    values = dict(metrics(tmp_path / "run" / "events.jsonl"))[30]
    assert values["eval_accuracy"] == pytest.approx(8 / 9)


def test_what_lora_learnt_is_in_the_merged_checkpoint(train: Callable[..., PreferenceModel]) -> None:
    assert difference(train(preferences(1.0), tuning="lora", learning_rate=1e-2)) > 2


def test_a_small_change_is_whole_in_the_merged_checkpoint(tiny_model: Path, tmp_path: Path) -> None:
    from peft import get_peft_model

    start = loading.load(Preferring(model=str(tiny_model)), "reward")
    model = get_peft_model(start.model, start.adapter).float()
    with torch.no_grad():
        for name, matrix in model.named_parameters():
            if "lora_B" in name:
                matrix.normal_(std=1e-4)
    ids = start.encoder.tokenizer("yes, and no", return_tensors="pt").input_ids
    before = model.eval()(ids).logits
    saving.save_merged(model, start, tmp_path / "pm", saving.Origin("pm", 1, {}))
    assert torch.allclose(PreferenceModel(str(tmp_path / "pm")).model(ids).logits, before, atol=1e-6)


def test_an_adapter_that_a_reward_starts_from_is_merged_whole_where_bf16_is_fast(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import get_peft_model

    monkeypatch.setattr("pipeline.engines.transformers.fast_in_bf16", lambda device: False)
    start = loading.load(Supervised(model=str(tiny_model)), "language")
    adapter = get_peft_model(start.model, start.adapter)
    with torch.no_grad():
        for name, matrix in adapter.named_parameters():
            if "lora_B" in name:
                matrix.normal_(std=1e-4)
    saving.save_policy(adapter, start, tmp_path / "sft", saving.Origin("sft", 1, {}))
    monkeypatch.setattr("pipeline.engines.transformers.fast_in_bf16", lambda device: True)
    merged = loading.load(Preferring(model=str(tmp_path / "sft")), "reward").model
    ids = torch.tensor([[1, 2, 3]])
    body = adapter.eval().get_base_model().model(ids).last_hidden_state
    assert torch.allclose(merged.eval().model(ids).last_hidden_state, body, atol=1e-4)


def test_a_preference_model_that_lora_goes_on_from_keeps_its_weights_where_bf16_is_fast(
    train: Callable[..., PreferenceModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(preferences(1.0), steps=1)
    monkeypatch.setattr("pipeline.engines.transformers.fast_in_bf16", lambda device: True)
    going_on = loading.load(Preferring(model=str(tmp_path / "run")), "reward").model
    kept = PreferenceModel(str(tmp_path / "run")).model.state_dict()
    assert all(torch.equal(weight, kept[name].cpu()) for name, weight in going_on.state_dict().items())


def test_the_head_is_trained_in_fp32_on_a_body_in_bf16(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import get_peft_model

    monkeypatch.setattr("pipeline.engines.transformers.fast_in_bf16", lambda device: True)
    start = loading.load(Preferring(model=str(tiny_model)), "reward")
    model = get_peft_model(start.model, start.adapter)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert model(torch.tensor([[1, 2, 3]])).logits.dtype == torch.float32
