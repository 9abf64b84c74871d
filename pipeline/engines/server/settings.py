"""How servers are used, from the environment: it belongs to the machine and its key, not to a run."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.engines.server.connection import Patience
from pipeline.engines.spending import whole_number


@dataclass(frozen=True)
class Settings:
    """`at_once`: requests in flight. `samples`: answers that estimate a choice without probabilities."""

    at_once: int = 8
    samples: int = 16
    patience: Patience = Patience()

    @classmethod
    def from_environment(cls) -> Settings:
        """CAI_SERVER_CONCURRENCY, CAI_SERVER_SAMPLES, CAI_SERVER_TIMEOUT (s). Raises UserError."""
        return cls(
            whole_number("CAI_SERVER_CONCURRENCY", cls.at_once, high=256),
            whole_number("CAI_SERVER_SAMPLES", cls.samples, low=2, high=1000),
            Patience(silence=float(whole_number("CAI_SERVER_TIMEOUT", 120, high=86400))),
        )
