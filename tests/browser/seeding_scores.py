"""Fill a session with scored chains: `python seeding_scores.py FOLDER`.

Two runs with critiques under two constitutions and one without, by two preference models. A name is hostile.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from seeding_checkpoints import HOSTILE, JUDGE, add_card, add_run

from pipeline import constitution
from pipeline.critique import as_row
from pipeline.records import Chain, Message, Step
from pipeline.revision_scores import RevisionScore
from studio.store import constitutions, revision_scores
from studio.store.database import Store

OTHER = "00000000-0000-7000-9000-000000000301"
RUNS = tuple(f"00000000-0000-7000-9000-00000000030{n}" for n in (2, 3, 4))
SCORES = {
    JUDGE: "00000000-0000-7000-9000-000000000305",
    OTHER: "00000000-0000-7000-9000-000000000306",
}
PROMPTS = 80


def fill(folder: Path) -> None:
    """Add the runs, their chains, and what both preference models hold of them."""
    store = Store.open(folder)
    shipped = [constitution.load(constitution.shipped()[name]) for name in ("harmless", "minimal")]
    constitutions.seed_shipped(store, shipped)
    at = store.folder / "runs"
    add_run(store, at, JUDGE, "pm", "harmlessness PM × 800", {"model": "bundled"}, "done", None)
    add_run(store, at, OTHER, "pm", "helpfulness PM × 800", {"model": "bundled"}, "done", None)
    for pm in (JUDGE, OTHER):
        add_card(at / pm, "pm", "bundled", 100, {})
    random = np.random.default_rng(0)
    made: dict[str, list[RevisionScore]] = {JUDGE: [], OTHER: []}
    for id, name, version, critiques, worth in (
        (RUNS[0], f"80 prompts {HOSTILE}", shipped[0].version, True, 0.45),
        (RUNS[1], "80 prompts, at once", shipped[0].version, False, 0.3),
        (RUNS[2], "80 prompts, minimal", shipped[1].version, True, 0.2),
    ):
        add_run(store, at, id, "critique", name, {"model": "bundled", "critiques": critiques}, "done", None)
        _chains(at / id, version, critiques)
        first = np.random.default_rng(1).normal(-1, 1, PROMPTS)
        for pm, sign in ((JUDGE, 1.0), (OTHER, -0.4)):
            made[pm] += _scores(random, str(at / pm), id, version, critiques, sign * first, sign * worth)
    for pm, run in SCORES.items():
        add_run(store, at, run, "score", "scores × 1,200", {"pm": str(at / pm)}, "done", None)
        with store.tx() as tx:
            revision_scores.add(tx, made[pm], run)
    store.close()


def _chains(run: Path, version: str, critiques: bool) -> None:
    steps = [Step("response", "Sure."), Step("revision", "I'd rather not.", "harm")]
    some = [
        Chain(f"{run.name}-{n}", f"p{n}", (Message("user", f"Ask {n}?"),), version, "bundled", "bundled", 0,
              tuple(steps), critiques=critiques)
        for n in range(4)
    ]  # fmt: skip
    (run / "outputs").mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(as_row(chain)) + "\n" for chain in some)
    (run / "outputs" / "chains.jsonl").write_text(text)


def _scores(
    random: np.random.Generator,
    pm: str,
    run: str,
    version: str,
    critiques: bool,
    first: np.ndarray,
    worth: float,
) -> list[RevisionScore]:
    """Each revision is worth less than the one before."""
    return [
        RevisionScore(
            id=f"{run}:c{n}:{at}",
            chains=run,
            chain=f"c{n}",
            prompt_id=f"p{n}",
            revision=at,
            score=float(first[n] + (worth * at**0.6 + random.normal(0, 0.5) if at else 0.0)),
            pm=pm,
            pm_revision=f"weights of {pm[-4:]}",
            constitution=version,
            model="bundled",
            critic="bundled",
            critiques=critiques,
        )
        for n in range(len(first))
        for at in range(5)
    ]


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
