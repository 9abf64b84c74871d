"""What the studio remembers about itself in a session: notices that were read, choices of a page."""

from __future__ import annotations

from studio.store.database import Reader, Store


def get(store: Reader, key: str) -> str | None:
    """The value last put under `key`, or None."""
    rows = store.query("SELECT value FROM current_settings WHERE key = ?", [key])
    return str(rows[0][0]) if rows else None


def put(store: Store, key: str, value: str) -> None:
    """Remember `value` under `key`."""
    with store.tx() as tx:
        tx.query("INSERT INTO settings (key, value) VALUES (?, ?)", [key, value])
