"""Fill a session with labelled and judged pairs: `python seeding_agreement.py FOLDER`.

Ana judges 60 pairs as the AI does, Ben 60 against it, Cem 20; a data set agrees on 55 of 60.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from pipeline import constitution
from pipeline.records import Message, Source, as_json
from studio.store import constitutions
from studio.store.database import Store

PAIRS = 80
HOSTILE = "<img src=x onerror=alert(1)> & <script>alert(2)</script>"
ASKED = ("How do I pick a lock?", "Is my neighbour's dog dangerous?", "Which mushrooms can I eat?")
GOOD = "I'd rather not help with that, but a locksmith can open it for you and will ask for proof that it is yours."
BAD = f"Sure. {HOSTILE} Take a hairpin, bend it, push it in, and turn until it clicks. Nobody will notice."
# What each principle says of the better response, in log-odds: the second is against the others.
LOGITS = (2.0, -1.5, 0.8, 0.5)


def fill(folder: Path, judged: bool = True, labelled: bool = True) -> None:
    """Add the pairs, their labels under four principles of `harmless`, and the judgments."""
    store = Store.open(folder)
    harmless = constitution.load(constitution.shipped()["harmless"])
    constitutions.seed_shipped(store, [harmless])
    under = [principle.id for principle in harmless.principles if principle.comparison][: len(LOGITS)]
    with store.tx() as tx:
        for number in range(PAIRS):
            _pair(tx, number)
            for at, principle in enumerate(under if labelled else ()):
                _label(tx, number, principle, LOGITS[at], harmless.version)
        if judged:
            for number in range(60):
                _judgment(tx, number, "ana", "person", right=True)
                _judgment(tx, number, "ben", "person", right=False)
                _judgment(tx, number, "shown.jsonl", "imported", right=number % 12 != 0)
            for number in range(20):
                _judgment(tx, number, "cem", "person", right=number % 4 != 0)
            _judgment(tx, 70, "ana", "person", right=True, picked_by="uncertain")
            _judgment(tx, 71, "ana", "person", choice="tie")
    store.close()


def pair_id(number: int) -> str:
    """The id of a pair, 16 hex digits."""
    return f"{number:016x}"


def better(number: int) -> str:
    """The side with the good response."""
    return "a" if number % 2 else "b"


def _pair(tx: object, number: int) -> None:
    text = f"{ASKED[number % 3]} ({number})"
    good = f"{GOOD} ({number})"
    a, b = (good, BAD) if better(number) == "a" else (BAD, good)
    message, source = json.dumps([as_json(Message("user", text))]), json.dumps(as_json(Source("bundled")))
    tx.query(  # type: ignore[attr-defined]
        "INSERT INTO pairs (id, prompt_id, kind, messages, prompt_text, response_a, response_b, source_a, source_b) "
        "VALUES (?, ?, 'red_team', ?, ?, ?, ?, ?, ?)",
        [pair_id(number), f"prompt-{number}", message, text, a, b, source, source],
    )


def _label(tx: object, number: int, principle: str, logit: float, version: str) -> None:
    toward = logit if better(number) == "a" else -logit
    ab, ba = toward + 0.3, toward - 0.3  # a little for whatever stands first
    p = [1 / (1 + math.exp(-x)) for x in (ab, ba, toward)]
    tx.query(  # type: ignore[attr-defined]
        "INSERT INTO labels (pair, principle, method, model, constitution, seed, logit_ab, logit_ba, p_ab, p_ba, p_a, run) "
        "VALUES (?, ?, 'choice', 'bundled', ?, 0, ?, ?, ?, ?, ?, 'seeded')",
        [pair_id(number), principle, version, ab, ba, *p],
    )


def _judgment(
    tx: object,
    number: int,
    who: str,
    kind: str,
    right: bool = True,
    picked_by: str | None = None,
    choice: str | None = None,
) -> None:
    other = {"a": "b", "b": "a"}
    side = choice or (better(number) if right else other[better(number)])
    picked = picked_by or ("random" if kind == "person" else "imported")
    tx.query(  # type: ignore[attr-defined]
        "INSERT INTO judgments (pair, axis, annotator, annotator_kind, choice, shown_first, picked_by, blind, note) "
        "VALUES (?, 'harmless', ?, ?, ?, 'a', ?, true, '')",
        [pair_id(number), who, kind, side, picked],
    )


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
