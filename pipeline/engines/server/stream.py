"""Server-sent events, and the text that they bring.

https://html.spec.whatwg.org/multipage/server-sent-events.html, as far as such servers use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.engines import EngineError
from pipeline.engines.server.keys import HIDDEN
from pipeline.records import Finish, well_formed

LONGEST = 1 << 22
"""Bytes that one event may have."""


@dataclass
class Events:
    """Bytes, cut anywhere, as the data of whole events. Raises EngineError for one that does not end."""

    _line: bytearray = field(default_factory=bytearray)
    _data: list[bytes] = field(default_factory=list)
    _size: int = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The events that end in these bytes."""
        self._size += len(data)
        if self._size > LONGEST:
            raise EngineError(f"the server sent an event of more than {LONGEST >> 20} MB, which no text has")
        self._line += data
        if b"\n" not in data:
            return
        # A character may be cut in two, but its parts never hold a line's end.
        *lines, rest = bytes(self._line).split(b"\n")
        self._line = bytearray(rest)
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data.clear()
        self._size = len(rest) + sum(map(len, self._data))

    def rest(self) -> bytes:
        """The last event, where the stream ended without the empty line after it."""
        line = bytes(self._line).removesuffix(b"\r")
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        return b"\n".join(self._data)


@dataclass
class Written:
    """The text of one request on its way. `sent` characters of it were shown; `tokens` counts pieces.

    A server that knows a `secret` may repeat it, in several pieces: it is hidden here too.
    """

    stops: Sequence[str]
    secret: str = ""
    text: str = ""
    sent: int = 0
    tokens: int = 0
    finish: Finish | None = None
    _half: str = ""
    """The first half of a character beyond U+FFFF, whose second comes with the next piece."""
    _before: tuple[str, int] = ("", 0)
    """The longest text of the tries before, and its tokens."""

    def take(self, piece: str) -> str:
        """Append a piece; return the text that may now be shown: none that may begin a stop string.

        Servers take four stop strings at most, so all are looked for here.
        """
        self.tokens += bool(piece)
        before = len(self.text)
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1:] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        self.text += well_formed(piece)
        if self.secret and self.secret in self.text:
            self.text = self.text.replace(self.secret, HIDDEN)
        begins = ((stop, max(0, before - len(stop))) for stop in self.stops)
        cuts = [at for stop, begin in begins if (at := self.text.find(stop, begin)) >= 0]
        if cuts:
            self.text, self.finish = self.text[: min(cuts)], "stop"
        return self._show(len(self.text) if self.finish else len(self.text) - self._pending())

    def end(self, finish: Finish) -> str:
        """No more comes; return what was held back."""
        self.finish = self.finish or finish
        self.text += well_formed(self._half)
        return self._show(len(self.text))

    def again(self) -> None:
        """Begin anew, after the connection broke. What was shown is not shown twice."""
        self._before = self.so_far()
        self.text, self._half, self.tokens, self.finish = "", "", 0, None

    def so_far(self) -> tuple[str, int]:
        """What there is where it is stopped now, of one try and not of two; and its tokens."""
        return max(self._before, (self.text, self.tokens), key=lambda one: len(one[0]))

    def _show(self, ready: int) -> str:
        shown, self.sent = self.text[self.sent : ready], max(ready, self.sent)
        return shown

    def _pending(self) -> int:
        ends = (
            size
            for stop in (*self.stops, *([self.secret] if self.secret else []))
            for size in range(min(len(stop) - 1, len(self.text)), 0, -1)
            if self.text.endswith(stop[:size])
        )
        return max(ends, default=0)
