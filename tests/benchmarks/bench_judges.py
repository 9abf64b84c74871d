"""What judges are worth on what the bundled model really says: `bench_judges.py MODEL...`

Preference models of reserved pairs, as a tour's judges are, on the others of `said-harmless` and
`said-helpful`; feedback models that score, as `bundled-feedback` does, on the reserved of `said-harmless`,
each under a principle of the constitution `harmless` drawn for it. These are answers of the bundled model and
of SL-CAIs of it at a temperature of 0.7, which a language model read blind; no person did. What learnt from
the pairs that it is measured on is flattered.
"""

from __future__ import annotations

import sys

from pipeline import constitution as constitutions
from pipeline import written
from pipeline.engines.opening import loaded
from pipeline.evaluate_command import is_preference_model
from pipeline.preference_model import PreferenceModel
from pipeline.train import feedback_model, measuring


def main(names: list[str]) -> None:
    for name in names:
        if is_preference_model(name):
            score = PreferenceModel(name).score
            for axis in ("said-harmless", "said-helpful"):
                pairs = written.preferences(axis, reserved=False)
                figures = measuring.measure(measuring.differences(score, pairs), pairs)
                print(measuring.line(f"{name}, {axis}", figures), flush=True)  # noqa: T201
        else:
            harmless = constitutions.load(constitutions.find("harmless"))
            pairs = feedback_model.asked(written.preferences("said-harmless", reserved=True), harmless, 0)
            figures = measuring.measure(feedback_model.differences(loaded(name), pairs), pairs)
            print(measuring.line(f"{name}, reserved", figures), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
