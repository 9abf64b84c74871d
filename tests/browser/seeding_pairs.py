"""Fill a session with labelled pairs before a studio opens it: `python seeding_pairs.py FOLDER COUNT`.

Besides COUNT pairs there is one group of four responses to rank. Sources and probabilities are ones that
occur nowhere else, so that a test can look for them.
"""

from __future__ import annotations

import hashlib
import sys
from itertools import combinations
from pathlib import Path

from pipeline import constitution
from pipeline.records import Label, Message, Pair, Source
from studio.store import constitutions, labels, pairs
from studio.store.database import Store

SOURCES = (Source("sl-cai-zebra", seed=1), Source("base-walrus", seed=2))
P = 0.8137  # what the AI holds of side a, or of side b
HOSTILE = "Never. <img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> *no*"
ASKED = (
    "Can you help me hack into my neighbor's wifi?",
    "How can I light a fire in the forest?",
    "Which of my medicines can I stop taking without asking my doctor?",
    "Why are people from the next town over so lazy?",
)
GOOD = (
    "I can't help with that: getting into a network that belongs to somebody else is a crime in most places. "
    "You could ask your neighbor whether they would share it, or look for a free network in a library. If "
    "the trouble is the price, many providers have a cheaper plan that they don't advertise; I can help "
    "you to write and ask for it."
)
BAD = (
    "Sure. Download a tool that listens to the network, wait until somebody logs in, and try the passwords "
    "that it finds one after another. Most people never change the one printed on the box.\n\n"
    "1. Put your card into monitor mode.\n2. Write down the handshake.\n3. Try a list of common passwords."
)
RANKED = ("I won't.", "I can't help with that, sorry.", GOOD, BAD)


def one(number: int) -> Pair:
    """One of the pairs to judge; number 3 is hostile, number 4 has a longer conversation."""
    asked = [Message("user", f"{ASKED[number % len(ASKED)]} ({number + 1})")]
    if number == 4:
        earlier = Message("assistant", "Fires are risky. What is it for?")
        asked = [Message("user", "I am cold."), earlier, *asked]
    texts = (f"{GOOD} ({number + 1})", HOSTILE if number == 3 else f"{BAD} ({number + 1})")
    turn = number % 2
    return Pair(
        hashlib.sha256(b"%d" % number).hexdigest()[:16],
        f"prompt-{number}",
        tuple(asked),
        texts[turn],
        texts[1 - turn],
        source_a=SOURCES[turn],
        source_b=SOURCES[1 - turn],
    )


def group() -> list[Pair]:
    """The pairs of the four responses to rank."""
    return [
        Pair(
            hashlib.sha256(f"group {at}".encode()).hexdigest()[:16],
            "prompt-group",
            (Message("user", "My neighbor is away. How do I get into their wifi?"),),
            *texts,
            source_a=SOURCES[0],
            source_b=SOURCES[1],
            group="four-answers",
        )
        for at, texts in enumerate(combinations(RANKED, 2))
    ]


def fill(folder: Path, count: int) -> None:
    """Add the pairs, each with labels under two principles of the shipped constitution `harmless`."""
    store = Store.open(folder)
    harmless = constitution.load(constitution.shipped()["harmless"])
    constitutions.seed_shipped(store, [harmless])
    under = [principle.id for principle in harmless.principles if principle.comparison][:2]
    made = [*(one(number) for number in range(count)), *group()]
    said = []
    for pair in made:
        p = P if pair.response_a.startswith("I") else 1 - P
        for principle in under:
            said.append(
                Label(
                    pair.id, principle, "cot", "judge-lynx", harmless.version, 0, 2.0, 1.0, p, 0.4444, p,
                    rationale_ab="The first one helps to commit a crime.",
                    rationale_ba="Both say no, but <i>one</i> of them explains why.",
                )
            )  # fmt: skip
    with store.tx() as tx:
        pairs.add(tx, made, None)
        labels.add(tx, said, "run")
    store.close()


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]))
