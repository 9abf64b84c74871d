"""Fixtures for all tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from pipeline import bundled
from pipeline.engines import (
    Cancelled,
    Completion,
    Context,
    Follow,
    Form,
    ModelInfo,
    OnText,
    Request,
    Score,
    ignore,
    never,
)
from pipeline.engines.flow import in_rounds
from pipeline.records import Constitution, Principle


class ScriptedEngine:
    """An engine that says what it is told to, word by word, and records what it was asked.

    `texts` are given out in order, one a request; then `last` for ever. An empty one is `empty`. With
    `draws`, the text that streamed is another draw's than the one that comes of it: a connection broke.
    """

    def __init__(
        self,
        *texts: str,
        name: str = "scripted",
        form: Form = "chat",
        last: str = "fine",
        skills: tuple[str, ...] = (),
        scores: bool = False,
        draws: tuple[str, ...] = (),
    ) -> None:
        self.requests: list[Request] = []
        self.info = ModelInfo(name, "r1", "scripted", "float32", "cpu", form, 0, skills, scores)
        self._texts: Iterator[str] = chain(texts, repeat(last))
        self._draws = iter(draws)

    def generate(
        self, requests: Sequence[Request], on_text: OnText = ignore, cancelled: Cancelled = never
    ) -> list[Completion]:
        self.requests += requests
        return [self._say(i, next(self._texts), on_text, cancelled) for i in range(len(requests))]

    def flow(
        self,
        requests: Sequence[Request],
        follow: Follow,
        on_text: OnText = ignore,
        cancelled: Cancelled = never,
    ) -> None:
        in_rounds(self.generate, requests, follow, on_text, cancelled)

    def _say(self, index: int, text: str, on_text: OnText, cancelled: Cancelled) -> Completion:
        said = ""
        for piece in text.split(" ") if text else ():
            if cancelled():
                return Completion(said, "cancelled", len(said.split()), 0.0)
            piece = f" {piece}" if said else piece
            said += piece
            on_text(index, piece)
        said = next(self._draws, said)
        return Completion(said, "stop" if said.strip() else "empty", len(said.split()), 0.0)

    def score(self, contexts: Sequence[Context], continuations: Sequence[str]) -> list[Score]:
        return [Score(-float(len(text)), len(text.split())) for text in continuations]

    def choose(self, contexts: Sequence[Context], options: Sequence[str]) -> list[list[float]]:
        return [[1 / len(options)] * len(options) for _ in contexts]


@pytest.fixture
def scripted() -> Callable[..., ScriptedEngine]:
    """Make a scripted engine: `scripted("one text", "the next", form="plain")`."""
    return ScriptedEngine


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data; a test that needs it is skipped where it is missing."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not here: {folder}")
    return folder


@pytest.fixture
def principled() -> Constitution:
    """Three principles, one of them heavy, one that only feedback can use."""
    return Constitution(
        name="test",
        principles=(
            Principle(
                "harm", "Harmless", critique_request="What is harmful?", revision_request="Remove harm."
            ),
            Principle(
                "honest",
                "Honest",
                weight=3.0,
                critique_request="What is false?",
                revision_request="Be honest.",
            ),
            Principle("kind", "Kind", comparison="Which is kinder?"),
        ),
    )


@pytest.fixture(scope="session")
def bundled_folder() -> Path:
    """The bundled model on this disk."""
    if not bundled.available():
        pytest.skip(f"needs the bundled model: {bundled.MISSING}")
    return bundled.folder()


@pytest.fixture(scope="session")
def bundled_engine(bundled_folder: Path) -> Any:
    """The bundled model, loaded."""
    from pipeline.engines.transformers import TransformersEngine

    return TransformersEngine("bundled")


@pytest.fixture(scope="session")
def bundled_torch_engine(bundled_folder: Path) -> Any:
    """The same, by torch alone."""
    from pipeline.engines.transformers import TransformersEngine

    return TransformersEngine("bundled", openvino=False)


@pytest.fixture(scope="session")
def tiny_model(bundled_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer model and the bundled tokenizer: loads at once, talks nonsense."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = AutoTokenizer.from_pretrained(bundled_folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,  # else all tokens are nearly as likely, and rounding decides
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def other_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with other random weights."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "other"
    torch.manual_seed(1)
    LlamaForCausalLM(LlamaConfig.from_pretrained(tiny_model)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


@pytest.fixture
def lora(tiny_model: Path, tmp_path: Path) -> Path:
    """An adapter of the tiny model with random weights, without a tokenizer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), config)
    model.save_pretrained(tmp_path / "lora")
    return tmp_path / "lora"


@pytest.fixture(scope="session")
def tiny_pm(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preference model with random weights, as a run's folder, with a card."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    run = tmp_path_factory.mktemp("runs") / "judge"
    torch.manual_seed(2)
    config = LlamaConfig.from_pretrained(tiny_model, num_labels=1)
    LlamaForSequenceClassification(config).save_pretrained(run / "checkpoint")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(run / "checkpoint")
    figures = {"heldout": {"accuracy": {"value": 0.6, "low": 0.5, "high": 0.7, "n": 100}}}
    card = {"method": "pm", "figures": figures, "lineage": {"sources": [{"written": "harmless"}]}}
    (run / "checkpoint" / "checkpoint.json").write_text(json.dumps(card))
    (run / "checkpoint" / "trained_on.json").write_text('["pair"]')
    (run / "config.yaml").write_text("stage: pm\n")
    return run


@pytest.fixture(scope="session")
def tiny_engine(tiny_model: Path) -> Any:
    """The tiny model in fp32, three sequences at a time."""
    import torch

    from pipeline.engines.transformers import TransformersEngine

    return TransformersEngine(str(tiny_model), slots=3, dtype=torch.float32)


@pytest.fixture(scope="session")
def torch_engine(tiny_model: Path) -> Any:
    """The same, by torch alone."""
    import torch

    from pipeline.engines.transformers import TransformersEngine

    return TransformersEngine(str(tiny_model), slots=3, dtype=torch.float32, openvino=False)
