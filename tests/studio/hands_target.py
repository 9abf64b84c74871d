"""A session that people work in, to be killed: one judges, one backs up, one exports, for ever.

Says on stdout `ready`, then `judged PAIR`, `backed NAME` and `exported`, each only once it is done.
"""

from __future__ import annotations

import sys
import threading
from itertools import count
from pathlib import Path

from pipeline.pairs import make_pair
from pipeline.records import Judgment, Message, Pair, Source
from studio.store import archive, backups, judgments, pairs
from studio.store.database import Store

PAIRS = 5000
OUT = "out.cai.zip"


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")  # one write: three threads speak
    sys.stdout.flush()


def pair(n: int) -> Pair:
    """The n-th of the session's pairs."""
    asked, said = (Message("user", f"Question {n}?"),), Source("m")
    return make_pair(f"q{n}", asked, "Yes.", "No.", said, said, "red_team")


def main(folder: Path) -> None:
    store = Store.open(folder)
    if not pairs.count(store, pairs.PairFilter()):
        with store.tx() as tx:
            pairs.add(tx, [pair(n) for n in range(PAIRS)], None)
    done = {one.pair_id for one in judgments.mine(store, "ana", "harmless")}
    say("ready")
    for work in (back_up, export):
        threading.Thread(target=work, args=(store,), daemon=True).start()
    for n in range(PAIRS):
        one = pair(n)
        if one.id not in done:
            judgments.judge(store, Judgment(one.id, "harmless", "ana", "person", "a", "a", "random"))
            say("judged", one.id)


def back_up(store: Store) -> None:
    while True:
        say("backed", backups.back_up(store).name)


def export(store: Store) -> None:
    for _ in count():
        archive.export_session(store, store.folder / OUT)
        say("exported")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
