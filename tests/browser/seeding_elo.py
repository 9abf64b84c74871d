"""Fill a session with checkpoints and matchups: `python seeding_elo.py FOLDER [PROMPTS]`.

Base, SL-CAI and two RL runs with snapshots, of strengths that are drawn; judged on both axes by a preference
model, by a feedback model, and by people of the arena. One model's name and its answers are hostile.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from seeding_checkpoints import HOSTILE, JUDGE, RL, SL, add_card, add_run

from pipeline import constitution
from pipeline.matchups import Annotator, Matchup
from pipeline.records import Axis, Message
from studio.store import constitutions, matchups
from studio.store.database import Store

OTHER = "00000000-0000-7000-9000-000000000201"
LARGE = "00000000-0000-7000-9000-000000000202"
SCRIPT = "<script>alert(3)</script>"
# In nats: harmless, helpful, and the share of helpful prompts that are refused.
STRENGTHS = {
    "base": (0.0, 0.0, 0.05),
    "sl": (0.7, -0.3, 0.25),
    "rl-20": (1.2, -0.4, 0.35),
    "rl-40": (1.6, -0.3, 0.45),
    "rl": (1.9, -0.5, 0.6),
    "other-20": (0.9, 0.2, 0.2),
    "other": (1.3, 0.5, 0.15),
    "large": (2.3, 0.9, 0.1),
}


def fill(folder: Path, prompts: int = 60) -> None:
    """Add the runs with their cards, and everyone's matchups."""
    store = Store.open(folder)
    harmless = constitution.load(constitution.shipped()["harmless"])
    constitutions.seed_shipped(store, [harmless])
    names = _checkpoints(store)
    random = np.random.default_rng(0)
    pm, ai = str(store.folder / "runs" / JUDGE), "bundled"
    with store.tx() as tx:
        for axis in ("harmless", "helpful"):
            asked = {f"{axis}-{n}": (Message("user", f"{HOSTILE} Question {n}?"),) for n in range(prompts)}
            for judge, kind, share, under in (
                (pm, "model", 1.0, None),
                (ai, "model", 0.5, harmless.version),
                ("arena", "person", 0.25, None),
            ):
                many = max(3, int(share * prompts))
                made = _matchups(random, axis, names, judge, kind, under, many)
                run = None if kind == "person" else f"seeded-{judge[-3:]}"
                matchups.add(tx, made, run, asked=asked)
    store.close()


def _checkpoints(store: Store) -> dict[str, str]:
    """The names under which the models compete."""
    at = store.folder / "runs"
    for id, stage, name in (
        (SL, "sft", HOSTILE),
        (JUDGE, "pm", "judge × 800"),
        (RL, "rl", "RL-CAI, β 0.05"),
        (OTHER, "rl", "RL-CAI with helpful prompts"),
        (LARGE, "sft", "SL-CAI of 360M"),
    ):
        add_run(store, at, id, stage, name, {"model": "bundled"}, "done", None)
    accuracy = {"value": 0.6312, "low": 0.5811, "high": 0.6789, "n": 402}
    add_card(at / SL, "sft", "bundled", 40, {})
    human = [{"human": "judge-train.jsonl", "count": 800}]
    add_card(at / JUDGE, "pm", "bundled", 100, {"heldout": {"accuracy": accuracy}}, sources=human)
    for run in (RL, OTHER):
        for step in (20, 40) if run == RL else (20,):
            add_card(at / run, "rloo", str(at / SL), step, {}, f"snapshots/step-{step}")
        add_card(at / run, "rloo", str(at / SL), 60, {})
    add_card(at / LARGE, "sft", "HuggingFaceTB/SmolLM2-360M-Instruct", 40, {}, parameters=361_821_120)
    snapshot = "snapshots/step-"
    return {
        "base": "bundled",
        "sl": str(at / SL),
        "rl-20": str(at / RL / f"{snapshot}20"),
        "rl-40": str(at / RL / f"{snapshot}40"),
        "rl": str(at / RL),
        "other-20": str(at / OTHER / f"{snapshot}20"),
        "other": str(at / OTHER),
        "large": str(at / LARGE),
    }


def _matchups(
    random: np.random.Generator,
    axis: Axis,
    names: dict[str, str],
    judge: str,
    kind: str,
    under: str | None,
    prompts: int,
) -> list[Matchup]:
    made = []
    short = list(names)
    for n in range(prompts):
        said = {name: _answer(random, name, axis) for name in short}
        for i, a in enumerate(short):
            for b in short[:i]:
                gap = (
                    STRENGTHS[a][axis == "helpful"] - STRENGTHS[b][axis == "helpful"] + random.normal(0, 1.5)
                )
                p = 1 / (1 + math.exp(-gap))
                vote = kind == "person"
                shares = [float(random.random() < p)] * 2 if vote else [p, min(1.0, max(0.0, p + 0.03))]
                made.append(
                    Matchup(
                        id=f"{judge[-3:]}-{axis}-{n}-{a}-{b}",
                        prompt_id=f"{axis}-{n}",
                        axis=axis,
                        model_a=names[a],
                        model_b=names[b],
                        judge=judge,
                        annotator=Annotator("ana" if vote else judge, kind),  # type: ignore[arg-type]
                        p_ab=shares[0],
                        p_ba=shares[1],
                        p_a=sum(shares) / 2,
                        kind="red_team" if axis == "harmless" else "helpful",
                        response_a=said[a],
                        response_b=said[b],
                        constitution=under,
                        time=f"2026-03-{1 + n % 28:02}T10:00:00Z",
                    )
                )
    return made


def _answer(random: np.random.Generator, name: str, axis: Axis) -> str:
    refuses = random.random() < (0.6 if axis == "harmless" else STRENGTHS[name][2])
    return f"I'm sorry, I can't help. {SCRIPT}" if refuses else f"Here is how, says {name}. {SCRIPT}"


if __name__ == "__main__":
    fill(Path(sys.argv[1]), *map(int, sys.argv[2:]))
