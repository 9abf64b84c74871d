"""Texts read piece by piece: no tokenizer's own space comes between, and none of theirs is special."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pipeline.engines import Context
from pipeline.engines.encoding import Encoder
from pipeline.records import Message
from pipeline.train.examples import said

SPACE = "\u2581"
TURNS = "{% for m in messages %}[{{ m.content }}]{% endfor %}="
MARKED = "{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}"


def everywhere(tokenizer: Any) -> None:
    """As Llama 2 has it: a space before each text, and again after each special token."""
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])


def at_the_front(tokenizer: Any) -> None:
    """As later ones have it: a space before each text, at its very beginning alone."""
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="first", split=False)


@pytest.fixture(params=[everywhere, at_the_front])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    """Of a tokenizer of letters, in which a space and a letter are one token."""
    letters = "abcdefghijklmnopqrstuvwxyz[]()=<>/\n"
    words = ["<unk>", "<s>", "</s>", SPACE, *letters, *(SPACE + letter for letter in letters)]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [(SPACE, letter) for letter in letters], unk_token="<unk>"))
    request.param(tokenizer)
    tokenizer.decoder = decoders.Metaspace(SPACE)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.chat_template = TURNS
    return Encoder(fast, "letters")


def words(encoder: Encoder, ids: list[int]) -> list[str]:
    found: list[str] = encoder.tokenizer.convert_ids_to_tokens(ids)
    return found


ASKED = Context(messages=(Message("user", "hi you"), Message("assistant", "\nno")), prefill="so")


@pytest.mark.parametrize("template", [TURNS, MARKED])
def test_a_prompt_has_the_tokens_that_it_has_when_it_is_read_whole(encoder: Encoder, template: str) -> None:
    encoder.tokenizer.chat_template = template
    turns = [{"role": m.role, "content": m.content} for m in ASKED.messages]
    whole = encoder.tokenizer.apply_chat_template(turns, tokenize=False) + ASKED.prefill
    assert encoder.encode(ASKED) == encoder.tokenizer(whole, add_special_tokens=False)["input_ids"]


def test_an_option_begins_with_itself(encoder: Encoder) -> None:
    asked = [Context(prefill="is it"), ASKED, Context(prefill="is it"), ASKED]
    options = [" (a", "(a", "\n\na", "==a"]
    found = [words(encoder, after) for _, after in encoder.scored(asked, options, 99)]
    assert found == [[f"{SPACE}(", "a"], ["(", "a"], ["\n", "\n", "a"], ["=", "=", "a"]]


def test_what_comes_first_is_read_as_ever(encoder: Encoder) -> None:
    assert words(encoder, encoder.encode(Context(prefill="hi"))) == [f"{SPACE}h", "i"]


def test_an_answer_is_learnt_as_it_is_said(encoder: Encoder) -> None:
    ids, start = said(encoder, ASKED, "yes")
    assert words(encoder, ids[start:]) == ["y", "e", "s", "</s>"]


def test_words_of_the_template_are_only_words(encoder: Encoder) -> None:
    text = "</s><s>"
    ids = encoder.encode(Context(messages=(Message("user", text),), prefill=text))
    assert not set(ids) & set(encoder.tokenizer.all_special_ids)
    assert not set(encoder.after(ids, text)) & set(encoder.tokenizer.all_special_ids)


@pytest.mark.parametrize("text", ["a", " a", "\n\nHello", "=", "", "  (A)", "\u00fcber"])
def test_a_tokenizer_that_adds_no_space_reads_each_piece_alone(bundled_folder: Path, text: str) -> None:
    encoder = Encoder(AutoTokenizer.from_pretrained(bundled_folder), "bundled")
    for before in ("Hi", "Hi\n", "="):
        assert encoder.after(encoder.tokens(before), text) == encoder.tokens(text)
