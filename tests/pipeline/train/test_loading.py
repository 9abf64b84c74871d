"""What training refuses to start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import heads
from pipeline.engines import EngineError
from pipeline.train.loading import load
from pipeline.training_configs import Supervised


def test_a_preference_model_is_not_trained_as_a_language_model(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    scores = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=1)
    scores.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    with pytest.raises(EngineError, match=r"weights lack lm_head\.weight"):
        load(Supervised(model=str(tmp_path)), "language")


def test_the_lower_half_of_a_model_is_not_trained_as_a_language_model(
    tiny_model: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    heads.keep_lower(model, 1)
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    with pytest.raises(EngineError, match="lower half of a model, which scores and can't speak"):
        load(Supervised(model=str(tmp_path)), "language")
