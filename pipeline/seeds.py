"""Seeds of single draws, made of what tells one draw of a run from its others."""

from __future__ import annotations

import hashlib


def hashed(name: str) -> int:
    """The seed of what has this name: a hash in 63 bits. The run's own seed is to be part of the name."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
