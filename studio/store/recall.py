"""What was read of a session and still holds: a read is repeated only once a table of it was written to.

A page that looks every few seconds, in twenty tabs, mostly asks what was asked before; DuckDB takes
milliseconds of the processor to plan even the smallest of these questions.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from studio.store.parameters import Params

if TYPE_CHECKING:
    from studio.store.database import Reader

M = TypeVar("M")

MOST = 512
"""Answers that are kept at a time; the one that was asked for longest ago goes."""
ANY = "*"
"""In the place of a table: the statement may have changed any of them."""


class Recall:
    """Answers by their questions. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: Counter[str] = Counter()
        self._answers: OrderedDict[object, tuple[tuple[int, ...], Any]] = OrderedDict()
        self._tables: dict[str, tuple[str, ...]] = {}

    def changed(self, tables: Iterable[str]) -> None:
        """Say that a transaction on these tables has ended, once its rows can be read."""
        with self._lock:
            self._changes.update(tables)

    def answer(self, question: object, tables: tuple[str, ...], ask: Callable[[], Any]) -> Any:
        """The answer to a question about these tables, as it is now."""
        with self._lock:
            # Taken before it is asked: an answer that is newer than its moment is only asked for again.
            moment = tuple(self._changes[table] for table in (ANY, *tables))
            if question in self._answers:
                self._answers.move_to_end(question)
                then, answer = self._answers[question]
                if then == moment:
                    return answer
        answer = ask()
        with self._lock:
            self._answers[question] = moment, answer
            if len(self._answers) > MOST:
                self._answers.popitem(last=False)
        return answer

    def tables(self, sql: str, cursor: Callable[[], Any]) -> tuple[str, ...]:
        """The tables that a statement reads, those behind its views too."""
        if sql not in self._tables:
            # DuckDB names them only where nothing is left open.
            with cursor() as open:
                found = open.get_table_names(re.sub(r"\$\w+|\?", "NULL", sql))
            self._tables[sql] = tuple(sorted(found))
        return self._tables[sql]


class Once:
    """A reader for one answer: what is asked twice for it is read once, however much is written meanwhile."""

    def __init__(self, store: Reader) -> None:
        self._store = store
        self._made: dict[object, Any] = {}

    def query(self, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
        """As the store's."""
        return self._store.query(sql, params)

    def recall(self, sql: str, params: Params, made: Callable[[list[tuple[Any, ...]]], M]) -> M:
        """As the store's, and the same for as long as this lives."""
        ask = (sql, made, repr(params))
        if ask not in self._made:
            self._made[ask] = self._store.recall(sql, params, made)
        answer: M = self._made[ask]
        return answer


def written(sql: str) -> list[str]:
    """The tables that a statement of a transaction writes to."""
    if found := re.findall(r"\bINSERT\s+INTO\s+(\w+)", sql, re.IGNORECASE):
        return found
    return [] if re.match(r"\s*(SELECT|WITH)\b", sql, re.IGNORECASE) else [ANY]
