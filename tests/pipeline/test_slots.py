"""What a prompt has in common with another is computed once, and no text changes for it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from pipeline.engines import Completion, Context, Request, Sampling, TooLong  # noqa: E402
from pipeline.engines.transformers import TransformersEngine  # noqa: E402

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "wizards", "brew"]
LONG = " ".join(WORDS * 10)
"""Longer than what a prompt waits for."""


def ask(text: str, tokens: int = 6) -> Request:
    return Request(Context(prefill=text), Sampling(max_tokens=tokens, temperature=0))


def texts(engine: Any, requests: list[Request]) -> list[str]:
    return [done.text for done in engine.generate(requests)]


@pytest.fixture
def computed(tiny_engine: Any) -> Any:
    """The shapes of what goes through the model."""
    shapes: list[tuple[int, int]] = []
    tiny_engine.generate([ask("a", 1)])  # whether it shares is tried once, with tokens of its own
    hook = tiny_engine.model.register_forward_pre_hook(
        lambda model, args, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    yield shapes
    hook.remove()


def test_the_common_beginning_goes_through_the_model_once(tiny_engine: Any, computed: Any) -> None:
    requests = [ask(f"{LONG} and then {word}") for word in WORDS]
    together = texts(tiny_engine, requests)
    entered = [rows * tokens for rows, tokens in computed if tokens > 1]
    assert entered[0] > 120  # one whole, the others' own words
    assert sum(entered[1:]) <= 2 * 3 * 12
    assert together == [texts(tiny_engine, [request])[0] for request in requests]


def test_what_follows_goes_on_from_what_its_slot_holds(tiny_engine: Any, computed: Any) -> None:
    said: list[list[str]] = [[] for _ in range(5)]

    def follow(chain: int, outcome: Completion | TooLong) -> Request | None:
        assert isinstance(outcome, Completion)
        said[chain].append(outcome.text)
        return ask(f"{chain} {LONG} so {outcome.text} at last") if len(said[chain]) == 1 else None

    tiny_engine.flow([ask(f"{chain} {LONG}") for chain in range(5)], follow)
    wide = [shape for shape in computed if shape[1] > 100]
    assert sum(rows for rows, _ in wide) == 5
    hold = [[*texts(tiny_engine, [ask(f"{chain} {LONG}")])] for chain in range(5)]
    alone = [
        [*first, *texts(tiny_engine, [ask(f"{i} {LONG} so {first[0]} at last")])]
        for i, first in enumerate(hold)
    ]
    assert said == alone


@pytest.mark.parametrize("seed", range(6))
def test_any_mix_of_prompts_reads_as_alone(tiny_engine: Any, seed: int) -> None:
    draw = random.Random(seed)
    heads = [" ".join(draw.choices(WORDS, k=draw.choice([3, 70, 150]))) for _ in range(3)]
    requests = [
        ask(
            f"{draw.choice(heads)} {' '.join(draw.choices(WORDS[:3], k=draw.randint(0, 20)))}",
            draw.randint(1, 12),
        )
        for _ in range(14)
    ]
    assert texts(tiny_engine, requests) == [texts(tiny_engine, [request])[0] for request in requests]


def test_a_model_that_can_not_share_runs_in_rounds(tiny_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [ask(f"{LONG[: 9 * i]} go", 1 + i % 4) for i in range(8)]
    shared = texts(tiny_engine, requests)
    monkeypatch.setattr(tiny_engine, "shares", False)
    assert texts(tiny_engine, requests) == shared


def test_a_model_that_sees_a_window_writes_as_it_does_alone(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        sliding_window=8,
    )
    MistralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = TransformersEngine(str(tmp_path), slots=3, dtype=torch.float32)
    [text] = texts(engine, [ask(LONG)])
    ids = torch.tensor([engine.encode(Context(prefill=LONG))])
    out = engine.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=6)
    assert engine.shares is False
    assert text == engine.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    assert texts(engine, [ask(f"{LONG} {i}") for i in range(5)])[2] == texts(engine, [ask(f"{LONG} 2")])[0]
