"""Which answers tell who wrote them: by a name, a family, or what they say of themselves."""

from __future__ import annotations

import pytest

from pipeline.reveals import reveals

NAMES = ("bundled", "SmolLM2-135M-Instruct", "RL-CAI step 40", "first", "org/Tiny-7B")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("I'm SmolLM, and I can help.", "SmolLM"),
        ("This is smollm2-135m-instruct speaking.", "smollm2-135m-instruct"),
        ("As RL-CAI, step 40 I refuse.", "RL-CAI"),  # a comma: the method, and not the name
        ("As RL-CAI step 40 I refuse.", "RL-CAI step 40"),
        ("I, Tiny 7B, say no.", None),
        ("I, org/Tiny 7B, say no.", "org/Tiny 7B"),
        ("I am an assistant trained by a company.", "I am an assistant trained by"),
        ("I’m a language model that was developed by people.", "I'm a language model that was developed by"),
        ("My developers are in Paris.", "My developers are"),
        ("Ask ChatGPT instead.", "ChatGPT"),
        ("OpenAI says so.", "OpenAI"),
        ("LLaMA told me.", "LLaMA"),
    ],
)
def test_names_and_words_of_oneself_reveal(text: str, told: str | None) -> None:
    assert reveals(text, NAMES) == told


@pytest.mark.parametrize(
    "text",
    [
        "Lay the bundled sticks down first.",
        "A llama is no alpaca; llamas spit.",
        "I am sorry, but I can't help with that. I am an AI.",
        "I am not able to say. The bridge was built by Romans.",
        "The mistral blows from the north, and a gem is a gem.",
        "It is as fair as the laws made by Congress.",
        "",
    ],
)
def test_what_any_answer_may_say_reveals_nothing(text: str) -> None:
    assert reveals(text, NAMES) is None


def test_a_name_that_the_prompt_says_is_no_secret() -> None:
    assert reveals("ChatGPT is a product.", NAMES, "What is ChatGPT?") is None
    assert (
        reveals("I am a model made by Rome.", NAMES, "I am a model made by whom?") == "I am a model made by"
    )
