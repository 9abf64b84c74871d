"""Fill a session with a real adapter on the bundled model: `python seeding_adapter.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline import bundled
from studio.store.database import Store

sys.path.insert(0, str(Path(__file__).parent))
import seeding_checkpoints

NAME = "SL-CAI zebra-7"


def fill(folder: Path) -> None:
    """Add the run, its card and its weights."""
    store = Store.open(folder)
    at = store.folder / "runs"
    config = {"model": "bundled"}
    seeding_checkpoints.add_run(store, at, seeding_checkpoints.SL, "sft", NAME, config, "done", None)
    store.close()
    seeding_checkpoints.add_card(at / seeding_checkpoints.SL, "sft", "bundled", 40, {})
    seeding_checkpoints._adapter(at / seeding_checkpoints.SL / "checkpoint", bundled.folder())


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
