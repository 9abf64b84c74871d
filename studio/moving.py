"""From one session to another without ending the process: the address and the logins stay.

A page asks with `Mover.go`. The server then ends as for a Ctrl-C, the session is closed (what runs is
stopped and kept), and `moved` in `studio.context` does what needs it closed and opens the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.errors import UserError

PAUSE = 0.3  # seconds for the answer to reach the page that asked


@dataclass(frozen=True)
class Move:
    """Which session is next, and what to do while none is open: it says what it did, or raises UserError."""

    session: str
    between: Callable[[], str]


@dataclass
class Mover:
    """The way from a page to the loop that serves. `serial` counts the sessions served before this one.

    `news` is what the page tells that waited for the move; `failed` if it is why there was none. `before` is
    the session from which the example was opened.
    """

    serial: int = 0
    news: str = ""
    failed: bool = False
    before: str = ""

    def __post_init__(self) -> None:
        self.leave = threading.Event()
        self.move: Move | None = None
        self._lock = threading.Lock()

    def go(self, move: Move) -> None:
        """Leave for another session. Raises UserError if somebody else asked for a move just now."""
        with self._lock:
            if self.move is not None:
                raise UserError("The studio is about to open another session; wait for it.")
            self.move = move
        timer = threading.Timer(PAUSE, self.leave.set)
        timer.daemon = True
        timer.start()
