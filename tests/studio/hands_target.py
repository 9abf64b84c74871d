"""A session that people work in, to be killed: one judges, one backs up, one exports, for ever.

Says on stdout `ready`, then `judged PAIR`, `backed NAME` and `exported`, each only once it is done.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from pipeline.pairs import make_pair
from pipeline.records import Judgment, Message, Pair, Source
from studio.store import archive, backups, judgments, pairs
from studio.store.database import Store

PAIRS = 5000
OUT = "out.cai.zip"


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")  # one write: several threads speak
    sys.stdout.flush()


def pair(n: int) -> Pair:
    """The n-th of the session's pairs."""
    asked, said = (Message("user", f"Question {n}?"),), Source("m")
    return make_pair(f"q{n}", asked, "Yes.", "No.", said, said, "red_team")


def main(folder: Path) -> None:
    store = Store.open(folder)
    seed(store)
    say("ready")
    for work in (back_up, export):
        threading.Thread(target=work, args=(store,), daemon=True).start()
    judge(store)


def seed(store: Store) -> None:
    if not pairs.count(store, pairs.PairFilter()):
        with store.tx() as tx:
            pairs.add(tx, [pair(n) for n in range(PAIRS)], None)


def judge(store: Store, pause: float = 0) -> None:
    done = {one.pair_id for one in judgments.mine(store, "ana", "harmless")}
    for n in range(PAIRS):
        one = pair(n)
        if one.id not in done:
            judgments.judge(store, Judgment(one.id, "harmless", "ana", "person", "a", "a", "random"))
            say("judged", one.id)
            time.sleep(pause)


def back_up(store: Store, pause: float = 0) -> None:
    while True:
        say("backed", backups.back_up(store).name)
        time.sleep(pause)


def export(store: Store, pause: float = 0) -> None:
    while True:
        archive.export_session(store, store.folder / OUT)
        say("exported")
        time.sleep(pause)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
