"""Each stage says the words of its command, and they are words that `cai` understands."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import constitution, pairs, prompts
from pipeline.__main__ import main
from pipeline.configs import Answering, Drawing, Labelling
from pipeline.errors import UserError
from pipeline.records import Message, Pair, Source
from studio.jobs import batch, queue, stages
from studio.store import runs
from studio.store.database import Store
from studio.store.runs import Run

MINIMAL = constitution.load(constitution.shipped()["minimal"])
HARMLESS = constitution.load(constitution.shipped()["harmless"])
ASKED = [prompts.from_text("One?"), prompts.from_text("Two?")]


def pair(question: str) -> Pair:
    said = Source("bundled")
    return pairs.make_pair("p1", (Message("user", question),), "Yes.", "No.", said, said, "red_team")


def queued(store: Store) -> Run:
    [run] = queue.waiting(store)
    return run


def test_a_batch_of_chains(store: Store, tmp_path: Path) -> None:
    batch.prepare_critique(store, tmp_path, ASKED, MINIMAL, Drawing(seed=3), "", "ann")
    run = queued(store)
    folder, inputs = tmp_path / run.id, tmp_path / run.id / "inputs"
    assert (run.stage, run.name, run.total) == ("critique", "minimal × 2", 2)
    assert stages.words(run, folder) == [
        *("critique", "--constitution", str(inputs / "constitution.yaml")),
        *("--prompts", str(inputs / "prompts.jsonl"), "--run", str(folder)),
        *("--critic", "bundled-critic", "--seed", "3"),
    ]


def test_what_is_asked_for_twice_in_a_moment_is_one_run(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(question: str, seed: int = 3, who: str = "ann") -> str:
        asked, drawing = [prompts.from_text(question)], Drawing(seed=seed)
        return batch.prepare_critique(store, tmp_path / "runs", asked, MINIMAL, drawing, "", who)

    first = put("One?")
    assert put("One?") == first
    others = [put("Two?"), put("One?", seed=4), put("One?", who="ben")]
    assert [run.id for run in queue.waiting(store)] == [first, *others]
    assert len(list((tmp_path / "runs").iterdir())) == 4
    monkeypatch.setattr(batch, "TWICE", timedelta(0))  # later
    assert put("One?") != first


def test_a_run_of_pairs(store: Store, tmp_path: Path) -> None:
    batch.prepare_pairs(store, tmp_path, ASKED, Answering(samples=3), " ", "ann")
    run = queued(store)
    folder = tmp_path / run.id
    assert (run.stage, run.name, run.total) == ("pairs", "pairs × 2 by bundled", 2)
    assert (run.constitution, run.constitution_name) == (None, None)
    prompts_file = str(folder / "inputs" / "prompts.jsonl")
    assert stages.words(run, folder) == [
        *("pairs", "--prompts", prompts_file, "--run", str(folder), "--samples", "3")
    ]


def test_a_run_of_labels(store: Store, tmp_path: Path) -> None:
    some = [pair("One?"), pair("Two?")]
    labelling = Labelling(model="bundled", method="contrast", principles="2")
    batch.prepare_label(store, tmp_path, some, HARMLESS, labelling, "helpful", "mine", "ann")
    run = queued(store)
    folder, inputs = tmp_path / run.id, tmp_path / run.id / "inputs"
    assert (run.name, run.constitution, run.total) == ("mine", HARMLESS.version, 4)
    assert stages.words(run, folder) == [
        *("label", "--pairs", str(inputs / "pairs.jsonl")),
        *("--constitution", str(inputs / "constitution.yaml"), "--run", str(folder)),
        *("--axis", "helpful", "--model", "bundled", "--method", "contrast", "--principles", "2"),
    ]
    assert constitution.load(inputs / "constitution.yaml") == HARMLESS


def test_more_principles_than_there_are_is_all_of_them(store: Store, tmp_path: Path) -> None:
    batch.prepare_label(
        store, tmp_path, [pair("One?")], HARMLESS, Labelling(principles="99"), "harmless", "", ""
    )
    assert queued(store).total == len(constitution.usable(HARMLESS, "feedback"))


def test_nothing_to_label_is_said_before_the_queue(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such pairs"):
        batch.prepare_label(store, tmp_path, [], MINIMAL, Labelling(), "harmless", "", "ann")
    mute = constitution.loads(
        "name: mute\nprinciples:\n- id: a\n  title: A\n  critique_request: What?\n  revision_request: Do.\n",
        "mute",
    )
    with pytest.raises(UserError, match="no principle can be used for feedback"):
        batch.prepare_label(store, tmp_path, [pair("?")], mute, Labelling(), "harmless", "", "ann")
    assert runs.listed(store) == []


def test_a_stage_of_another_studio_is_named() -> None:
    with pytest.raises(UserError, match="'dream'"):
        stages.of("dream")


@pytest.mark.parametrize("stage", stages.STAGES, ids=lambda stage: stage.name)
def test_the_options_are_those_of_the_command(stage: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(stage, stages.Stage)
    with pytest.raises(SystemExit):
        main([stage.name, "--help"])
    said = capsys.readouterr().out
    extra = (f"--{name.replace('_', '-')}" for name in stage.extra)
    model = "--pm" if stage is stages.SCORE else "--model"
    for option in (*stage.files, *stage.several, *extra, "--run", model):
        assert option in said
