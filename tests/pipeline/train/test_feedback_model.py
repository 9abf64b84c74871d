"""A feedback model: trained by the difference of two scores, it says them as the odds of Yes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from pipeline import constitution as constitutions
from pipeline import templates, written
from pipeline.__main__ import main
from pipeline.engines.opening import loaded
from pipeline.records import Message, Pair
from pipeline.rundir import RunDir
from pipeline.train import feedback_model, loading, preference
from pipeline.train.examples import Preference, preferred
from pipeline.train.saving import Origin
from pipeline.training_configs import Preferring

pytestmark = pytest.mark.training

ASKED = (Message("user", "How are you?"),)
PAIRS = [
    Preference(Pair(f"p{i}", f"q{i}", ASKED, f"fine fine {i}", f"bad bad {i}"), 1.0, "written", "Kind?")
    for i in range(12)
]


@pytest.fixture
def tied(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model, its words read and said by one matrix as the bundled one's are."""
    config = LlamaConfig.from_pretrained(tiny_model)
    config.tie_word_embeddings = True
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "tied")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "tied")
    return tmp_path / "tied"


def test_the_odds_of_yes_are_the_scores_of_the_model_that_was_trained(tied: Path, tmp_path: Path) -> None:
    from peft import get_peft_model

    start = loading.load(Preferring(model=str(tied), rank=4), "reward")
    feedback_model.begin(start)
    model = get_peft_model(start.model.float(), start.adapter)
    for name, weight in model.named_parameters():
        if weight.requires_grad:  # as training leaves them: in bf16's steps, which the saved ones have
            weight.data.add_(torch.randn_like(weight) * (0.02 if "lora" in name else 0.3))
            weight.data.copy_(weight.to(torch.bfloat16) if "lora" in name else weight)
    rows, _ = preferred(start.encoder, PAIRS, 512)
    with torch.inference_mode():
        scores = [
            model(input_ids=torch.tensor([row[side]])).logits.item()
            for row in rows
            for side in ("chosen_ids", "rejected_ids")
        ]
    feedback_model.save(model, start, tmp_path / "made", Origin("feedback", 1, {}))
    found = feedback_model.differences(loaded(str(tmp_path / "made")), PAIRS)
    assert found == pytest.approx(
        [a - b for a, b in zip(scores[::2], scores[1::2], strict=True)], rel=0.01, abs=0.02
    )  # Yes is kept in bf16, where that is fast


def test_what_is_learnt_is_said_and_measured(tied: Path, tmp_path: Path) -> None:
    config = Preferring(model=str(tied), learning_rate=1e-2, steps=30, batch=4, heldout=0.0)
    folder = RunDir.open(tmp_path / "run", {"stage": "pm"}, {})
    other = [replace(p, pair=replace(p.pair, id=f"o{p.pair.id}")) for p in PAIRS[:4]]
    assert preference.train(folder, config, PAIRS, {"sources": []}, {"others": other}) == 0
    card = json.loads((tmp_path / "run" / "checkpoint" / "checkpoint.json").read_text())
    assert (card["method"], card["figures"]["others"]["accuracy"]["value"]) == ("feedback", 1.0)
    assert min(feedback_model.differences(loaded(str(tmp_path / "run")), PAIRS)) > 1


def test_the_head_begins_as_yes_less_no(tied: Path) -> None:
    start = loading.load(Preferring(model=str(tied)), "reward")
    feedback_model.begin(start)
    words = start.model.get_input_embeddings().weight
    yes, no = (start.encoder.tokens(word)[0] for word in templates.VERDICTS)
    assert torch.equal(start.model.score.weight[0], words[yes] - words[no])


def test_the_command_makes_what_labels_and_says_under_what(
    tied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    words = ["--written", "helpful", "--under", "harmless", "--model", str(tied), "--steps", "2"]
    assert main(["pm", *words, "--batch", "2", "--heldout", "0.01", "--run", str(made)]) == 0
    constitution = constitutions.load(constitutions.find("harmless"))
    assert main(["lineage", str(made)]) == 0
    assert constitution.version[:8] in capsys.readouterr().out
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "How?", "chosen": "Gently.", "rejected": "Hard."}))
    labelled = ["--pairs", str(pairs), "--constitution", "harmless", "--method", "pointwise"]
    assert main(["label", *labelled, "--model", str(made), "--run", str(tmp_path / "labels")]) == 0
    [row] = (tmp_path / "labels" / "outputs" / "labels.jsonl").read_text().splitlines()
    assert json.loads(row)["method"] == "pointwise"


def test_what_can_not_be_is_said_before_anything_is_written(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pm", "--written", "helpful", "--under", "harmless", "--run", str(tmp_path / "run")]
    assert main([*words, "--model", str(tiny_model)]) == 2
    assert "one matrix" in capsys.readouterr().err
    assert main([*words, "--model", "bundled", "--tuning", "full"]) == 2
    assert "choose --tuning lora" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_each_pair_is_asked_about_by_a_principle_and_helpful_ones_by_what_evaluations_ask() -> None:
    constitution = constitutions.load(constitutions.find("harmless"))
    texts = {principle.comparison for principle in constitution.principles}
    harmless, helpful = (
        feedback_model.asked(written.preferences(axis, True)[:60], constitution, 0)
        for axis in ("harmless", "helpful")
    )
    assert {one.question for one in harmless} <= texts
    assert len({one.question for one in harmless}) > 10
    assert {one.question for one in helpful} == {templates.BETTER}
