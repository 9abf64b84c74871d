"""What servers' models may cost: tokens in and out, counted as the server counts them.

A run writes each exchange into its `usage.jsonl`, so that the limit is one on the whole run, however
often it is stopped and gone on with.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pipeline import bounded
from pipeline.engines import SpentError
from pipeline.errors import UserError
from pipeline.events import cut_torn_tail
from pipeline.rundir import read_rows

LIMIT = "CAI_SERVER_MAX_TOKENS"
USAGE = "usage.jsonl"


class Purse:
    """Tokens that were used, of those that may be. `limit` None: as many as it takes."""

    def __init__(self, limit: int | None = None, log: Path | None = None) -> None:
        """`log` keeps the count; what is in it already was used before."""
        self.limit, self._log = limit, log
        self.spent = 0
        self.reserved = 0  # what those in flight may still take
        if log:
            cut_torn_tail(log)
            self.spent = sum(row["prompt"] + row["completion"] for row in read_rows(log))

    @classmethod
    def from_environment(cls, log: Path | None = None) -> Purse:
        """The limit is that of CAI_SERVER_MAX_TOKENS. Raises UserError where this is no number."""
        return cls(whole_number(LIMIT, None), log)

    def holds(self, tokens: int) -> bool:
        """Whether so many more may be used."""
        return self.limit is None or self.spent + self.reserved + tokens <= self.limit

    def pay(self, revision: str, prompt: int, completion: int, counted: bool) -> None:
        """Note what an exchange took. `counted`: by the server, not by our own estimate."""
        self.spent += prompt + completion
        if self._log:
            row = {"model": revision, "prompt": prompt, "completion": completion, "counted": counted}
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def empty(self, wanted: int) -> SpentError:
        """What is said when the next request does not fit."""
        return SpentError(
            f"the limit for servers is reached: {self.spent:,} of {self.limit:,} tokens are used, and the "
            f"next request may take {wanted:,}. Raise {LIMIT} and give the same command again to go on"
        )


def whole_number(variable: str, default: Any, low: int = 1, high: int = 10**15) -> Any:
    """The number in an environment variable. Raises UserError where it is none, or out of range."""
    said = os.environ.get(variable, "").strip()
    if not said:
        return default
    if (number := bounded.number(said, high)) is None or number < low:
        raise UserError(f"{variable}: {said!r} is not a number from {low:,} to {high:,}")
    return number
