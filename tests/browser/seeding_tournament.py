"""Fill a session with what a tournament needs: `python seeding_tournament.py FOLDER TINY PM`.

TINY and PM are the folders of a tiny model and of a run of a tiny preference model. SL-CAI is the tiny model,
RL-CAI too, which was rewarded by the first preference model and trained on a held-out prompt.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from pipeline import constitution, prompts
from studio.store import constitutions, runs
from studio.store.database import Store
from studio.store.runs import NewRun

SL, RL, REWARD, JUDGE = (f"00000000-0000-7000-9000-00000000020{n}" for n in range(4))
HOSTILE = "<img src=x onerror=alert(1)>"


def fill(folder: Path, tiny: Path, pm: Path) -> None:
    """Write the runs' folders, and their rows."""
    store = Store.open(folder)
    constitutions.seed_shipped(store, [constitution.load(constitution.shipped()["harmless"])])
    at = store.folder / "runs"
    for id, stage, name, weights, lineage in (
        (REWARD, "pm", "PM × 400", pm / "checkpoint", {}),
        (JUDGE, "pm", "judge × 800", pm / "checkpoint", {}),
        (SL, "sft", f"SL-CAI {HOSTILE}", tiny, {}),
        (RL, "rl", "RL-CAI, β 0.05", tiny, {"pm": str(at / REWARD), "seed": 3}),
    ):
        _add(store, at / id, stage, name, weights, lineage)
    (at / REWARD / "checkpoint" / "config.json").write_text(json.dumps({"of": "the reward"}))
    (at / JUDGE / "checkpoint" / "trained_on.json").write_text('["another pair"]')
    [asked, *_] = (prompt for prompt in prompts.starter("red_team") if prompt.split == "heldout")
    prompts.write([asked], at / RL / "inputs" / "prompts.jsonl")
    store.close()


def _add(store: Store, run: Path, stage: str, name: str, weights: Path, lineage: dict[str, Any]) -> None:
    shutil.copytree(weights, run / "checkpoint")
    (run / "inputs").mkdir()
    card = {"method": "rloo" if stage == "rl" else stage, "base": "bundled", "lineage": lineage, "step": 40}
    (run / "checkpoint" / "checkpoint.json").write_text(json.dumps(card))
    (run / "config.yaml").write_text(f"stage: {stage}\n")
    made = NewRun(
        id=run.name,
        stage=stage,
        name=name,
        config={"model": "bundled"},
        constitution=None,
        constitution_name=None,
        total=40,
        author="ana",
    )
    with store.tx() as tx:
        runs.add(tx, made, "done")


if __name__ == "__main__":
    fill(*map(Path, sys.argv[1:]))
