"""What preference models are worth on what the bundled model really says: `bench_judges.py RUN...`

Measured on the pairs of `said-harmless` and `said-helpful` that are not reserved: answers of the bundled
model and of an SL-CAI of it at a temperature of 0.7, which a language model read blind; no person did. A
preference model that learnt from these has seen them, and one of reserved pairs has not.
"""

from __future__ import annotations

import sys

from pipeline import written
from pipeline.preference_model import PreferenceModel
from pipeline.train import measuring


def main(names: list[str]) -> None:
    for name in names:
        score = PreferenceModel(name).score
        for axis in ("said-harmless", "said-helpful"):
            pairs = written.preferences(axis, reserved=False)
            figures = measuring.measure(measuring.differences(score, pairs), pairs)
            print(measuring.line(f"{name}, {axis}", figures))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
