"""A headless run comes into the session once, or is refused with the reason."""

from __future__ import annotations

import errno
import fcntl
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import critique_command, evaluate_command
from pipeline.__main__ import main
from pipeline.critique import Engines
from pipeline.errors import UserError
from studio.jobs import importing, stages
from studio.jobs import ingest as ingesting
from studio.jobs.importing import import_run
from studio.jobs.jobs import Jobs
from studio.store import chains, constitutions, matchups, runs
from studio.store.archive import export_session
from studio.store.chains import ChainFilter
from studio.store.database import Store
from studio.store.matchups import MatchupFilter
from studio.store.unpacking import import_session


@pytest.fixture
def headless(
    tmp_path: Path, scripted: Callable[..., Any], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A run that `cai critique` has drawn."""
    engine = scripted()
    monkeypatch.setattr(critique_command, "_load", lambda *_: Engines(engine, engine))
    (tmp_path / "prompts.txt").write_text("One?\nTwo?\n")
    folder = tmp_path / "headless"
    words = ["--constitution", "minimal", "--prompts", str(tmp_path / "prompts.txt"), "--run", str(folder)]
    assert main(["critique", *words, "--model", str(tiny_model), "--revisions", "1"]) == 0
    return folder


def test_it_comes_in_with_all_that_made_it_and_only_once(store: Store, headless: Path) -> None:
    first = import_run(store, headless, "ann")
    assert (first.new, first.made) == (True, 2)
    again = import_run(store, headless, "ann")
    assert (again.new, again.id, again.made) == (False, first.id, 2)
    [run] = runs.listed(store)
    assert (run.state, run.origin, run.total, run.author) == ("done", "imported", 2, "ann")
    assert (store.folder / "runs" / first.id / "outputs" / "chains.jsonl").is_file()
    [row, _] = chains.list_chains(store, ChainFilter(run=first.id), 9, 0)
    assert constitutions.load_version(store, row.constitution).name == "minimal"


def test_an_import_that_was_killed_is_done_over(store: Store, headless: Path) -> None:
    import_run(store, headless)
    with store.tx() as tx:  # as if the kill had come before the last transaction
        tx.query("DELETE FROM runs")
        tx.query("DELETE FROM run_states")
    assert import_run(store, headless).made == 2
    assert len(runs.listed(store)) == 1
    assert len(store.query("SELECT 1 FROM chains")) == 2


def test_one_that_is_imported_twice_at_once_comes_in_once(
    store: Store, headless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, done = threading.Barrier(2), []
    content_of = importing.content_of

    def together(folder: Path, stage: str) -> str:
        ready.wait(timeout=30)
        return content_of(folder, stage)

    monkeypatch.setattr(importing, "content_of", together)
    threads = [threading.Thread(target=lambda: done.append(import_run(store, headless))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.new for one in done) == [False, True]
    assert [one.made for one in done] == [2, 2]
    assert store.query("SELECT count(*) FROM runs") == [(1,)]
    assert (store.folder / "runs" / done[0].id / "outputs" / "chains.jsonl").is_file()
    export_session(store, tmp_path / "a.zip")
    assert import_session(tmp_path / "a.zip", tmp_path, "copy").is_dir()


@pytest.mark.parametrize("at", ["add_events", "set_offset", "set_state", "_add_chains", "kept"])
def test_an_import_that_dies_half_way_leaves_no_row_without_its_run_and_is_done_over(
    store: Store, headless: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    def died(*_: Any) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        if at == "_add_chains":
            part, whole = ingesting.READ["critique"]
            rows = (replace(part, add=died), replace(whole, add=died))
            patch.setattr(ingesting, "READ", {"critique": rows})
        else:
            patch.setattr(runs, at, died)
        with pytest.raises(OSError, match="the disk is gone"):
            import_run(store, headless)
    assert store.query("SELECT 1 FROM chains WHERE run NOT IN (SELECT id FROM runs)") == []
    assert all(run.state == "done" or "import its folder again" in run.detail for run in runs.listed(store))
    assert import_run(store, headless).made == 2
    [run] = runs.listed(store)
    assert (run.state, run.detail, run.total) == ("done", "", 2)
    assert len(store.query("SELECT 1 FROM chains")) == 2
    assert (store.folder / "runs" / run.id / "outputs" / "chains.jsonl").is_file()


def test_one_whose_import_broke_off_is_not_resumed_and_still_comes_in(
    store: Store, headless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def died(*_: Any) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(importing, "ingest", died)
        with pytest.raises(OSError, match="the disk is gone"):
            import_run(store, headless)
    [run] = runs.listed(store)
    jobs = Jobs(store, store.folder / "runs")
    with pytest.raises(UserError, match=r"headless \(imported\): .*import its folder again"):
        jobs.resume(run.id)
    jobs.stop(run.id)
    assert import_run(store, headless).made == 2
    [run] = runs.listed(store)
    assert (run.state, run.detail) == ("done", "")


def test_what_is_done_to_a_run_while_it_comes_in_loses_none_of_it(
    store: Store, headless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = Jobs(store, store.folder / "runs")

    def resumed(store: Store, run: Any, folder: Path) -> bool:
        with pytest.raises(UserError, match="it is being imported"):
            jobs.resume(run.id)
        return ingesting.ingest(store, run, folder)

    def deleted(store: Store, run: Any, folder: Path) -> bool:
        assert jobs.delete(run.id)
        return ingesting.ingest(store, run, folder)

    with monkeypatch.context() as patch:
        patch.setattr(importing, "ingest", deleted)
        with pytest.raises(UserError, match="deleted while it came in: import it again"):
            import_run(store, headless)
        assert runs.listed(store) == []
        patch.setattr(importing, "ingest", resumed)
        assert import_run(store, headless).made == 2
    [run] = runs.listed(store)
    assert run.state == "done"


def test_one_that_was_deleted_may_come_again(store: Store, headless: Path) -> None:
    first = import_run(store, headless)
    with store.tx() as tx:
        runs.set_state(tx, first.id, "deleted", ["done"])
    second = import_run(store, headless)
    assert second.new
    assert [run.id for run in runs.listed(store)] == [second.id]
    assert len(store.query("SELECT 1 FROM chains")) == 2
    assert (second.id, second.made) == (first.id, 2)
    assert chains.count_chains(store, ChainFilter(run=second.id)) == 2


def test_the_constitution_in_force_stays_in_force(store: Store, headless: Path) -> None:
    from pipeline import constitution

    mine = replace(constitution.load(constitution.shipped()["minimal"]), description="mine")
    constitutions.save_version(store, mine, "", "ann")
    import_run(store, headless)
    assert constitutions.latest(store, "minimal") == mine
    assert len(constitutions.versions(store, "minimal")) == 3


def test_a_copy_that_finds_no_room_leaves_nothing(
    store: Store, headless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, aside: Path, **_: Any) -> None:
        aside.mkdir(parents=True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(UserError, match="No space left"):
        import_run(store, headless)
    assert list((store.folder / "runs").iterdir()) == []


def test_links_are_not_followed(store: Store, headless: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (headless / "link").symlink_to(tmp_path / "secret")
    done = import_run(store, headless)
    assert not (store.folder / "runs" / done.id / "link").exists()


def test_what_is_no_run_is_told_plainly(store: Store, headless: Path, tmp_path: Path) -> None:
    def refused(folder: Path, why: str) -> None:
        with pytest.raises(UserError, match=why):
            import_run(store, folder)
        assert runs.listed(store) == []

    refused(tmp_path / "nowhere", "no such folder")
    refused(tmp_path, "no config.yaml")
    refused(store.folder / "x", "no such folder")
    with (headless / "events.jsonl").open("a") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        refused(headless, "a process is at work")
    for name, text, why in (
        ("config.yaml", "- a", "not the config"),
        ("config.yaml", "stage: dream", "does not know"),
        ("config.yaml", "stage: critique\nrevisions: x", "config.yaml"),
        ("inputs/constitution.yaml", "name: [", "constitution.yaml"),
    ):
        copy = tmp_path / "copy"
        shutil.copytree(headless, copy)
        (copy / name).write_text(text)
        refused(copy, why)
        shutil.rmtree(copy)
    (headless / "outputs" / "chains.jsonl").unlink()
    refused(headless, "no chains yet")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("principles: 3", "principles: Input should be a valid string"),
        ("model: [a]", "model: Input should be a valid string"),
        ("form: 2020-01-01", "form: Input should be 'chat' or 'plain'"),
        ("selection: !!set {a}", "selection: Input should be a valid string"),
        ("axis: [a, 2020-01-01]", "axis: Input should be 'harmless' or 'helpful'"),
        ("seed: -1", "seed: -1 is not between"),
    ],
)
def test_a_config_that_somebody_has_edited_is_refused_before_anything_is_copied(
    store: Store, tmp_path: Path, line: str, why: str
) -> None:
    folder = labelled(tmp_path)
    config = {**json.loads((folder / "config.yaml").read_text())}
    config.pop(line.partition(":")[0])
    (folder / "config.yaml").write_text(yaml.safe_dump(config) + line)
    with pytest.raises(UserError, match=rf"config\.yaml: {why}"):
        import_run(store, folder)
    assert not (store.folder / "runs").exists()
    assert not store.query("SELECT 1 FROM pairs")


def test_a_tournament_s_models_are_names(store: Store) -> None:
    for models in (7, [7], {"a": 1}):
        with pytest.raises(UserError, match="models"):
            stages.EVALUATE.extras({"models": models})


def test_a_stopped_one_can_be_resumed_here(store: Store, headless: Path) -> None:
    whole = headless / "outputs" / "chains.jsonl"
    lines = whole.read_text().splitlines(keepends=True)
    (headless / "outputs" / "chains.jsonl.part").write_text(lines[0])
    whole.unlink()
    events = [json.loads(line) for line in (headless / "events.jsonl").read_text().splitlines()]
    events[-1]["status"] = "stopped"
    (headless / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    done = import_run(store, headless)
    run = runs.load(store, done.id)
    assert run
    assert (run.state, done.made) == ("stopped", 1)


def labelled(tmp_path: Path, labels: int = 2) -> Path:
    """A run as `cai label` leaves it."""
    from pipeline import constitution
    from pipeline.configs import Labelling
    from pipeline.records import Judgment, Label, Message, Pair, as_json

    minimal = constitution.load(constitution.shipped()["minimal"])
    folder = tmp_path / "labelled"
    config = {**as_json(Labelling()), "stage": "label", "axis": "helpful", "constitution": minimal.version}
    pairs = [Pair(f"p{i}", f"q{i}", (Message("user", "Hi"),), "yes", "no") for i in range(2)]
    choice = Judgment("p0", "helpful", "f.jsonl", "imported", "a", picked_by="imported")
    made = [
        Label(p.id, "k", "choice", "bundled", minimal.version, 0, 1.0, 1.0, 0.7, 0.7, 0.7)
        for p in pairs[:labels]
    ]
    for name, rows in (
        ("inputs/pairs.jsonl", pairs),
        ("inputs/human.jsonl", [choice]),
        ("outputs/labels.jsonl", made),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(json.dumps(as_json(row)) + "\n" for row in rows))
    (folder / "config.yaml").write_text(json.dumps(config))
    (folder / "inputs" / "constitution.yaml").write_text(constitution.dump(minimal))
    times = {"v": 1, "attempt": 1, "time": "2026-01-01T00:00:00+00:00"}
    said = [
        {**times, "seq": 1, "kind": "started", "stage": "label", "total": 2, "done": 0},
        {**times, "seq": 2, "kind": "finished", "status": "done", "rows": labels},
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(row) + "\n" for row in said))
    return folder


def test_a_run_of_labels_comes_with_its_pairs_choices_and_constitution(store: Store, tmp_path: Path) -> None:
    from studio.store import held_judgments, labels, pairs
    from studio.store.pairs import PairFilter

    done = import_run(store, labelled(tmp_path), "ann")
    again = import_run(store, tmp_path / "labelled", "ann")
    assert (done.made, done.noun, done.new, again.new, again.id) == (2, "label", True, False, done.id)
    run = runs.load(store, done.id)
    assert run
    assert (run.stage, run.state, run.total, run.config["axis"]) == ("label", "done", 2, "helpful")
    assert pairs.count(store, PairFilter(run=done.id)) == 2
    [labeller] = labels.labellers(store)
    assert (labeller.constitution_name, labeller.pairs) == ("minimal", 2)
    assert constitutions.load_version(store, labeller.labeller.constitution).name == "minimal"
    assert [one.annotator_kind for one in held_judgments.current(store, "helpful")] == ["imported"]


def test_a_run_that_has_written_nothing_of_its_own_is_refused(store: Store, tmp_path: Path) -> None:
    folder = labelled(tmp_path)
    (folder / "outputs" / "labels.jsonl").unlink()
    with pytest.raises(UserError, match="no labels yet"):
        import_run(store, folder)
    assert store.query("SELECT 1 FROM pairs") == []


def test_a_trained_run_comes_in_with_its_curves(store: Store, tmp_path: Path) -> None:
    from pipeline.records import as_json
    from pipeline.training_configs import Supervised
    from studio.store import metrics

    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({"stage": "sft", **as_json(Supervised(batch=2))}))
    told = [
        {"kind": "started", "done": 0, "total": 2},
        *({"kind": "metric", "step": at, "values": {"loss": 2.0 / at}} for at in (1, 2)),
        {"kind": "finished", "status": "done", "rows": 2},
    ]
    lines = [{"v": 1, "attempt": 1, "seq": at, "time": "t", **event} for at, event in enumerate(told, 1)]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match="finished no checkpoint"):
        import_run(store, folder)
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "checkpoint.json").write_text("{}")
    first = import_run(store, folder)
    assert (first.told, import_run(store, folder).new) == ("trained (imported): imported, 2 steps.", False)
    [run] = runs.listed(store)
    assert (run.stage, run.state, run.total, run.config["batch"]) == ("sft", "done", 2, 2)
    assert metrics.curves(store, [run.id])[run.id]["loss"].values == (2.0, 1.0)


def trained(folder: Path, config: dict[str, Any], card: dict[str, Any]) -> Path:
    """A run that has ended in a checkpoint."""
    (folder / "checkpoint").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "checkpoint" / "checkpoint.json").write_text(json.dumps(card))
    return folder


@pytest.mark.parametrize("stage", ["pm", "dpo"])
def test_one_that_was_trained_without_ai_labels_comes_in(store: Store, tmp_path: Path, stage: str) -> None:
    config = {"stage": stage, "written": ["a.jsonl"], "reserved": False, "gate": None, "override_gate": None}
    import_run(store, trained(tmp_path / "headless", config, {}))
    [run] = runs.listed(store)
    assert (run.stage, run.config["written"], "gate" in run.config) == (stage, ["a.jsonl"], False)


def test_a_tournament_comes_in_with_its_matchups(
    store: Store,
    tmp_path: Path,
    scripted: Callable[..., Any],
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluate_command.InTurn, "load", lambda *_: scripted())
    (tmp_path / "prompts.txt").write_text("One?\nTwo?\n")
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    folder = tmp_path / "tournament"
    words = ["--models", str(tiny_model), str(other), "--prompts", str(tmp_path / "prompts.txt")]
    judge = ["--judge", str(tiny_model), "--constitution", "minimal", "--axis", "harmless"]
    assert main(["evaluate", *words, *judge, "--run", str(folder)]) == 0
    first = import_run(store, folder, "ann")
    assert (first.new, first.made, first.told) == (True, 2, "tournament (imported): imported, 2 matchups.")
    assert import_run(store, folder, "ann").new is False
    [run] = runs.listed(store)
    assert (run.stage, run.state, run.constitution_name) == ("evaluate", "done", "minimal")
    assert (run.config["models"], run.config["axis"]) == ([str(tiny_model), str(other)], "harmless")
    [two, one] = matchups.listed(store, MatchupFilter(run=run.id), 9)
    assert sorted(item.messages[0].content for item in (one, two)) == ["One?", "Two?"]
    assert one.matchup.constitution == run.constitution
    with store.tx() as tx:
        runs.set_state(tx, run.id, "deleted", ["done"])
    assert matchups.count(store) == 0


def test_a_tournament_comes_in_once_it_is_finished_as_its_votes_would_count_twice(
    store: Store, tmp_path: Path
) -> None:
    outputs = tmp_path / "tournament" / "outputs"
    outputs.mkdir(parents=True)
    (outputs.parent / "config.yaml").write_text(yaml.safe_dump({"stage": "evaluate", "judge": "pm"}))
    vote = {"id": "1", "prompt_id": "p", "axis": "harmless", "model_a": "x", "model_b": "y", "judge": "pm"}
    said = {"annotator": {"name": "pm", "kind": "model"}, "p_ab": 1.0, "p_ba": 1.0, "p_a": 1.0}
    part = outputs / "matchups.jsonl.part"
    part.write_text(json.dumps(vote | said) + "\n")
    with pytest.raises(UserError, match="this tournament is not finished: give its command again"):
        import_run(store, outputs.parent)
    part.rename(outputs / "matchups.jsonl")
    assert import_run(store, outputs.parent).made == matchups.count(store) == 1


def test_a_gigabyte_in_one_line_is_refused_before_it_is_copied(store: Store, headless: Path) -> None:
    output = headless / "outputs" / "chains.jsonl"
    with output.open("ab") as file:
        file.truncate(1_000_000_000)  # of zeros, which take no place on the disk
    with pytest.raises(UserError, match=r"chains\.jsonl:3: a line of more than 64 MB"):
        import_run(store, headless)
    assert not list((store.folder / "runs").glob("*"))


def test_a_gigabyte_of_config_is_refused(store: Store, headless: Path) -> None:
    with (headless / "config.yaml").open("ab") as file:
        file.truncate(1_000_000_000)
    with pytest.raises(UserError, match=r"config\.yaml: larger than 2 MB"):
        import_run(store, headless)
