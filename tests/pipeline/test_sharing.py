"""Common beginnings are computed once, and no likelihood changes for it."""

from __future__ import annotations

import random
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from pipeline.engines import Context, sharing  # noqa: E402

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "wizards", "brew"]


def asked(seed: int, count: int = 24) -> list[tuple[Context, str]]:
    """Contexts that begin alike here and there, with continuations of one word and of many."""
    draw = random.Random(seed)
    heads = [" ".join(draw.choices(WORDS, k=draw.randint(1, 40))) for _ in range(3)]
    return [
        (
            Context(prefill=" ".join([draw.choice(heads), *draw.choices(WORDS[:3], k=draw.randint(0, 9))])),
            " " + " ".join(draw.choices(WORDS[:3], k=draw.choice([1, 1, 2, 20]))),
        )
        for _ in range(count)
    ]


def logprobs(engine: Any, rows: list[tuple[Context, str]]) -> list[float]:
    return [s.logprob for s in engine.score([c for c, _ in rows], [t for _, t in rows])]


def whole(engine: Any, rows: list[tuple[Context, str]], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    with monkeypatch.context() as patch:
        patch.setattr(engine, "shares", False)
        return logprobs(engine, rows)


@pytest.mark.parametrize("row", [4, 30, 1024])
@pytest.mark.parametrize("at_once", [60, 4096])
def test_shared_is_equal_to_whole(
    torch_engine: Any, monkeypatch: pytest.MonkeyPatch, row: int, at_once: int
) -> None:
    monkeypatch.setattr(sharing, "ROW", row)
    monkeypatch.setattr(sharing, "AT_ONCE", at_once)
    for seed in range(3):
        rows = asked(seed)
        assert logprobs(torch_engine, rows) == pytest.approx(whole(torch_engine, rows, monkeypatch), abs=1e-4)
    assert torch_engine.shares is True


@pytest.mark.model
def test_shared_is_equal_to_whole_in_the_bundled_model(
    bundled_torch_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = asked(7, count=8)
    assert {len(text.split()) for _, text in rows} >= {1, 20}
    tokens = [len(bundled_torch_engine.encoder.tokens(text)) for _, text in rows]

    def a_token(logprobs: list[float]) -> list[float]:  # each adds the rounding of its own logits
        return [logprob / count for logprob, count in zip(logprobs, tokens, strict=True)]

    shared = a_token(logprobs(bundled_torch_engine, rows))
    assert shared == pytest.approx(a_token(whole(bundled_torch_engine, rows, monkeypatch)), abs=1e-4)
    letters = [(context, option) for context, _ in rows[:2] for option in (" (A)", " (B)")]
    expected = whole(bundled_torch_engine, letters, monkeypatch)
    assert logprobs(bundled_torch_engine, letters) == pytest.approx(expected, abs=1e-4)
    assert bundled_torch_engine.shares is True


def test_a_likelihood_does_not_depend_on_who_shares_the_call(torch_engine: Any) -> None:
    rows = asked(1)
    alone = [logprobs(torch_engine, [row])[0] for row in rows]
    assert logprobs(torch_engine, rows) == pytest.approx(alone, abs=1e-4)
    assert logprobs(torch_engine, rows[::-1]) == pytest.approx(alone[::-1], abs=1e-4)


def test_each_token_is_counted_once(torch_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(prefill=" ".join(WORDS))
    tokens = len(torch_engine.encode(context))
    scores = torch_engine.score([context] * 3, [" (A)", " (B)", " (A)"])
    # " (", "A" after the context; "B" for the second; the third is the first again.
    assert sorted(s.computed for s in scores) == [0, 1, tokens + 2]
    assert all(s.computed + s.saved == tokens + 2 for s in scores)
    monkeypatch.setattr(torch_engine, "shares", False)
    whole = torch_engine.score([context] * 3, [" (A)", " (B)", " (A)"])
    assert [(s.computed, s.saved) for s in whole] == [(tokens + 2, 0)] * 3


def test_more_sequences_than_one_tree_holds(torch_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = logprobs(torch_engine, asked(2))
    monkeypatch.setattr(sharing, "TOGETHER", 5)
    assert logprobs(torch_engine, asked(2)) == pytest.approx(expected, abs=1e-4)


def test_a_model_that_forgets_or_can_not_take_a_mask_is_asked_whole(torch_engine: Any) -> None:
    from transformers import BloomConfig, BloomForCausalLM, MistralConfig, MistralForCausalLM

    sizes: dict[str, Any] = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 32}
    sliding = MistralForCausalLM(MistralConfig(**sizes, **heads, sliding_window=4)).eval()
    positions_of_the_mask = BloomForCausalLM(BloomConfig(vocab_size=99, hidden_size=32, n_layer=2, n_head=4))
    with torch.inference_mode():
        assert not sharing.possible(sliding)
        assert not sharing.possible(positions_of_the_mask.eval())
        assert sharing.possible(torch_engine.model)
