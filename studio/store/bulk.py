"""Many rows in one statement: a statement for each row would take DuckDB minutes for a hundred thousand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from studio.store.database import Tx


def insert(tx: Tx, table: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows that all have the same columns, in their order. The names are our own, never a person's."""
    if not rows:
        return
    columns = list(rows[0])
    marks = ", ".join("unnest(?)" for _ in columns)
    values = [[row[column] for row in rows] for column in columns]
    tx.query(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {marks}", values)
