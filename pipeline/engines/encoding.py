"""Text to tokens, for generation and for training alike: what a model learns is what it is asked later.

No text of a message can make a special token, and so forge a turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import TemplateError

from pipeline.engines import Context, EngineError, Form, TooLong
from pipeline.records import well_formed

ANCHORS = ("\n", "=")
"""What a piece of text is read behind, in turn, where the tokenizer would else begin it with a space."""


class Encoder:
    """A model's tokenizer, and its chat template where it has one. `name` stands for it in messages."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer, self.name = tokenizer, name
        self._anchors = [anchor for anchor in ANCHORS if self._hides_a_space(anchor)]
        self._reopening = self._spaced_after() if self._anchors else frozenset[int]()

    @property
    def form(self) -> Form:
        """How this model is asked: through its chat template, or as plain text where it has none."""
        return "chat" if self.tokenizer.chat_template else "plain"

    def encode(self, context: Context) -> list[int]:
        """The tokens of what a model sees before it writes. Raises EngineError."""
        if not context.messages:
            ids = [*self._beginning(), *self.tokens(context.prefill)]
            if not ids:
                raise EngineError(f"{self.name}: an empty prompt")
            return ids
        if not self.tokenizer.chat_template:
            raise EngineError(f"{self.name} has no chat template: use the plain form (`--form plain`)")
        # Marks stand for the texts while the template runs, so that only the template's own words are
        # read as special tokens.
        turns = [{"role": m.role, "content": f"\u241ftext{i}\u241f"} for i, m in enumerate(context.messages)]
        try:
            rendered = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:  # many refuse a system turn, or turns that do not alternate
            raise EngineError(f"{self.name}: its chat template refuses these turns: {error}") from error
        # In the template's order, which is not always ours: some move the system's words to the last turn.
        first, *rest = re.split("\u241ftext([0-9]+)\u241f", rendered)
        shown = [int(i) for i in rest[::2]]
        for i, message in enumerate(context.messages):
            if i not in shown:
                raise EngineError(f"{self.name}: its chat template drops a {message.role} turn")
        ids = self._special(first)
        for i, after in zip(shown, rest[1::2], strict=True):
            ids += self.after(ids, context.messages[i].content)
            ids += self._behind(ids, after, self._special)
        return ids + self.after(ids, context.prefill)

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, none of them special."""
        ids: list[int] = self.tokenizer(
            well_formed(text), add_special_tokens=False, split_special_tokens=True
        )["input_ids"]
        return ids

    def after(self, before: list[int], text: str) -> list[int]:
        """The tokens of a text that goes on after these tokens, none of its own special."""
        return self._behind(before, text, self.tokens)

    def scored(
        self, contexts: Sequence[Context], continuations: Sequence[str], limit: int
    ) -> list[tuple[list[int], list[int]]]:
        """The tokens of each context and of what is scored after it.

        Raises EngineError for a continuation of no tokens, TooLong for more of both than `limit`.
        """
        befores = [self.encode(context) for context in contexts]
        pairs = [
            (before, self.after(before, text)) for before, text in zip(befores, continuations, strict=True)
        ]
        for i, (before, after) in enumerate(pairs):
            if not after:
                raise EngineError(f"score: continuation {i} has no tokens")
            require_room(i, len(before) + len(after), name=self.name, limit=limit)
        return pairs

    def _beginning(self) -> list[int]:
        first: list[int] = self.tokenizer("")["input_ids"][:1]
        return first if first == [self.tokenizer.bos_token_id] else []

    def _special(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _behind(self, before: list[int], text: str, read: Callable[[str], list[int]]) -> list[int]:
        """What `read` makes of a text, without the space that some tokenizers put before all they read."""
        for anchor in [] if self._begins_anew(before) else self._anchors:
            own, whole = read(anchor), read(anchor + text)
            if whole[: len(own)] == own:  # else the two have grown together
                return whole[len(own) :]
        return read(text)

    def _begins_anew(self, before: list[int]) -> bool:
        """Whether the tokenizer would begin with its space after these tokens, if it read all at once."""
        if not self._anchors:
            return True
        return not before or before[-1] in self._reopening or before == self._beginning()

    def _hides_a_space(self, anchor: str) -> bool:
        """Whether a text has other tokens behind this one than alone."""
        own, whole = self.tokens(anchor), self.tokens(f"{anchor}a")
        return bool(own) and whole[: len(own)] == own and whole[len(own) :] != self.tokens("a")

    def _spaced_after(self) -> frozenset[int]:
        """The special tokens, where the tokenizer puts its space after each of them too."""
        special = next(iter(self.tokenizer.all_special_tokens), "")
        again = self._special(f"{special}a")[-len(self.tokens("a")) :] == self.tokens("a")
        return frozenset([*self.tokenizer.get_added_vocab().values()] if special and again else [])


def room(config: Any) -> int:
    """The tokens that a model holds, by its config; as good as without end where that does not say."""
    return int(getattr(config.get_text_config(), "max_position_embeddings", 0)) or 1 << 20


def require_room(index: int, tokens: int, *, name: str, limit: int) -> None:
    """Raises TooLong where a prompt with its answer takes more tokens than the model holds."""
    if tokens > limit:
        raise TooLong(
            index,
            f"the prompt with its answer takes {tokens} tokens, and {name} holds {limit}: "
            "shorten the prompt, use fewer few-shot examples, or lower max tokens",
        )


def ends(generation: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end what a model says, by its generation config and its tokenizer."""
    ids = generation.eos_token_id
    ids = ids if isinstance(ids, list) else [ids]
    return frozenset(i for i in (*ids, tokenizer.eos_token_id) if i is not None)
