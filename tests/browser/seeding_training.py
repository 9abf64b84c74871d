"""Fill a session with what training starts from: `python seeding_training.py FOLDER`.

A finished run of eight chains, one of sixteen labels, and a file of sixteen comparisons.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from pipeline import constitution, pairs
from pipeline.configs import Drawing, Labelling
from pipeline.records import Chain, Judgment, Label, Message, Pair, Source, Step, as_json
from pipeline.rundir import write_atomically
from studio.jobs.ingest import ingest
from studio.store import constitutions, judgments, runs
from studio.store import pairs as pair_store
from studio.store.database import Store
from studio.store.runs import NewRun

CHAINS = "00000000-0000-7000-9000-00000000000a"
LABELS = "00000000-0000-7000-9000-00000000000b"
HOSTILE = "<img src=x onerror=alert(1)>"


def fill(folder: Path) -> None:
    """Write the runs' folders, and take them in as the studio does."""
    store = Store.open(folder)
    harmless = constitution.load(constitution.shipped()["harmless"])
    constitutions.seed_shipped(store, [harmless])
    under = next(principle.id for principle in harmless.principles if principle.critique_request)
    chains = [chain(number, harmless.version, under) for number in range(8)]
    _run(
        store,
        folder,
        CHAINS,
        "critique",
        f"red team {HOSTILE}",
        as_json(Drawing(revisions=1)),
        "chains",
        chains,
    )
    some = [pair(number) for number in range(16)]
    labels = [
        Label(p.id, under, "choice", "bundled", harmless.version, 0, 1.0, 0.8, 0.73, 0.69, 0.71) for p in some
    ]
    config = {**as_json(Labelling()), "axis": "harmless"}
    inputs = folder / "runs" / LABELS / "inputs"
    inputs.mkdir(parents=True)
    pairs.write(some, inputs / "pairs.jsonl")
    write_atomically(inputs / "constitution.yaml", constitution.dump(harmless))
    _run(store, folder, LABELS, "label", "choice by bundled × 16", config, "labels", labels)
    with store.tx() as tx:
        pair_store.add(tx, some, None)
        judgments.add_imported(
            tx,
            [
                Judgment(p.id, "helpful", "hh-helpful.jsonl", "imported", "a", picked_by="imported")
                for p in some
            ],
            None,
        )
    store.close()


def chain(number: int, version: str, principle: str) -> Chain:
    """A chain of one round."""
    steps = (
        Step("response", f"Sure, number {number}: take it."),
        Step("critique", "It helps to harm.", principle=principle),
        Step("revision", f"I would rather not, for reason {number}."),
    )
    asked = (Message("user", f"How do I take what is not mine? ({number})"),)
    return Chain(f"chain-{number}", f"p{number}", asked, version, "bundled", "bundled", 0, steps)


def pair(number: int) -> Pair:
    """Two responses to a prompt of its own."""
    asked = (Message("user", f"Is it right to take number {number}?"),)
    said = Source("bundled")
    no, yes = f"No, it is not mine: {number}.", f"Yes, take it: {number}. {HOSTILE}"
    return pairs.make_pair(f"q{number}", asked, no, yes, said, said, "red_team")


def _run(
    store: Store,
    folder: Path,
    id: str,
    stage: str,
    name: str,
    config: dict[str, object],
    output: str,
    rows: list[Chain] | list[Label],
) -> None:
    version = rows[0].constitution
    run = NewRun(
        id=id,
        stage=stage,
        name=name,
        config=config,
        constitution=version,
        constitution_name="harmless",
        total=len(rows),
        author="ann",
    )
    outputs = folder / "runs" / id / "outputs"
    outputs.mkdir(parents=True)
    (folder / "runs" / id / "config.yaml").write_text(yaml.safe_dump({"stage": stage, **config}))
    text = "".join(json.dumps(as_json(row)) + "\n" for row in rows)
    (outputs / f"{output}.jsonl").write_text(text, encoding="utf-8")
    with store.tx() as tx:
        runs.add(tx, run, "done")
    ingest(store, run, folder / "runs" / id)


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
