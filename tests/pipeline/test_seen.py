"""What a model has seen: prompts and pairs by its lineage, and the refusals that follow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import pairs, prompts, seen, written
from pipeline.errors import UserError
from pipeline.records import Message, Source, as_json

Make = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Make:
    """A training run's folder: its card, and the files in it, each as rows."""

    def make(
        name: str, lineage: dict[str, Any], base: str = "bundled", method: str = "sft", **files: list[Any]
    ) -> Path:
        folder = tmp_path / name
        card = {"method": method, "base": base, "lineage": lineage}
        for path, text in {
            "checkpoint/checkpoint.json": card,
            "checkpoint/config.json": {"name": name},
        }.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(json.dumps(text))
        (folder / "config.yaml").write_text("stage: sft\n")
        (folder / "checkpoint" / "model.safetensors").write_bytes(b"")
        for path, rows in files.items():
            lines(folder / path.replace("__", "/"), rows)
        return folder

    return make


def lines(path: Path, rows: list[Any]) -> Path:
    path = path.with_suffix(".jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def answered(text: str) -> dict[str, Any]:
    return {"messages": [*asked(text), {"role": "assistant", "content": "Yes."}]}


def pair(text: str) -> Any:
    return pairs.make_pair("p", (Message("user", text),), "Yes.", "No.", Source(), Source(), "red_team")


def refused(model: Path, text: str) -> str:
    with pytest.raises(UserError) as error:
        seen.require_heldout([str(model)], [prompts.from_text(text)])
    return str(error.value)


def test_rl_prompts_are_seen_whatever_their_case_and_space(run: Make) -> None:
    rl = run("rl", {}, inputs__prompts=[{"messages": asked("How?  Now")}])
    told = refused(rl, "how? now")
    assert told.startswith("models were trained on prompts that they are to be measured on:\n  ")
    assert told.endswith("“how? now” (rl/prompts.jsonl)")
    assert seen.require_heldout([str(rl)], [prompts.from_text("Why?")]) == []


def test_rl_prompts_are_seen_in_the_form_they_were_given(run: Make) -> None:
    rl = run("rl", {})
    (rl / "inputs").mkdir()
    (rl / "inputs" / "prompts.txt").write_text("How now?\n")
    assert "(rl/prompts.txt)" in refused(rl, "how now?")


def test_rl_prompts_are_seen_of_a_checkpoint_that_left_its_run(run: Make, tmp_path: Path) -> None:
    path = lines(tmp_path / "asked", [{"prompt": "How now?"}])
    rl = run("rl", {"sources": [{"prompts": str(path), "count": 1}]})
    assert "(asked.jsonl)" in refused(rl, "how now?")
    shipped = run("shipped", {"sources": [{"prompts": "red-team:train:20", "count": 20}]})
    with prompts.find("red-team:train:20") as found:
        assert "red-team" in refused(shipped, prompts.read(found).prompts[-1].messages[-1].content)
    assert seen.of(str(shipped)).unknown == seen.of(str(rl)).unknown == []


def test_rl_whose_card_names_no_prompts_is_not_known(run: Make) -> None:
    base = run("base", {}, inputs__prompts=[{"messages": asked("Of the base?")}])
    rl = run("rl", {}, base=str(base), method="rloo")
    assert seen.of(str(rl)).unknown == ["the card of rl does not name the prompts of its RL"]
    (rl / "inputs").mkdir()
    (rl / "inputs" / "prompts.txt").write_text("How now?\n")
    assert seen.of(str(rl)).unknown == []


def test_helpful_prompts_are_seen_of_a_checkpoint_that_left_its_run(run: Make, tmp_path: Path) -> None:
    path = lines(tmp_path / "helpful", [{"prompt": "How now?"}, {"prompt": "Not asked?"}])
    sft = run("sft", {"sources": [{"helpful": str(path), "count": 1, "model": "bundled"}]})
    assert "(helpful.jsonl)" in refused(sft, "how now?")
    assert seen.require_heldout([str(sft)], [prompts.from_text("Not asked?")]) == []


def test_a_list_that_is_long_is_cut_and_counted(run: Make) -> None:
    texts = [f"Question {i}?" for i in range(25)]
    rl = run("rl", {}, inputs__prompts=[{"messages": asked(text)} for text in texts])
    with pytest.raises(UserError, match="and 5 more"):
        seen.require_heldout([str(rl)], [prompts.from_text(text) for text in texts])


def test_what_sft_learnt_from_is_seen(run: Make, tmp_path: Path) -> None:
    lines(tmp_path / "chains" / "outputs" / "chains", [{"messages": asked("Of a chain?")}])
    demos = lines(tmp_path / "demos", [answered("Of a demonstration?")])
    sources = [{"chains": str(tmp_path / "chains")}, {"demonstrations": str(demos)}, {"helpful": "helpful"}]
    sft = run("sft", {"sources": sources}, outputs__helpful=[answered("Of a helpful one?")])
    for text in ("Of a chain?", "Of a demonstration?", "Of a helpful one?"):
        assert text in refused(sft, text)
    assert seen.of(str(sft)).unknown == []


def test_what_its_base_learnt_from_is_seen_too(run: Make) -> None:
    base = run("base", {}, inputs__prompts=[{"messages": asked("Of the base?")}])
    assert "base/prompts.jsonl" in refused(run("rl", {}, base=str(base)), "Of the base?")


def test_a_feedback_model_is_no_judge_of_what_learnt_from_its_pairs(run: Make) -> None:
    one = next(w for w in written.judged("helpful") if not w.reserved).as_pair().id
    judge = run("judge", {"sources": [{"written": "helpful", "reserved": False}]})
    policy = run("dpo", {"sources": [{"written": "helpful", "reserved": False}]})
    assert one in seen.of(str(judge)).pairs
    with pytest.raises(UserError, match=r"training pairs with .*dpo, and so can't judge it"):
        seen.require_apart([str(policy)], str(judge), scores=False)
    other = run("rl", {}, inputs__prompts=[{"messages": asked("How?")}])
    assert seen.require_apart([str(other)], str(judge), scores=False) == []


def test_what_a_critic_learnt_from_is_seen(run: Make) -> None:
    source = {"written": "critic", "count": 9}
    critic = run("critic", {"sources": [{**source, "skills": ["critique", "choice"]}]})
    chain, pair = written.chains()[0], next(w for w in written.judged("helpful") if not w.reserved)
    for text in (chain.prompt, pair.prompt):
        assert "the project's own: critic" in refused(critic, text)
    assert pair.as_pair().id in seen.of(str(critic)).pairs
    assert seen.of(str(critic)).unknown == []
    reserved = next(w for w in written.judged("helpful") if w.reserved)
    assert reserved.as_pair().id not in seen.of(str(critic)).pairs
    reviser = run("reviser", {"sources": [{**source, "skills": ["revision"]}]})
    assert seen.of(str(reviser)).pairs == set()
    assert pair.as_pair().id in seen.of(str(run("old", {"sources": [source]}))).pairs  # says no skills: all


def test_a_snapshot_has_seen_what_its_run_has(run: Make) -> None:
    rl = run("rl", {}, inputs__prompts=[{"messages": asked("How?")}])
    (rl / "snapshots").mkdir()
    (rl / "checkpoint").rename(rl / "snapshots" / "step-10")
    assert "step-10: " in refused(rl / "snapshots" / "step-10", "How?")


def test_what_its_reward_learnt_from_is_not_its_own(run: Make, tmp_path: Path) -> None:
    human = lines(tmp_path / "human", [as_json(pair("Of the reward?"))])
    pm = run("pm", {"sources": [{"human": str(human), "axis": "helpful"}]})
    rl = run("rl", {"pm": str(pm)})
    assert seen.of(str(rl)).prompts == {}
    assert seen.of(str(rl)).rewards == [pm]


def test_what_is_not_here_is_said(run: Make, tmp_path: Path) -> None:
    sft = run("sft", {"sources": [{"chains": str(tmp_path / "gone")}]})
    [note] = seen.require_heldout([str(sft)], [prompts.from_text("Why?")])
    assert "is not wholly known: its chains gone are not here" in note
    (tmp_path / "bare").mkdir()
    assert seen.of(str(tmp_path / "bare")).unknown == ["it has no checkpoint.json"]
    assert seen.of(str(run("silent", {}))).unknown == ["its card names no prompts"]
    assert seen.of("bundled").unknown == seen.of("org/name").unknown == []


@pytest.mark.parametrize("path", ["~nobody-here/x.jsonl", "a\0b", "x" * 5000])
def test_a_file_of_no_possible_place_is_not_known(run: Make, path: str) -> None:
    [why] = seen.of(str(run("sft", {"sources": [{"demonstrations": path}]}))).unknown
    assert "are not here" in why


def judge_of(run: Make, name: str, *ids: str) -> Path:
    made = run(name, {})
    (made / "checkpoint" / "trained_on.json").write_text(json.dumps(ids))
    return made


def test_a_judge_that_shares_pairs_with_a_reward_is_refused(run: Make) -> None:
    pm, judge, other = (
        judge_of(run, "pm", "1", "2"),
        judge_of(run, "judge", "2", "3"),
        judge_of(run, "o", "4"),
    )
    rl = run("rl", {"pm": str(pm)})
    with pytest.raises(UserError, match="shares 1 training pairs with"):
        seen.require_apart([str(rl)], str(judge))
    with pytest.raises(UserError, match="is what rewarded"):
        seen.require_apart([str(rl)], str(pm))
    assert seen.require_apart([str(rl)], str(other)) == []


def test_a_judge_that_shares_pairs_with_a_model_trained_on_them_is_refused(run: Make, tmp_path: Path) -> None:
    made = pair("Of DPO?")
    lines(tmp_path / "labels" / "inputs" / "pairs", [as_json(made)])
    dpo = run("dpo", {"sources": [{"labels": str(tmp_path / "labels")}]})
    with pytest.raises(UserError, match=r"shares 1 training pairs with .*dpo"):
        seen.require_apart([str(dpo)], str(judge_of(run, "judge", made.id)))


def test_a_judge_that_does_not_say_is_told_of(run: Make) -> None:
    [note] = seen.require_apart([], str(run("judge", {})))
    assert "does not say which pairs it was trained on" in note
