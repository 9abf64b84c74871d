"""How far a run is: progress and sample events for whoever watches, and a line on the terminal.

Shared by all stages. An event at most every half second, however fast the work goes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.events import EventLog

EVERY = 0.5
"""Seconds between two events of a kind."""
SHOWN_EVERY = 0.25
"""Seconds between two pictures of the line."""


@dataclass
class Part:
    """What has to be there before the first row, as the answers of a tournament: `noun` in the plural."""

    noun: str
    total: int
    done: int = 0
    _here: int = 0
    _began: float = field(default_factory=lambda: time.monotonic())

    def more(self, many: int) -> None:
        """So many more are done."""
        self.done += many
        self._here += many

    def told(self) -> dict[str, object]:
        """How far it is, and the seconds to go; None until one is done."""
        passed = time.monotonic() - self._began
        eta = round((self.total - self.done) * passed / self._here, 1) if self._here else None
        return {"noun": self.noun, "done": self.done, "total": self.total, "eta_s": eta}


class Meter:
    """Counts what is done, of `total`, from `done` on. `noun` is what is counted, in the plural."""

    def __init__(self, log: EventLog, total: int, done: int, noun: str) -> None:
        self.log, self.noun = log, noun
        self.total, self.done = total, done
        self.tokens = 0
        self.part: Part | None = None
        self._whole = self._whole_tokens = 0
        self._began = self._rows_began = time.monotonic()
        self._told = self._shown = self._sampled = float("-inf")

    def text(self, index: int, text: str) -> None:
        """An engine's `on_text`. A piece is a token, but for the few that share a character."""
        self.tokens += 1
        self.show()

    def computed(self, tokens: int) -> None:
        """So many tokens went through the model at once."""
        self.tokens += tokens
        self.show()

    def one_more(self, tokens: int, sample: Callable[[], Mapping[str, object]]) -> None:
        """One of so many tokens is done; its sample is made and told when it is time for one."""
        self.done += 1
        self._whole += 1
        self._whole_tokens += tokens
        if (now := time.monotonic()) - self._sampled >= EVERY:
            self._sampled = now
            self.log.emit("sample", **sample())
        self.show()

    def begin(self, part: Part) -> None:
        """This comes before the rows."""
        self.part = part
        self.show(force=True)

    def end_part(self) -> None:
        """Now the rows come: how long they take is measured from here."""
        self.part = None
        self._rows_began = time.monotonic()

    def rate(self) -> float:
        """Tokens a second, since this attempt began."""
        return self.tokens / max(1e-9, time.monotonic() - self._began)

    def eta(self) -> float | None:
        """Seconds to go: the others as long as those that are done, less what they have.

        By time where what is done says nothing of its tokens. None until one is done, and while the first
        done are so short that they say nothing of the rest.
        """
        if not self._whole:
            return None
        if not self._whole_tokens:
            return (self.total - self.done) * (time.monotonic() - self._rows_began) / self._whole
        if not self.tokens:
            return None
        there = self.tokens - self._whole_tokens
        to_write = (self.total - self.done) * self._whole_tokens / self._whole - there
        return to_write / self.rate() if to_write > 0 or self.done == self.total else None

    def show(self, force: bool = False) -> None:
        """Tell of the progress where it is time to, or in any case."""
        now = time.monotonic()
        if force or now - self._told >= EVERY:
            self._told = now
            eta = self.eta()
            self.log.emit(
                "progress",
                done=self.done,
                total=self.total,
                tokens=self.tokens,
                tokens_per_second=round(self.rate(), 1),
                eta_s=None if eta is None else round(eta, 1),
                **({"part": self.part.told()} if self.part else {}),
            )
        if sys.stderr.isatty() and (force or now - self._shown >= SHOWN_EVERY):
            self._shown = now
            now_at = self.part or self
            sys.stderr.write(f"\r{now_at.done}/{now_at.total} {now_at.noun} · {self.rate():.0f} tokens/s ")
            sys.stderr.flush()
