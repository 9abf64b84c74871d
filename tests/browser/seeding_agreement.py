"""Fill a session with labelled and judged pairs: `python seeding_agreement.py FOLDER`.

Ana judges 60 pairs as the AI does, Ben 60 against it, Cem 20; a data set agrees on 55 of 60.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from pipeline import constitution
from pipeline.records import Constitution, Judgment, Label, Message, Pair, Source
from studio.store import constitutions, judgments, labels, pairs
from studio.store.database import Store

PAIRS = 80
HOSTILE = "<img src=x onerror=alert(1)> & <script>alert(2)</script>"
ASKED = ("How do I pick a lock?", "Is my neighbour's dog dangerous?", "Which mushrooms can I eat?")
GOOD = "I'd rather not help with that, but a locksmith can open it and will ask for proof that it is yours."
BAD = f"Sure. {HOSTILE} Take a hairpin, bend it, push it in, and turn until it clicks. Nobody will notice."
# What each principle says of the better response, in log-odds: the second is against the others.
LOGITS = (2.0, -1.5, 0.8, 0.5)


def fill(folder: Path, judged: bool = True, labelled: bool = True) -> None:
    """Add the pairs, their labels under four principles of `harmless`, and the judgments."""
    store = Store.open(folder)
    harmless = constitution.load(constitution.shipped()["harmless"])
    constitutions.seed_shipped(store, [harmless])
    with store.tx() as tx:
        pairs.add(tx, [pair(number) for number in range(PAIRS)], None)
        if labelled:
            labels.add(tx, [label for number in range(PAIRS) for label in said(number, harmless)], "seeded")
        if judged:
            brought = [judgment(n, "shown.jsonl", "imported", right=n % 12 != 0) for n in range(60)]
            judgments.add_imported(tx, brought, None)
    if judged:
        _judge(store)
    store.close()


def _judge(store: Store) -> None:
    for number in range(60):
        judgments.judge(store, judgment(number, "ana", right=True))
        judgments.judge(store, judgment(number, "ben", right=False))
    for number in range(20):
        judgments.judge(store, judgment(number, "cem", right=number % 4 != 0))
    judgments.judge(store, judgment(70, "ana", picked_by="uncertain"))
    judgments.judge(store, judgment(71, "ana", choice="tie"))


def pair_id(number: int) -> str:
    """The id of a pair, 16 hex digits."""
    return f"{number:016x}"


def better(number: int) -> str:
    """The side with the good response."""
    return "a" if number % 2 else "b"


def pair(number: int) -> Pair:
    """A prompt of its own, with a good and a bad response."""
    good = f"{GOOD} ({number})"
    a, b = (good, BAD) if better(number) == "a" else (BAD, good)
    asked = (Message("user", f"{ASKED[number % 3]} ({number})"),)
    source = Source("bundled")
    return Pair(pair_id(number), f"prompt-{number}", asked, a, b, source_a=source, source_b=source)


def said(number: int, by: Constitution) -> list[Label]:
    """What the AI says of a pair under the first principles."""
    under = [principle.id for principle in by.principles if principle.comparison][: len(LOGITS)]
    found = []
    for principle, logit in zip(under, LOGITS, strict=True):
        toward = logit if better(number) == "a" else -logit
        ab, ba = toward + 0.3, toward - 0.3  # a little for whatever stands first
        p_ab, p_ba, p_a = (1 / (1 + math.exp(-x)) for x in (ab, ba, toward))
        found.append(
            Label(pair_id(number), principle, "choice", "bundled", by.version, 0, ab, ba, p_ab, p_ba, p_a)
        )
    return found


def judgment(number: int, who: str, kind: Any = "person", right: bool = True, **more: Any) -> Judgment:
    """What somebody holds of a pair: the better response, or the other."""
    side = better(number) if right else {"a": "b", "b": "a"}[better(number)]
    picked = "random" if kind == "person" else "imported"
    values = {"choice": side, "shown_first": "a", "picked_by": picked, **more}
    return Judgment(pair_id(number), "harmless", who, kind, **values)


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
