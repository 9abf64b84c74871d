"""The lineage of a checkpoint, from the cards and runs on the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import constitution as constitutions
from pipeline import lineage, lineage_command
from pipeline.__main__ import main
from pipeline.errors import UserError


def trained(runs: Path, name: str, method: str, base: str = "bundled", **about: Any) -> Path:
    """A finished training run: its card alone."""
    card = {"method": method, "base": base, "base_revision": "r1", "parameters": 135_000_000, "step": 20}
    folder = runs / name / "checkpoint"
    folder.mkdir(parents=True)
    (folder / "checkpoint.json").write_text(json.dumps({**card, "figures": {}, "lineage": about}))
    return runs / name


def whole_line(runs: Path) -> Path:
    """Chains → SL-CAI; labels and a human file → PM; both, and a judge, → RL-CAI. Returns the last run."""
    harmless = constitutions.load(constitutions.shipped()["harmless"])
    for name in ("chains", "labels"):
        (runs / name / "inputs").mkdir(parents=True)
        (runs / name / "inputs" / "constitution.yaml").write_text(constitutions.dump(harmless))
    helpful = runs / "helpful.jsonl"
    helpful.write_text("{}\n")
    chains = {
        "chains": str(runs / "chains"),
        "constitutions": [harmless.version],
        "count": 64,
        "seeds": [0, 1],
    }
    labels = {
        "labels": str(runs / "labels"),
        "constitution": harmless.version,
        "constitution_name": "harmless",
        "model": str(runs / "sl"),
    }
    human = {"human": str(helpful), "axis": "helpful", "count": 9, "kinds": ["imported"]}
    trained(runs, "sl", "sft", sources=[chains], seed=3)
    trained(runs, "pm", "pm", sources=[labels, human], gate="agrees")
    trained(runs, "judge", "pm", sources=[{"human": "/gone/judge.jsonl"}])
    return trained(runs, "rl", "rloo", str(runs / "sl"), pm=str(runs / "pm"), judge=str(runs / "judge"))


def titles(found: lineage.Lineage, of: str) -> dict[str, str]:
    [id] = [node.id for node in found.nodes if node.title == of]
    return {node.title: node.kind for node in found.into(id)}


def test_the_line_is_followed_from_the_constitution_to_the_policy(tmp_path: Path) -> None:
    found = lineage.of(whole_line(tmp_path))
    version = constitutions.load(constitutions.shipped()["harmless"]).version[:8]
    assert found.nodes[0].title == "rl"
    assert titles(found, "rl") == {"pm": "pm", "judge": "judge", "sl": "checkpoint"}
    assert titles(found, "sl") == {"chains": "chains", "bundled": "base"}
    # One constitution, though two runs name it; and labels that a trained model gave come from it.
    assert titles(found, "chains") == {f"harmless {version}": "constitution"}
    assert titles(found, "labels") == {f"harmless {version}": "constitution", "sl": "checkpoint"}
    assert [node.title for node in found.nodes if node.missing] == ["/gone/judge.jsonl"]
    assert dict(found.nodes[0].facts) == {"method": "rloo", "step": "20", "parameters": "135,000,000"}


def test_a_critic_that_was_trained_stands_behind_its_chains(tmp_path: Path) -> None:
    taught = trained(tmp_path, "critic", "sft", sources=[{"written": "critic", "count": 2}])
    (tmp_path / "chains").mkdir()
    chains = {"chains": str(tmp_path / "chains"), "models": ["bundled"], "critics": [str(taught)]}
    found = lineage.of(trained(tmp_path, "sl", "sft", sources=[chains]))
    assert titles(found, "chains") == {"critic": "checkpoint"}
    assert ("critic", str(taught)) in next(node.facts for node in found.nodes if node.title == "chains")


def test_the_prompts_of_rl_are_named(tmp_path: Path) -> None:
    asked = [{"prompts": "red-team:train", "count": 50}, {"prompts": "/gone/asked.txt", "count": 1_200}]
    told = lineage.tree(lineage.of(trained(tmp_path, "rl", "rloo", sources=asked)))
    assert "file red-team:train  (of prompts, count 50)\n" in told
    assert "file /gone/asked.txt  (of prompts, count 1200, NOT FOUND)" in told


def test_the_model_that_answered_the_helpful_prompts_stands_behind_them(tmp_path: Path) -> None:
    by = trained(tmp_path, "helper", "sft", sources=[{"written": "helpful", "count": 2}])
    helpful = {"helpful": "helpful", "count": 3, "model": str(by)}
    found = lineage.of(trained(tmp_path, "sl", "sft", sources=[helpful]))
    assert titles(found, "helpful") == {"helper": "checkpoint"}


def test_runs_that_have_moved_together_are_found_beside(tmp_path: Path) -> None:
    whole_line(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    found = lineage.of(tmp_path / "new" / "rl" / "checkpoint")
    assert {node.title for node in found.nodes if node.missing} == {"/gone/judge.jsonl"}
    assert {node.folder for node in found.nodes if node.kind == "chains"} == {tmp_path / "new" / "chains"}


def test_a_constitution_is_named_by_what_lies_there_and_not_by_another_of_that_place(tmp_path: Path) -> None:
    whole_line(tmp_path)
    copy = tmp_path / "sft" / "inputs" / "chains" / "chains"  # as the studio keeps them: without constitution
    copy.mkdir(parents=True)
    version = constitutions.load(constitutions.shipped()["harmless"]).version
    run = trained(
        tmp_path, "sft", "sft", sources=[{"chains": str(copy), "constitutions": [version, "0" * 16]}]
    )
    assert titles(lineage.of(run), "chains") == {
        f"harmless {version[:8]}": "constitution",
        "00000000": "constitution",
    }


def test_what_is_gone_is_marked_and_a_hub_model_is_not(tmp_path: Path) -> None:
    run = trained(tmp_path, "rl", "grpo", "org/model", pm="runs/pm")
    missing = {node.title: node.missing for node in lineage.of(run).nodes}
    assert missing == {"rl": False, "runs/pm": True, "org/model": False}
    assert "NOT FOUND" in lineage.tree(lineage.of(run))


def test_a_circle_of_cards_ends(tmp_path: Path) -> None:
    trained(tmp_path, "a", "sft", str(tmp_path / "b"))
    trained(tmp_path, "b", "sft", str(tmp_path / "a"))
    found = lineage.of(tmp_path / "a")
    assert len(found.nodes) == len(found.edges) == 2
    assert lineage.tree(found).count("checkpoint a") == 2
    trained(tmp_path, "self", "sft", str(tmp_path / "self"))
    assert len(lineage.of(tmp_path / "self").nodes) == 1


def test_a_line_of_a_thousand_checkpoints_is_walked(tmp_path: Path) -> None:
    for number in range(1200):
        trained(tmp_path, str(number), "sft", str(tmp_path / str(number + 1)))
    found = lineage.of(tmp_path / "0")
    assert len(found.nodes) == 1201
    assert len(lineage.tree(found).splitlines()) == 1201


def test_a_snapshot_and_an_unfinished_run_have_a_lineage(tmp_path: Path) -> None:
    snapshot = tmp_path / "rl" / "snapshots" / "step-4"
    snapshot.mkdir(parents=True)
    (tmp_path / "pm").mkdir()
    (tmp_path / "pm" / "config.yaml").write_text("{stage: pm, model: bundled, sources: [{written: helpful}]}")
    card = {"method": "rloo", "lineage": {"pm": str(tmp_path / "pm")}}
    (snapshot / "checkpoint.json").write_text(json.dumps(card))
    found = lineage.of(snapshot)
    assert found.nodes[0].title == "rl/step-4"
    assert titles(found, "pm") == {"the project's own: helpful": "written", "bundled": "base"}


@pytest.mark.parametrize(
    "card",
    [
        "[]",
        '{"lineage": 7}',
        '{"lineage": {"sources": {"a": 1}, "pm": ["x"], "judge": {"a": 2}}, "base": 9}',
        '{"lineage": {"sources": [1, null, {"chains": null}, {"labels": "a\\u0000b", "constitutions": 3}]}}',
        '{"base": "~nobody/x", "lineage": {"sources": [{"human": "\\u001b[31mred"}, {"written": {}}]}}',
    ],
)
def test_a_strange_card_is_text_and_breaks_nothing(tmp_path: Path, card: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "checkpoint.json").write_text(card)
    try:
        shown = lineage.tree(lineage.of(folder))
    except UserError:
        assert card == "[]"
    else:
        assert shown.startswith("checkpoint run")
        assert "\x1b" not in shown


def test_nothing_outside_of_a_given_folder_is_opened(tmp_path: Path) -> None:
    run = whole_line(tmp_path / "elsewhere")
    inside = trained(tmp_path / "session", "mine", "sft", str(run))
    found = lineage.of(inside, within=tmp_path / "session")
    assert [(node.title, node.missing) for node in found.nodes][1:] == [(str(run), True)]


def test_no_card_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint\.json here"):
        lineage.of(tmp_path)
    (tmp_path / "checkpoint.json").write_text("{torn")
    with pytest.raises(UserError, match=r"no checkpoint\.json here"):
        lineage.of(tmp_path)


@pytest.mark.parametrize("name", ["bundled-critic", "bundled-feedback"])
def test_what_comes_with_the_package_has_a_lineage_by_its_name(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lineage", name]) == 0
    assert name in capsys.readouterr().out


def test_the_command_prints_a_tree_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = whole_line(tmp_path)
    assert main(["lineage", str(run)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("checkpoint rl  (method rloo")
    assert "\n  pm pm  (method pm" in printed
    assert "\n    labels labels" in printed
    assert main(["lineage", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == lineage_command.as_json(lineage.of(run))
