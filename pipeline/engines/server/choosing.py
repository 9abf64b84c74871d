"""How likely a text follows a context, from what a server says: exactly, by its alternatives, or by samples.

Exactly, where it gives the log-probabilities of a prompt. Else only texts that follow the same context can be
compared, by where they differ: by the alternatives to the token that is written there; or, where a server
says nothing of probabilities, by how many of `samples` answers are which. Such an estimate says no more
than its samples do: with k of them it lies between 1 / (k + n) and (k + 1) / (k + n), for n options.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence

from pipeline.engines.server.reading import Token

ANSWER = 16
"""Tokens in which a chat model that begins a turn of its own has to come to its answer."""
LETTER = 4
"""The same for one that goes on from where the options differ."""
ENOUGH = 0.1
"""Probability that the options have together where a model, in its own words, comes to its answer."""
NOTHING = "\0"
"""What no token begins with."""


def tail(tokens: Sequence[Token], continuation: str) -> tuple[float, int] | None:
    """Log-probability and number of the last tokens, which are the continuation; None where they are not.

    A token across its beginning counts: with it the continuation begins.
    """
    text, logprob = "", 0.0
    for many, token in enumerate(reversed(tokens), 1):
        text, logprob = token.text + text, logprob + token.logprob
        if len(text) >= len(continuation):
            # What is no whole character in a token is shown otherwise, and makes lengths wrong.
            return (logprob, many) if text.endswith(continuation) and many < len(tokens) else None
    return None


def shared(options: Sequence[str]) -> str:
    """What all options begin with, without a last space: that belongs to the next token."""
    return os.path.commonprefix(list(options)).rstrip()  # noqa: RUF071 - letter by letter is meant


def by_alternatives(tokens: Sequence[Token], options: Sequence[str], begun: bool) -> list[float] | None:
    """A log-probability (nats, but for a common constant) of each option, at the token where they differ.

    `begun`: what all share was said in the context. Else the answer may come to it in its own words. An
    option that is not among the alternatives is taken to be as likely as the least likely of these, which
    is the most that it can be. None where no token decides.
    """
    lead = shared(options)
    said = lead if begun else ""
    for at, token in enumerate(tokens):
        rests = _rests(said, lead, options)
        listed = [*token.others, *([] if token.text in dict(token.others) else [(token.text, token.logprob)])]
        blank = not said.strip()
        # A letter before a word may be an article: then the answer is still to come.
        alone = blank and not re.match(r"[^\S\n]*\w", "".join(later.text for later in tokens[at + 1 :]))
        mass = [0.0] * len(options)
        for text, logprob in listed:
            word = text.lstrip() if blank else text
            fits = [j for j, rest in enumerate(rests) if word and _begins(word, rest, options[j], alone)]
            if len(fits) == 1:
                mass[fits[0]] += math.exp(logprob)
        if sum(mass) > (0 if begun else ENOUGH):
            least = math.exp(min(logprob for _, logprob in listed))
            return [math.log(max(m or least, 1e-300)) for m in mass]
        if begun:
            return None
        said += token.text
    return None


def named(answer: str, options: Sequence[str]) -> int | None:
    """Which option an answer names first: as it is, or its bare letter alone at the beginning.

    Not where words follow on its line: “A more careful reading” names none.
    """
    places = {j: re.search(_spelled(option), answer) for j, option in enumerate(options)}
    found = {j: place.start() for j, place in places.items() if place}
    if found:
        return min(found, key=lambda j: (found[j], -len(options[j])))
    for j, option in enumerate(options):
        if re.match(rf"\W*{re.escape(_core(option))}[^\S\n]*([^\w\s]|\n|$)", answer):
            return j
    return None


def by_samples(answers: Sequence[str], options: Sequence[str]) -> list[float]:
    """The log of each option's share in the answers that name one, by Laplace's rule of succession."""
    names = [named(answer, options) for answer in answers]
    valid = [name for name in names if name is not None]
    return [math.log((valid.count(j) + 1) / (len(valid) + len(options))) for j in range(len(options))]


def _rests(said: str, lead: str, options: Sequence[str]) -> list[str]:
    """What is still to be said of each option."""
    if lead.strip() and said.endswith(lead.strip()):
        return [option.removeprefix(lead) for option in options]
    return [option.strip() if not said.strip() else NOTHING for option in options]


def _spelled(option: str) -> str:
    """A pattern of an option: as it is, or where it is a word, whole and in any case."""
    text = re.escape(option.strip())
    return rf"(?i:\b{text}\b)" if option.strip().isalpha() else text


def _begins(word: str, rest: str, option: str, alone: bool) -> bool:
    """Whether a token begins what is still to be said of an option, or is its bare letter, `alone`."""
    if option.strip().isalpha():
        word, rest = word.casefold(), rest.casefold()
        if rest and word.startswith(rest):
            return not word[len(rest) :][:1].isalpha()
    if rest.startswith(word) or word.startswith(rest):
        return True
    return alone and word.strip() == _core(option)


def _core(option: str) -> str:
    return option.strip(" ().")
