"""What the studio's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.store.database import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A session's store, of its own to each test."""
    opened = Store.open(tmp_path / "session")
    yield opened
    opened.close()
