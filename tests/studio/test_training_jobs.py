"""A training run's inputs are what was chosen, as it stood; its command is one that `cai` understands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline import pairs, prompts
from pipeline.calibration import Calibration, calibrate
from pipeline.configs import Drawing, Labelling
from pipeline.errors import UserError
from pipeline.records import Axis, Chain, Judgment, Message, Pair, Source, Step, as_json, parse
from pipeline.train import sources
from pipeline.training_configs import Direct, Preferring, Reinforcing, Supervised
from studio.jobs import launcher, queue, stages, training
from studio.jobs.ingest import ingest
from studio.jobs.training import Choices, Lessons
from studio.store import calibrations, judgments, runs, verdicts
from studio.store import pairs as pair_store
from studio.store.database import Store
from studio.store.lock import Holder
from studio.store.runs import NewRun, Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def critique_run(store: Store, folder: Path, id: str, chains: list[str]) -> None:
    run = NewRun(
        id=id,
        stage="critique",
        name=id,
        config=as_json(Drawing(revisions=1)),
        constitution="c1",
        constitution_name="test",
        total=len(chains),
        author="ann",
    )
    steps = (Step("response", "r"), Step("critique", "c", principle="p"), Step("revision", "v"))
    rows = [as_json(Chain(c, "p", (Message("user", c),), "c1", "m", "m", 0, steps)) for c in chains]
    (folder / id / "outputs").mkdir(parents=True)
    (folder / id / "config.yaml").write_text(yaml.safe_dump({"stage": "critique", "seed": 7}))
    (folder / id / "outputs" / "chains.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / id / "inputs").mkdir()
    (folder / id / "inputs" / "constitution.yaml").write_text("name: c")
    with store.tx() as tx:
        runs.add(tx, run, "done")
    ingest(store, run, folder / id)


def queued(store: Store) -> Run:
    [run] = queue.waiting(store)
    return run


def test_sft_learns_the_chains_that_nobody_has_rejected(store: Store, folder: Path) -> None:
    critique_run(store, folder, "one", ["a", "b", "c"])
    critique_run(store, folder, "two", ["c", "d"])
    verdicts.judge(store, "a", "ann", "rejected")
    verdicts.judge(store, "d", "ann", "accepted")
    lessons = Lessons(["one", "two", training.EVERY])
    training.prepare_sft(store, folder, lessons, Supervised(batch=2), {"chains": ["one"]}, "ann")
    run = queued(store)
    assert (run.stage, run.total, run.name) == ("sft", 2, "SFT of bundled × 3")
    inputs = folder / run.id / "inputs" / "chains"
    verdicts.judge(store, "b", "ann", "rejected")  # later: it changes nothing of this run
    read = [sources.from_chains(inputs / name, every=False) for name in ("one", "two")]
    assert [len(some) for some, _ in read] == [2, 1]
    assert read[0][1]["config"]["seed"] == 7
    assert (inputs / "one" / "inputs" / "constitution.yaml").read_text() == "name: c"
    assert not (inputs / training.EVERY).exists()  # all that is accepted came with a run
    assert stages.words(run, folder / run.id) == [
        *("sft", "--chains", str(inputs / "one"), str(inputs / "two")),
        *("--run", str(folder / run.id), "--batch", "2"),
    ]


def test_runs_get_the_gpus_that_they_ask_for_and_nobody_waits_for_ever(store: Store, folder: Path) -> None:
    critique_run(store, folder, "one", ["a", "b", "c"])
    for name, gpus in (("both", ["0", "1"]), ("any", []), ("last", ["2"])):
        chosen = {"name": name, "gpus": gpus}
        training.prepare_sft(store, folder, Lessons(["one"]), Supervised(), chosen, "ann")

    def ready() -> list[tuple[str, str]]:
        return [(run.name, device) for run, device in queue.ready(store, ("0", "1", "2"))]

    assert ready() == [("both", "0,1"), ("any", "2")]
    [both, *_] = queue.waiting(store)
    with store.tx() as tx:
        runs.set_state(tx, both.id, "running", ["waiting"])
        runs.add_process(tx, both.id, Holder(1, 0.0), "0,1")
    assert ready() == [("any", "2")]


def test_several_gpus_are_a_process_each() -> None:
    assert launcher.together("") == launcher.together("1") == []
    words = launcher.together("0,1")
    assert (words[0], words[2:4], words[-1]) == (launcher.ACCELERATE, ["--num_processes", "2"], "--module")


def test_only_accepted_chains_where_that_is_asked(store: Store, folder: Path, tmp_path: Path) -> None:
    critique_run(store, folder, "one", ["a", "b"])
    with pytest.raises(UserError, match="nothing to learn from"):
        training.prepare_sft(store, folder, Lessons(["one"], True), Supervised(), {}, "ann")
    demos = tmp_path / "mine.jsonl.gz"
    demos.write_bytes(b"")
    training.prepare_sft(store, folder, Lessons(demos=demos), Supervised(), {"name": " x "}, "ann")
    run = queued(store)
    assert run.name == "x"
    words = stages.words(run, folder / run.id)
    assert words[1:3] == ["--demos", str(folder / run.id / "inputs" / "demos.jsonl.gz")]


def pair(question: str) -> Pair:
    said = Source("bundled")
    return pairs.make_pair("p1", (Message("user", question),), "Yes.", "No.", said, said, "red_team")


def test_a_preference_model_learns_what_people_chose(store: Store, folder: Path, tmp_path: Path) -> None:
    some = [pair("One?"), pair("Two?"), pair("Three?")]
    with store.tx() as tx:
        pair_store.add(tx, some, None)
        judgments.add_imported(
            tx,
            [
                Judgment(p.id, "helpful", "../hh.jsonl", "imported", choice, picked_by="imported")
                for p, choice in zip(some, ("a", "tie", "skip"), strict=True)
            ],
            None,
        )
    file = tmp_path / "more.jsonl"
    file.write_text('{"prompt": "Q", "chosen": "x", "rejected": "y"}\n')
    choices = Choices(imports=[("../hh.jsonl", "helpful")], files=[(file, "helpful")])
    training.prepare_choices(
        store, folder, stages.PM, choices, Preferring(heldout=0, batch=1), ("", ""), {}, "ann"
    )
    run = queued(store)
    human = folder / run.id / "inputs" / "human"
    assert run.total == 6  # two epochs
    assert sorted(path.name for path in (human / "helpful").iterdir()) == ["1-hh.jsonl", "more.jsonl"]
    found, origin = sources.from_people(human / "helpful" / "1-hh.jsonl", "helpful")
    assert sorted(p.p for p in found) == [0.5, 1.0]
    assert origin["kinds"] == ["imported"]
    words = stages.words(run, folder / run.id)
    named = [f"helpful={human / 'helpful' / name}" for name in ("1-hh.jsonl", "more.jsonl")]
    assert words[:4] == ["pm", "--human", *named]
    assert not {"--gate", "--written", "--reserved"} & set(words)


def test_files_of_one_name_are_all_learnt_from(store: Store, folder: Path, tmp_path: Path) -> None:
    files: list[tuple[Path, Axis]] = []
    for place in ("online", "rejection", "base"):
        (tmp_path / place).mkdir()
        files.append((tmp_path / place / "train.jsonl", "helpful"))
        files[-1][0].write_text(json.dumps({"prompt": place, "chosen": "x", "rejected": "y"}) + "\n")
    training.prepare_choices(
        store, folder, stages.PM, Choices(files=files), Preferring(heldout=0, batch=1), ("", ""), {}, "ann"
    )
    run = queued(store)
    kept = sorted((folder / run.id / "inputs" / "human" / "helpful").iterdir())
    assert [path.name for path in kept] == ["2-train.jsonl", "3-train.jsonl", "train.jsonl"]
    assert sorted(path.read_text() for path in kept) == sorted(path.read_text() for path, _ in files)


def test_what_a_pm_is_measured_on_is_apart_from_what_it_learns(store: Store, folder: Path) -> None:
    learnt: tuple[str, Axis] = ("theirs.jsonl", "helpful")
    other: tuple[str, Axis] = ("others.jsonl", "helpful")
    with store.tx() as tx:
        for name, axis in (learnt, other):
            one = pair(name)
            pair_store.add(tx, [one], None)
            judged = Judgment(one.id, axis, name, "imported", "a", picked_by="imported")
            judgments.add_imported(tx, [judged], None)

    def put(measured: tuple[str, Axis]) -> None:
        choices = Choices(imports=[learnt], measured=[measured])
        training.prepare_choices(store, folder, stages.PM, choices, Preferring(), ("", ""), {}, "ann")

    with pytest.raises(UserError, match="chosen to learn from and to measure on"):
        put(learnt)
    put(other)
    run = queued(store)
    kept = folder / run.id / "inputs" / "eval" / "helpful" / "1-others.jsonl"
    assert len(sources.from_people(kept, "helpful")[0]) == 1
    assert f"helpful={kept}" in stages.words(run, folder / run.id)


def test_labels_are_copied_and_the_gate_is_told(store: Store, folder: Path) -> None:
    label = folder / "label-1"
    for name in ("config.yaml", "inputs/pairs.jsonl", "inputs/constitution.yaml", "outputs/labels.jsonl"):
        (label / name).parent.mkdir(parents=True, exist_ok=True)
        (label / name).write_text("{}\n")
    choices = Choices(labels=["label-1"], written=["harmless", "helpful"], reserved=True)
    training.prepare_choices(
        store, folder, stages.DPO, choices, Direct(), ("opposed", "to see what happens"), {}, "ann"
    )
    run = queued(store)
    words = stages.words(run, folder / run.id)
    copied = folder / run.id / "inputs" / "labels" / "label-1"
    assert words[1:3] == ["--labels", str(copied)]
    assert len([path for path in copied.rglob("*") if path.is_file()]) == 4
    at = words.index("--written")
    assert words[at : at + 4] == ["--written", "harmless", "helpful", "--reserved"]
    assert words[words.index("--gate") + 1] == "opposed"
    assert words[words.index("--override-gate") + 1] == "to see what happens"


def test_labels_are_calibrated_where_that_is_asked_and_a_calibration_is_kept(
    store: Store, folder: Path
) -> None:
    config = {**as_json(Labelling()), "axis": "harmless"}
    run = NewRun(
        id="label-1",
        stage="label",
        name="mine",
        config=config,
        constitution="c1",
        constitution_name="test",
        total=1,
        author="ann",
    )
    with store.tx() as tx:
        runs.add(tx, run, "done")
    stored = runs.load(store, "label-1")
    assert stored is not None
    choices = Choices(labels=["label-1"], calibrated=True)

    def put() -> list[str]:
        training.prepare_choices(store, folder, stages.PM, choices, Preferring(), ("agrees", ""), {}, "ann")
        return stages.words(queued(store), folder / queued(store).id)

    with pytest.raises(UserError, match="no calibration is kept for mine"):
        put()
    made = calibrate(np.tile([0.6, 0.7, 0.4], 20), np.tile([1.0, 1.0, 0.0], 20), np.arange(60))
    calibrations.keep(store, *training.labelled_by(stored), made)
    words = put()
    kept = Path(words[words.index("--calibration") + 1])
    assert parse(Calibration, json.loads(kept.read_text())) == made


def test_two_label_runs_of_one_name_are_not_calibrated_alike(store: Store, folder: Path) -> None:
    config = {**as_json(Labelling()), "axis": "harmless"}
    sharp = calibrate(np.tile([0.6, 0.7, 0.4], 20), np.tile([1.0, 1.0, 0.0], 20), np.arange(60))
    blunt = calibrate(np.tile([0.9, 0.3, 0.4], 20), np.tile([1.0, 1.0, 0.0], 20), np.arange(60))
    for id, constitution, kept in (("label-1", "c1", sharp), ("label-2", "c2", blunt)):
        run = NewRun(
            id=id,
            stage="label",
            name="logprob by m × 1",
            config=config,
            constitution=constitution,
            constitution_name=constitution,
            total=1,
            author="ann",
        )
        with store.tx() as tx:
            runs.add(tx, run, "done")
        stored = runs.load(store, id)
        assert stored is not None
        calibrations.keep(store, *training.labelled_by(stored), kept)
    choices = Choices(labels=["label-1", "label-2"], calibrated=True)
    with pytest.raises(UserError, match="have calibrations of their own"):
        training.prepare_choices(store, folder, stages.PM, choices, Preferring(), ("agrees", ""), {}, "ann")


def test_rl_names_its_models(store: Store, folder: Path) -> None:
    asked = [prompts.from_text("One?")]
    config = Reinforcing(model="/x/sft", steps=3)
    with pytest.raises(UserError, match="train one first"):
        training.prepare_rl(store, folder, asked, config, ("", ""), {}, "ann")
    with pytest.raises(UserError, match="the reward itself"):
        training.prepare_rl(store, folder, asked, config, ("pm-1", "pm-1"), {}, "ann")
    training.prepare_rl(store, folder, asked, config, ("pm-1", ""), {}, "ann")
    run = queued(store)
    words = stages.words(run, folder / run.id)
    assert words[:3] == ["rl", "--prompts", str(folder / run.id / "inputs" / "prompts.jsonl")]
    assert words[words.index("--pm") + 1] == str(folder / "pm-1")
    assert "--judge" not in words
    assert (run.total, run.name) == (3, "RL of sft × 1")
