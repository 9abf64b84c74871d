"""What a prompt has in common with another is computed once, and no text changes for it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from pipeline.engines import Completion, Context, Request, Sampling, TooLong  # noqa: E402
from pipeline.engines.decoding import Row  # noqa: E402
from pipeline.engines.transformers import TransformersEngine  # noqa: E402

WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "while", "wizards", "brew"]
LONG = " ".join(WORDS * 10)
"""Longer than what a prompt waits for."""


@pytest.fixture(params=["torch_engine", "tiny_engine"])
def engine(request: pytest.FixtureRequest) -> Any:
    """The tiny model: keys in torch's slots, then in OpenVINO's blocks."""
    return request.getfixturevalue(request.param)


def ask(text: str, tokens: int = 6) -> Request:
    return Request(Context(prefill=text), Sampling(max_tokens=tokens, temperature=0))


def texts(engine: Any, requests: list[Request]) -> list[str]:
    return [done.text for done in engine.generate(requests)]


@pytest.fixture
def computed(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens of each prompt go through the model."""
    counts: list[int] = []
    engine.generate([ask("a", 1)])  # whether it shares, and says the same, is tried once
    if engine.paged:
        begin = engine.paged.begin

        def began(ids: list[int]) -> Any:
            passage = begin(ids)
            counts.append(len(ids) - passage.done)
            return passage

        monkeypatch.setattr(engine.paged, "begin", began)
    else:
        from pipeline.engines.slots import Slots

        place = Slots._place

        def placed(slots: Slots, entering: list[Row]) -> list[int]:
            shared = place(slots, entering)
            counts.extend(len(row.ids) - count for row, count in zip(entering, shared, strict=True))
            return shared

        monkeypatch.setattr(Slots, "_place", placed)
    return counts


def test_the_common_beginning_goes_through_the_model_once(engine: Any, computed: list[int]) -> None:
    requests = [ask(f"Once {LONG} and then {word}") for word in WORDS]
    together = texts(engine, requests)
    assert max(computed) > 120  # one whole, the others' own words
    assert sorted(computed)[-2] < 40
    assert together == [texts(engine, [request])[0] for request in requests]


def test_what_follows_goes_on_from_what_its_slot_holds(engine: Any, computed: list[int]) -> None:
    said: list[list[str]] = [[] for _ in range(5)]

    def follow(chain: int, outcome: Completion | TooLong) -> Request | None:
        assert isinstance(outcome, Completion)
        said[chain].append(outcome.text)
        return ask(f"{chain} {LONG} so {outcome.text} at last") if len(said[chain]) == 1 else None

    engine.flow([ask(f"{chain} {LONG}") for chain in range(5)], follow)
    assert sum(count > 100 for count in computed) == 5
    first = [texts(engine, [ask(f"{chain} {LONG}")])[0] for chain in range(5)]
    second = [texts(engine, [ask(f"{i} {LONG} so {text} at last")])[0] for i, text in enumerate(first)]
    assert said == [list(both) for both in zip(first, second, strict=True)]


def test_what_a_slot_held_after_another_beginning_is_no_longer_there(engine: Any) -> None:
    # As long a beginning, then a tail as before: its keys were made after the other words.
    fox, dog = (f"Once{f' {word}' * 90}" for word in ("fox", "dog"))
    prompts = [f"{fox} {LONG} a", f"{dog}", f"{dog} {LONG} b"]
    said: list[str] = []

    def follow(chain: int, outcome: Completion | TooLong) -> Request | None:
        assert isinstance(outcome, Completion)
        said.append(outcome.text)
        return ask(prompts[len(said)], 1 if len(said) == 1 else 6) if len(said) < 3 else None

    engine.flow([ask(prompts[0], 1)], follow)
    assert said[2] == texts(engine, [ask(prompts[2])])[0]


def test_a_long_prompt_goes_in_by_pieces(tiny_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = ask(f"{LONG} {LONG} fox", 6)
    expected = texts(tiny_engine, [request])
    monkeypatch.setattr("pipeline.engines.paged.AT_ONCE", 64)
    fresh = TransformersEngine(tiny_engine.info.name, slots=3, dtype=torch.float32)
    assert texts(fresh, [ask("a"), request, ask("b")])[1:2] == expected
    assert not any(fresh.paged.blocks.users)


@pytest.mark.parametrize("seed", range(6))
def test_any_mix_of_prompts_reads_as_alone(engine: Any, seed: int) -> None:
    draw = random.Random(seed)
    heads = [" ".join(draw.choices(WORDS, k=draw.choice([3, 70, 150]))) for _ in range(3)]
    requests = [
        ask(
            f"{draw.choice(heads)} {' '.join(draw.choices(WORDS[:3], k=draw.randint(0, 20)))}",
            draw.randint(1, 12),
        )
        for _ in range(14)
    ]
    assert texts(engine, requests) == [texts(engine, [request])[0] for request in requests]


def test_a_batch_that_is_refilled_for_long_keeps_only_what_its_rows_need(torch_engine: Any) -> None:
    widths = []
    hook = torch_engine.model.register_forward_pre_hook(
        lambda model, args, given: widths.append(given["attention_mask"].shape[-1]), with_kwargs=True
    )
    try:
        torch_engine.generate([ask("a", 4 + i % 3) for i in range(40)])
    finally:
        hook.remove()
    assert max(widths) < 20


def test_a_model_that_can_not_share_runs_in_rounds(
    torch_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [ask(f"{LONG[: 9 * i]} go", 1 + i % 4) for i in range(8)]
    shared = texts(torch_engine, requests)
    monkeypatch.setattr(torch_engine, "shares", False)
    assert texts(torch_engine, requests) == shared


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
