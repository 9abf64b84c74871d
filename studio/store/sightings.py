"""Which AI labels a person was shown outside the audit page: they judge those pairs no longer blind.

And, as `RUN/PROMPT`, of which of a tournament's waiting pairs they were told who wrote the answers.

Append-only, as what was seen can't be unseen. The audit page's own reveals are kept with the judgments.
"""

from __future__ import annotations

from collections.abc import Sequence

from studio.store.bulk import insert
from studio.store.database import Reader, Store, Tx

NEW = """
SELECT DISTINCT pair FROM (SELECT unnest(?::VARCHAR[]) AS pair)
WHERE pair NOT IN (SELECT pair FROM seen_labels WHERE annotator = ?)
"""


def note(store: Store, annotator: str, pairs: Sequence[str]) -> None:
    """Keep that the AI's labels of these pairs were put before a person; a name that is empty is nobody."""
    if store.read_only or not annotator or not pairs:
        return  # nobody is going to judge the example, blind or not
    if not store.query(NEW, [list(pairs), annotator]):
        return  # as nearly always: a page that is looked at again
    with store.tx() as tx:
        _add(tx, annotator, pairs)


def shown(store: Reader, pair: str, annotator: str) -> bool:
    """Whether a person was shown the AI's label of a pair."""
    where = "pair = ? AND annotator = ?"
    return store.recall(f"SELECT 1 FROM seen_labels WHERE {where} LIMIT 1", [pair, annotator], bool)  # noqa: S608


def _add(tx: Tx, annotator: str, pairs: Sequence[str]) -> None:
    new = tx.query(NEW, [list(pairs), annotator])
    insert(tx, "seen_labels", [{"pair": pair, "annotator": annotator} for (pair,) in new])
