"""Sampling, and the text of a row as its tokens come in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from pipeline.engines import Sampling  # noqa: E402
from pipeline.engines.decoding import Row, sample  # noqa: E402

EOS = 2


@pytest.fixture(scope="session")
def byte_level(tiny_model: Path) -> Any:
    """GPT-2's kind: every token is bytes."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


@pytest.fixture(scope="session")
def byte_fallback(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Llama 2's kind: words with a leading mark, and a token for each byte of what is no word."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    words = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{i:02X}>" for i in range(256)),
        "▁",
        "▁a",
        "b",
        "▁the",
        "é",
        "\ufffd",
    ]
    tokenizer = Tokenizer(
        models.BPE({w: i for i, w in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def row(tokenizer: Any, **sampling: Any) -> Row:
    chosen = Sampling(**{"max_tokens": 10_000, **sampling})
    return Row(0, [1], chosen, tokenizer, frozenset({EOS}), torch.Generator())


def stream(tokenizer: Any, tokens: list[int], **sampling: Any) -> tuple[list[str], Row]:
    taking = row(tokenizer, **sampling)
    pieces = []
    for token in tokens:
        if not taking.finish:
            pieces.append(taking.take(token))
    return pieces, taking


def whole(tokenizer: Any, tokens: list[int]) -> str:
    text: str = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


@settings(max_examples=100, deadline=None)
@given(tokens=st.lists(st.integers(3, 49151) | st.integers(3, 400), max_size=40))
def test_any_tokens_stream_as_they_decode_at_once(byte_level: Any, tokens: list[int]) -> None:
    pieces, done = stream(byte_level, [*tokens, EOS])
    assert "".join(pieces) == done.text == done.completion().text
    # Half a character at the end is never shown, nor a blank that is of one token with it.
    at_once = whole(byte_level, tokens)
    kept = at_once.rstrip("\ufffd")
    assert done.text.rstrip("\ufffd") in ({kept} if kept == at_once else {kept, kept.rstrip(" ")})


@settings(max_examples=100, deadline=None)
@given(
    text=st.lists(
        st.sampled_from(["▁", "▁a", "b", "▁the", "é", *"😀🎉漢字ü"]) | st.characters(codec="utf-8"),
        max_size=30,
    )
)
def test_text_spelled_in_bytes_streams_as_it_is(byte_fallback: Any, text: list[str]) -> None:
    vocabulary = byte_fallback.get_vocab()
    tokens = [
        t
        for part in text
        for t in ([vocabulary[part]] if part in vocabulary else [b + 3 for b in part.encode()])
    ]
    pieces, done = stream(byte_fallback, [*tokens, EOS])
    expected = "".join(text).replace("▁", " ")
    assert "".join(pieces) == done.text
    # A real U+FFFD at the very end looks like half a character.
    assert done.text.rstrip("\ufffd") == expected.removeprefix(" ").rstrip("\ufffd")


def test_an_emoji_comes_whole(byte_level: Any) -> None:
    tokens = byte_level("ok 👩‍🚀🎉 go", add_special_tokens=False)["input_ids"]
    pieces, _ = stream(byte_level, [*tokens, EOS])
    assert "".join(pieces) == "ok 👩‍🚀🎉 go"
    assert not any("\ufffd" in piece for piece in pieces)
    assert "" in pieces  # while a character was half there


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(st.sampled_from("ab \nHuman:"), max_size=40),
    stop=st.text("ab \nHu", min_size=1, max_size=6) | st.just("\n\nHuman:"),
)
def test_nothing_of_a_stop_string_is_shown(byte_level: Any, text: str, stop: str) -> None:
    tokens = byte_level(text, add_special_tokens=False)["input_ids"]
    pieces, done = stream(byte_level, [*tokens, EOS], stop=(stop,))
    assert "".join(pieces) == done.text == text.split(stop)[0]
    assert done.finish == "stop"


def test_a_stop_string_split_over_tokens(byte_level: Any) -> None:
    tokens = [t for c in "Yes.\n\nHuman: more" for t in byte_level(c, add_special_tokens=False)["input_ids"]]
    pieces, done = stream(byte_level, tokens, stop=("\n\nHuman:",))
    assert "".join(pieces) == done.text == "Yes."
    assert len(done.new) == len("Yes.\n\nHuman:")


def test_what_only_began_like_a_stop_string_is_shown_in_the_end(byte_level: Any) -> None:
    tokens = byte_level("Yes.\n\nHum", add_special_tokens=False)["input_ids"]
    pieces, done = stream(byte_level, tokens, stop=("\n\nHuman:",), max_tokens=len(tokens))
    assert ("".join(pieces), done.finish) == ("Yes.\n\nHum", "length")


def test_only_space_counts_as_empty(byte_level: Any) -> None:
    _, done = stream(byte_level, [*byte_level("\n \n", add_special_tokens=False)["input_ids"], EOS])
    assert done.completion().finish == "empty"
    _, done = stream(byte_level, [EOS])
    assert (done.completion().finish, done.completion().tokens) == ("empty", 0)


LOGITS = [2.0, 1.0, 0.5, 0.0, -1.0, -30.0]


def drawn(n: int = 8000, **sampling: Any) -> Any:
    """The share of each token in n draws."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.tensor([LOGITS] * n)
    tokens = sample(logits, [Sampling(**sampling)] * n, [generator] * n)
    return torch.bincount(tokens, minlength=len(LOGITS)) / n


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_draws_the_softmax(temperature: float) -> None:
    expected = torch.softmax(torch.tensor(LOGITS) / temperature, 0)
    assert torch.allclose(drawn(temperature=temperature), expected, atol=0.015)


@pytest.mark.parametrize(("top_p", "kept"), [(0.01, 1), (0.5, 1), (0.58, 2), (0.9, 4), (0.999999, 5)])
def test_top_p_draws_from_the_smallest_set_that_reaches_it(top_p: float, kept: int) -> None:
    expected = torch.softmax(torch.tensor(LOGITS), 0)
    expected[kept:] = 0
    assert torch.allclose(drawn(top_p=top_p), expected / expected.sum(), atol=0.015)


def test_what_is_as_likely_as_the_last_of_that_set_is_drawn_too() -> None:
    logits = torch.tensor([[1.0, 0.0, 0.0, 0.0, -1.0]] * 4000)
    sampling, generator = Sampling(top_p=0.6), torch.Generator().manual_seed(1)
    tokens = sample(logits, [sampling] * 4000, [generator] * 4000)
    assert set(tokens.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(("spread", "top_p"), [(0.1, 0.9), (1.0, 0.9), (3.0, 0.99), (9.0, 0.5)])
def test_top_p_of_a_large_vocabulary_is_that_of_a_whole_sort(spread: float, top_p: float) -> None:
    logits = spread * torch.randn(8, 9000, generator=torch.Generator().manual_seed(0))
    likely, order = torch.softmax(logits.double(), -1).sort(descending=True)
    inside = torch.zeros_like(likely).scatter(1, order, (likely.cumsum(-1) - likely < top_p).double())
    for seed in range(20):
        generators = [torch.Generator().manual_seed(seed)] * 8
        tokens = sample(logits, [Sampling(top_p=top_p)] * 8, generators)
        assert inside.gather(1, tokens[:, None]).all()
        uniform = torch.Generator().manual_seed(seed)
        mass = (torch.softmax(logits.double(), -1) * inside).cumsum(-1)
        for row, token in zip(mass, tokens, strict=True):  # where it stands in the vocabulary's order
            at = torch.rand((), generator=uniform, dtype=torch.float64) * row[-1]
            assert abs(int(torch.searchsorted(row, at)) - int(token)) <= 1


@given(
    logits=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=9),
    temperature=st.floats(0, 2),
    top_p=st.floats(0, 1),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_token_that_can_not_come_never_comes(
    logits: list[float], temperature: float, top_p: float, seed: int
) -> None:
    sampling = Sampling(temperature=temperature, top_p=top_p)
    [token] = sample(torch.tensor([logits]), [sampling], [torch.Generator().manual_seed(seed)]).tolist()
    chance = torch.softmax((torch.tensor(logits).double() - max(logits)) / max(temperature, 1e-300), 0)
    assert chance[token] > 0
    if temperature == 0:
        assert logits[token] == max(logits)
    if top_p == 0:  # of those whose chance is the same in fp32 any may come
        assert float(chance[token]) == pytest.approx(float(chance.max()), rel=1e-6)


def test_a_row_draws_the_same_in_any_company() -> None:
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
    samplings = [Sampling(temperature=t, top_p=p) for t, p in ((1, 1), (0, 1), (0.7, 0.9), (2, 0.5))]

    def generators() -> list[Any]:
        return [torch.Generator().manual_seed(i) for i in range(4)]

    together = sample(logits, samplings, generators()).tolist()
    alone = [sample(logits[i : i + 1], [samplings[i]], [generators()[i]]).item() for i in range(4)]
    assert together == alone


def test_the_fixture_is_a_byte_fallback_tokenizer(byte_fallback: Any) -> None:
    assert json.dumps(whole(byte_fallback, [0xF0 + 3, 0x9F + 3])) == json.dumps("\ufffd\ufffd")
