"""A feedback model: a head that reads a principle's question before a response, and labels by its scores."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import constitution as constitutions
from pipeline import heads, templates, written
from pipeline.__main__ import main
from pipeline.engines import EngineError
from pipeline.engines.opening import loaded
from pipeline.errors import UserError
from pipeline.evaluate_command import is_preference_model
from pipeline.preference_model import PreferenceModel
from pipeline.records import Message, Pair
from pipeline.rundir import RunDir
from pipeline.train import exporting, feedback_model, loading, preference
from pipeline.train.examples import Preference
from pipeline.training_configs import Preferring, Supervised

pytestmark = pytest.mark.training

ASKED = (Message("user", "How are you?"),)
PAIRS = [
    Preference(Pair(f"p{i}", f"q{i}", asked, f"fine fine {i}", f"bad bad {i}"), 1.0, "written", "Kind?")
    for i, asked in ((i, (Message("user", f"How are you, {i}?"),)) for i in range(12))
]


@pytest.fixture
def made(tiny_model: Path, tmp_path: Path) -> Path:
    """A run that has learnt those pairs, and measured itself on four of them under other names."""
    config = Preferring(model=str(tiny_model), tuning="head", batch=4, heldout=0.0)
    folder = RunDir.open(tmp_path / "run", {"stage": "pm"}, {})
    other = [replace(p, pair=replace(p.pair, id=f"o{p.pair.id}")) for p in PAIRS[:4]]
    assert preference.train(folder, config, PAIRS, {"sources": []}, {"others": other}) == 0
    return tmp_path / "run"


def test_what_is_learnt_is_said_and_measured(made: Path) -> None:
    card = json.loads((made / "checkpoint" / "checkpoint.json").read_text())
    assert (card["method"], card["figures"]["others"]["accuracy"]["value"]) == ("feedback", 1.0)
    assert min(feedback_model.differences(loaded(str(made)), PAIRS)) > 1


def test_its_folder_is_the_head_alone_and_is_known_from_its_base(made: Path) -> None:
    weights = sum(path.stat().st_size for path in (made / "checkpoint").glob("*.safetensors"))
    assert weights < 1000
    assert not list((made / "checkpoint").glob("config.json"))


def test_the_question_comes_before_the_response_and_changes_its_score(made: Path) -> None:
    engine = loaded(str(made))
    contexts = [templates.chosen("chat", ASKED, question) for question in ("Kind?", "Short?")]
    kind, short = engine.score(contexts, ["fine fine 1"] * 2)
    assert kind.logprob != short.logprob
    assert kind.tokens == short.tokens


def test_a_pair_that_is_too_long_has_no_difference_and_the_others_have(made: Path) -> None:
    long = replace(PAIRS[1].pair, response_a="fine " * 5000)
    first, none, last = feedback_model.differences(
        loaded(str(made)), [PAIRS[0], replace(PAIRS[1], pair=long), PAIRS[2]]
    )
    assert np.isnan(none)
    assert min(first, last) > 1


def test_it_writes_nothing_and_nothing_is_trained_from_it(made: Path) -> None:
    with pytest.raises(EngineError, match="writes none"):
        loaded(str(made)).generate([])
    with pytest.raises(UserError, match="the model that it stands on"):
        loading.load(Supervised(model=str(made)), "language")


def test_it_is_no_preference_model_and_can_not_be_merged(made: Path, tmp_path: Path) -> None:
    assert not is_preference_model(str(made))
    with pytest.raises(EngineError, match="reads a principle before an answer"):
        PreferenceModel(str(made))
    with pytest.raises(UserError, match="export it as it is"):
        exporting.export(made, tmp_path / "whole", merged=True)
    exporting.export(made, tmp_path / "as-it-is", merged=False)
    assert min(feedback_model.differences(loaded(str(tmp_path / "as-it-is")), PAIRS)) > 1


def test_a_base_without_a_padding_token_will_do(tiny_model: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    folder = RunDir.open(tmp_path / "run", {"stage": "pm"}, {})
    settings = Preferring(model=str(base), tuning="head", batch=4, heldout=0.3)
    several = [replace(p, pair=replace(p.pair, response_b=p.pair.response_b * 3)) for p in PAIRS]
    assert preference.train(folder, settings, several, {"sources": []}) == 0


def test_a_head_that_fits_another_model_is_told(made: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"score.weight": torch.zeros(1, 3)}, made / "checkpoint" / heads.WEIGHTS)
    with pytest.raises(EngineError, match="no head for this model"):
        loaded(str(made))


def test_the_command_makes_what_labels_and_says_under_what(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    words = ["--written", "helpful", "--under", "harmless", "--model", str(tiny_model), "--tuning", "head"]
    short = ["--steps", "2", "--batch", "2", "--heldout", "0.01", "--max-length", "4096"]
    assert main(["pm", *words, *short, "--run", str(made)]) == 0
    constitution = constitutions.load(constitutions.find("harmless"))
    assert main(["lineage", str(made)]) == 0
    assert constitution.version[:8] in capsys.readouterr().out
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "How?", "chosen": "Gently.", "rejected": "Hard."}))
    labelled = ["label", "--pairs", str(pairs), "--constitution", "harmless", "--model", str(made)]
    assert main([*labelled, "--run", str(tmp_path / "labels")]) == 0
    [row] = (tmp_path / "labels" / "outputs" / "labels.jsonl").read_text().splitlines()
    assert json.loads(row)["p_ab"] == json.loads(row)["p_ba"]
    assert main([*labelled, "--method", "choice", "--run", str(tmp_path / "others")]) == 2
    assert "its method is pointwise" in capsys.readouterr().err


def test_what_can_not_be_is_said_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pm", "--written", "helpful", "--under", "harmless", "--run", str(tmp_path / "run")]
    assert main([*words, "--model", "bundled", "--tuning", "full"]) == 2
    assert "choose --tuning head" in capsys.readouterr().err
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
