"""Fill a session with a whole line of checkpoints before a studio opens it.

`python seeding_checkpoints.py FOLDER [MODEL]`: cards as training writes them, on chains and labels of runs
that the session knows. MODEL is a tiny model's folder, of which SL-CAI is a real adapter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pipeline import constitution, models
from pipeline.configs import Drawing, Labelling
from pipeline.records import as_json
from studio.store import constitutions, runs
from studio.store.database import Store
from studio.store.runs import NewRun, State

HOSTILE = "<img src=x onerror=alert(1)> & <b>SL</b>"
CHAINS, LABELS, SL, PM, JUDGE, RL = (f"00000000-0000-7000-9000-00000000010{n}" for n in range(6))


def fill(folder: Path, model: Path | None = None, policy: State = "done") -> None:
    """Constitution → chains → SL-CAI; labels and people's choices → PM; both, and a judge → RL-CAI."""
    store = Store.open(folder)
    harmless = constitution.load(constitution.shipped()["harmless"])
    constitutions.seed_shipped(store, [harmless])
    at = store.folder / "runs"
    for id, stage, name, config, state in (
        (CHAINS, "critique", "harmless × 64", as_json(Drawing()), "done"),
        (LABELS, "label", "choice by bundled × 400", {**as_json(Labelling()), "axis": "harmless"}, "done"),
        (SL, "sft", HOSTILE, {"model": "bundled"}, "done"),
        (PM, "pm", "PM of bundled × 1,600", {"model": "bundled"}, "done"),
        (JUDGE, "pm", "judge × 800", {"model": "bundled"}, "done"),
        (RL, "rl", "RL-CAI, β 0.05", {"model": "bundled"}, policy),
    ):
        add_run(
            store, at, id, stage, name, config, state, harmless if stage in ("critique", "label") else None
        )
    where = at / SL / "inputs" / "chains" / CHAINS
    chains = {"chains": str(where), "count": 64, "constitutions": [harmless.version], "models": ["bundled"]}
    where.mkdir(parents=True)
    labels = {"labels": str(at / LABELS), "count": 400, "constitution": harmless.version, "model": "bundled"}
    human = {
        "human": "/home/me/<i>helpful.jsonl",
        "axis": "helpful",
        "count": 1200,
        "kinds": ["imported"],
    }
    accuracy = {"value": 0.6312, "low": 0.5811, "high": 0.6789, "n": 402}
    heldout = {"pairs": 402, "accuracy": accuracy, "brier": {**accuracy, "value": 0.221}, "loss": 0.652}
    base = str(model) if model else "bundled"
    add_card(at / SL, "sft", base, 40, {"loss_first": 2.31, "loss_last": 1.42}, sources=[chains], seed=1)
    add_card(
        at / PM, "pm", "bundled", 200, {"heldout": heldout}, sources=[labels, human], gate="agrees", seed=2
    )
    add_card(at / JUDGE, "pm", "bundled", 100, {"heldout": heldout}, sources=[{"human": "judge-train.jsonl"}])
    made = {"pm": str(at / PM), "judge": str(at / JUDGE), "seed": 3}
    for step in (20, 40):
        add_card(at / RL, "rloo", str(at / SL), step, {}, f"snapshots/step-{step}", **made)
    if policy == "done":
        rewards = {"reward_first": -0.21, "reward_last": 0.87}
        add_card(at / RL, "rloo", str(at / SL), 60, rewards, **made)
    if model:
        _adapter(at / SL / "checkpoint", model)
    store.close()


def add_run(
    store: Store, at: Path, id: str, stage: str, name: str, config: Any, state: State, under: Any
) -> None:
    """Add a run with its folder, and the constitution `under` which it was made."""
    run = NewRun(
        id=id,
        stage=stage,
        name=name,
        config=config,
        constitution=under.version if under else None,
        constitution_name=under.name if under else None,
        total=64,
        author="ana",
    )
    (at / id / "inputs").mkdir(parents=True)
    (at / id / "config.yaml").write_text(f"stage: {stage}\n")
    if under:
        (at / id / "inputs" / "constitution.yaml").write_text(constitution.dump(under))
    with store.tx() as tx:
        runs.add(tx, run, state)


def add_card(
    run: Path,
    method: str,
    base: str,
    step: int,
    figures: Any,
    place: str = "checkpoint",
    parameters: int = 134_515_008,
    **lineage: Any,
) -> None:
    card = {
        "method": method,
        "base": base,
        "base_revision": "r1",
        "parameters": parameters,
        "trained": 4_884_480,
        "step": step,
        "figures": figures,
        "lineage": lineage,
    }
    (run / place).mkdir(parents=True)
    (run / place / "checkpoint.json").write_text(json.dumps(card))
    (run / place / "model.safetensors").write_bytes(b"weights")


def _adapter(folder: Path, model: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    shape = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    made = get_peft_model(AutoModelForCausalLM.from_pretrained(model), shape)
    made.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    card = json.loads((folder / "checkpoint.json").read_text())
    card["base_revision"] = models.fingerprint(model)
    (folder / "checkpoint.json").write_text(json.dumps(card))


if __name__ == "__main__":
    fill(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
