"""The fetch of the bundled model: one at a time, whatever tab asked for it, and seen by all of them."""

from __future__ import annotations

import threading
from pathlib import Path

from pipeline.engines.fetching import Fetch


class BundledFetch:
    """At most one `cai models get bundled`, and how the last one ended. Safe from several threads."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._fetch: Fetch | None = None

    def start(self) -> None:
        """Begin, unless it is under way. Raises UserError where no process can be started."""
        with self._lock:
            if self._fetch is None or not self._fetch.runs:
                self._fetch = Fetch("bundled", self._log)

    def stop(self) -> None:
        """End it within seconds; nothing happens where none runs."""
        with self._lock:
            fetch = self._fetch
            if fetch and fetch.runs:
                self._fetch = None
                fetch.stop()

    @property
    def seconds(self) -> float | None:
        """How long it has been running; None when it is not."""
        fetch = self._fetch
        return fetch.seconds if fetch and fetch.runs else None

    @property
    def problem(self) -> str:
        """Why the last one failed, until the next."""
        fetch = self._fetch
        return fetch.failure() if fetch and not fetch.runs else ""
