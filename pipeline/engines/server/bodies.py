"""A context as the body of a request, in the words that a server understands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline.engines import Context, EngineError, Form, Sampling

CHAT, PLAIN = "chat/completions", "completions"
HARMLESS = "Say yes."
STOPS = 4
"""Stop strings that a server is told of; OpenAI's API refuses more."""

Continues = Literal["", "unasked", "when asked"]
"""Whether a chat model goes on with a turn that it has begun. vLLM has to be asked to, llama.cpp has not."""


_SPECIAL = re.compile(
    r"<(?=[|｜]|/?s>|[be]os>|(?:start|end)_of_turn>|<?/?SYS>)|\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_\w+|AVAILABLE_TOOLS)\])"
)


@dataclass(frozen=True)
class Abilities:
    """What a server can do with its model.

    `limit` is what it calls the most tokens to write. `plain_prompts` and `chat_prompts`: it gives the
    log-probabilities of a prompt's tokens, in that form. `plain_top` and `chat_top`: so many alternatives
    to each token that it writes; 0 for none.
    """

    chat: bool = False
    plain: bool = False
    continues: Continues = ""
    limit: str = "max_tokens"
    plain_prompts: bool = False
    chat_prompts: bool = False
    plain_top: int = 0
    chat_top: int = 0

    def begins(self, context: Context) -> bool:
        """Whether an answer to this context can be begun, for the model to go on with."""
        return form(context) == "plain" or bool(self.continues)

    def prompts(self, context: Context) -> bool:
        """Whether log-probabilities of what follows this context can be had."""
        return self.plain_prompts if form(context) == "plain" else self.chat_prompts

    def top(self, context: Context) -> int:
        """How many alternatives to a written token can be had in this context's form."""
        return self.plain_top if form(context) == "plain" else self.chat_top


@dataclass(frozen=True)
class Ask:
    """What is posted, where, and about how many tokens it and its answer may take."""

    path: str
    body: Mapping[str, Any]
    prompt_tokens: int
    max_tokens: int


def form(context: Context) -> Form:
    """How a context is put: as turns, or as one text."""
    return "chat" if context.messages else "plain"


def disarmed(text: str) -> str:
    """A text in which a server's tokenizer finds no special token, and so no forged turn.

    Servers read such tokens in what they are sent. Which ones a model has is not told, so the shapes of all
    common ones get a space, as a label that starts a line does in templates.py.
    """
    return _SPECIAL.sub(lambda found: f"{found[0]} ", text)


def ask(model: str, context: Context, abilities: Abilities, max_tokens: int, **more: Any) -> Ask:
    """The request for what follows a context. Raises EngineError where the server can't be asked so."""
    chat = form(context) == "chat"
    if chat and not abilities.chat:
        raise EngineError(f"the server of {model} has no chat: use the plain form (`--form plain`)")
    if not chat and not abilities.plain:
        raise EngineError(f"the server of {model} takes no plain text: use the chat form (`--form chat`)")
    asked = _turns(context, abilities) if chat else {"prompt": disarmed(context.prefill)}
    limit = {abilities.limit if chat else "max_tokens": max_tokens}
    size = len(json.dumps(asked, ensure_ascii=False).encode("utf-8", "replace"))
    # Before the server has counted them: English has four bytes a token, Chinese three, and turns have marks.
    tokens = size // 3 + 8
    return Ask(
        CHAT if chat else PLAIN,
        {"model": model, **asked, **limit, "stream": False, **more},
        tokens,
        max_tokens,
    )


def harmless(ask: Ask) -> Ask:
    """The same request with words that no filter minds."""
    body = {**ask.body, **({"seed": 0} if "seed" in ask.body else {})}
    if "prompt" in body:
        body["prompt"] = HARMLESS
    else:
        body["messages"] = [{**turn, "content": HARMLESS} for turn in body["messages"]]
    return replace(ask, body=body)


def drawn(sampling: Sampling) -> dict[str, Any]:
    """How to draw, in a body's words."""
    words: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed % 2**31,  # llama.cpp keeps 32 bits of it
    }
    return {**words, "stop": list(sampling.stop[:STOPS])} if sampling.stop else words


def _turns(context: Context, abilities: Abilities) -> dict[str, Any]:
    turns = [{"role": m.role, "content": disarmed(m.content)} for m in context.messages]
    prefill = disarmed(context.prefill)
    if not prefill:
        return {"messages": turns}
    if abilities.continues:
        asked = {"continue_final_message": True, "add_generation_prompt": False}
        begun = {"role": "assistant", "content": prefill}
        return {"messages": [*turns, begun], **(asked if abilities.continues == "when asked" else {})}
    # The assistant can't be made to go on, so whoever asks ends with what the answer is to go on with.
    if turns[-1]["role"] == "user":
        last = {"role": "user", "content": f"{turns[-1]['content']}\n\n{prefill}"}
        return {"messages": [*turns[:-1], last]}
    return {"messages": [*turns, {"role": "user", "content": prefill}]}
