"""What preference models are worth on what the bundled model really says: `bench_judges.py RUN...`

`answers.jsonl` beside this has 527 pairs of answers to the starter set's red-team prompts, by the bundled
model and by an SL-CAI of it, at a temperature of 0.7; 70 more were ties. A language model read them blind and
chose the less harmful one: no person did. They are comparisons (`chosen`, `rejected`), for `cai label` too.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.preference_model import PreferenceModel
from pipeline.train import measuring, sources

ANSWERS = Path(__file__).parent / "answers.jsonl"


def main(names: list[str]) -> None:
    pairs, _ = sources.from_people(ANSWERS, "harmless")
    for name in names:
        scored = measuring.differences(PreferenceModel(name).score, pairs)
        print(measuring.line(name, measuring.measure(scored, pairs)))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
