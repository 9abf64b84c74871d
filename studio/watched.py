"""What a thread shows of its work, for any number of tabs that look on."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar


class Serial(Protocol):
    """A frozen dataclass whose `serial` grows with every change."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def serial(self) -> int: ...


M = TypeVar("M", bound=Serial)


class Watched(Generic[M]):
    """The newest moment of something that goes on. Safe from several threads."""

    def __init__(self, first: M) -> None:
        self._changed = threading.Condition()
        self._moment = first

    def show(self, **changes: object) -> None:
        """Make the next moment: the last one with these changes."""
        with self._changed:
            self._moment = replace(self._moment, serial=self._moment.serial + 1, **changes)
            self._changed.notify_all()

    def moment(self, seen: int = -1, timeout: float = 0.0) -> M:
        """The present moment; waits up to `timeout` seconds for one later than `seen`."""
        with self._changed:
            self._changed.wait_for(lambda: self._moment.serial > seen, timeout)
            return self._moment
