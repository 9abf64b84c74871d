"""The prompts that judgments are of, and which half of them nothing is chosen by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from studio.store.database import Reader


def prompts_of(store: Reader, pairs: Sequence[str]) -> list[str]:
    """The prompt id of each pair; the pair's own id where it is not in the session."""
    rows = store.query(
        "SELECT id, prompt_id FROM pairs WHERE id IN (SELECT unnest($ids))", {"ids": list(pairs)}
    )
    known: dict[str, str] = dict(rows)
    return [known.get(id, id) for id in pairs]


def held_out(prompt_id: str) -> bool:
    """Whether a prompt is of the half that nothing is chosen by: by a hash of its id, the same for ever."""
    return bool(hashlib.sha256(f"held-out:{prompt_id}".encode("utf-8", "surrogatepass")).digest()[0] & 1)
